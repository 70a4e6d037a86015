"""What floors above tell about a workflow: this app may show it, and must not import it."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

StatisticsProvider = Callable[[UUID], Mapping[str, Any]]


def _none_yet(workflow_id: UUID) -> Mapping[str, Any]:
    return {"total_executions": 0, "by_status": {}, "success_rate": None, "average_duration": None, "recent": []}


_provider: StatisticsProvider = _none_yet


def install_execution_statistics(provider: StatisticsProvider) -> None:
    """Let `provider(workflow_id)` answer for the `recent_executions` of a workflow's detail.

    The answer is JSON-able: `total_executions`, `by_status` {status: count}, `success_rate` 0..1 or None,
    `average_duration` in seconds or None, and `recent`, the newest runs first.
    """
    global _provider
    _provider = provider


def execution_statistics(workflow_id: UUID) -> Mapping[str, Any]:
    """Return what the installed provider knows of the workflow's runs."""
    return _provider(workflow_id)
