"""The rows of the long lists, made by hand: the shapes of `ExecutionRow` and `TaskRow` without their cost.

A serializer asks each field of each row how to show itself, which is half of what a list takes. The serializers stay as
the schema, and a test holds these functions to them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from executions.calls import QUEUE, TASK
from executions.choices import TERMINAL, TaskStatus, task_status
from tradingsite.common.clock import rfc3339


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def run_row(run: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the values `selectors.LISTED` of a run as `ExecutionRow` shows it at `now`."""
    workflow_id, started, completed = run["workflow_id"], run["started_at"], run["completed_at"]
    duration = None
    if started is not None:
        end = completed if completed is not None and run["status"] in TERMINAL else now
        duration = max((end - started).total_seconds(), 0.0)
    return {
        "id": str(run["id"]),
        "workflow_id": None if workflow_id is None else str(workflow_id),
        "workflow_name": run["workflow__name"],
        "strategy_id": str(run["strategy_id"]),
        "strategy_name": run["strategy__name"],
        "task_id": run["task_id"],
        "status": run["status"],
        "progress": run["progress"],
        "mode": run["mode"],
        "triggered_by": run["triggered_by"],
        "priority": run["priority"],
        "created_at": rfc3339(run["created_at"]),
        "started_at": _moment(started),
        "completed_at": _moment(completed),
        "duration": duration,
        "decisions_made": run["decisions_made"],
        "orders_placed": run["orders_placed"],
        "error_code": run["error_code"],
    }


def task_row(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values `task_selectors.LISTED` of a run as `TaskRow` shows its present task."""
    status = task_status(run["status"], run["attempts"])
    return {
        "task_id": run["task_id"],
        "task_name": TASK,
        "queue": QUEUE,
        "strategy_id": str(run["strategy_id"]),
        "strategy_name": run["strategy__name"],
        "workflow_execution_id": str(run["id"]),
        "status": status.value,
        "priority": run["priority"],
        "progress": run["progress"],
        "attempts": run["attempts"],
        "created_at": rfc3339(run["created_at"]),
        "started_at": None if status == TaskStatus.PENDING else _moment(run["started_at"]),
        "cancel_requested_at": _moment(run["cancel_requested_at"]),
    }
