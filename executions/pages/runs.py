"""The list of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from executions import selectors
from executions.choices import ExecutionStatus
from executions.models import WorkflowExecution
from tradingsite.common.clock import utcnow

PAGE = 25


@dataclass(frozen=True)
class RunRow:
    """One line of a list of runs. `duration` is in seconds, running ones up to now."""

    id: UUID
    workflow_name: str
    strategy_name: str
    mode: str
    status: str
    progress: float
    error_code: str
    decisions_made: int
    orders_placed: int
    started_at: datetime | None
    duration: float | None
    triggered_by: str


def _row(run: WorkflowExecution, wall: datetime) -> RunRow:
    return RunRow(
        id=run.pk,
        workflow_name=run.workflow.name if run.workflow is not None else "Inline steps",
        strategy_name=run.strategy.name,
        mode=run.mode,
        status=run.status,
        progress=run.progress,
        error_code=run.error_code,
        decisions_made=run.decisions_made,
        orders_placed=run.orders_placed,
        started_at=run.started_at,
        duration=_seconds(run, wall),
        triggered_by=run.triggered_by,
    )


def _seconds(run: WorkflowExecution, wall: datetime) -> float | None:
    if run.started_at is None:
        return None
    end = run.completed_at or wall
    return max((end - run.started_at).total_seconds(), 0.0)


def _rows() -> QuerySet[WorkflowExecution]:
    # A run's results can be long, and a line of the list shows none of them.
    return selectors.executions_visible().defer("results", "params", "input_data", "workflow_version__steps")


def runs_newest(count: int) -> Sequence[RunRow]:
    """Return the newest runs."""
    wall = utcnow()
    return [_row(run, wall) for run in _rows().order_by("-pk")[:count]]


def runs_page(*, status: str, before: UUID | None, after: UUID | None) -> dict[str, Any]:
    """Return one page of the list, newest first.

    Ids rise with time, so a page is named by the run at its edge and stays the same while new runs come in.

    Args:
        before: show what is older than this run.
        after: show the page right above this run; `before` wins.
    """
    rows = _rows()
    if status:
        rows = rows.filter(status=status)
    upward = before is None and after is not None
    if before is not None:
        rows = rows.filter(pk__lt=before)
    elif after is not None:
        rows = rows.filter(pk__gt=after)
    found = list(rows.order_by("pk" if upward else "-pk")[: PAGE + 1])
    more, found = len(found) > PAGE, found[:PAGE]
    if upward:
        found.reverse()
    wall = utcnow()
    return {
        "runs": [_row(run, wall) for run in found],
        "status": status,
        "statuses": [str(word) for word in ExecutionStatus.values],
        "paged": before is not None or after is not None,
        "older_than": found[-1].pk if found and (more or upward) else None,
        "newer_than": found[0].pk if found and (before is not None or (upward and more)) else None,
    }
