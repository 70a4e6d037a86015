"""Reading runs: for the API, the pages and the detail of a workflow."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from executions.analytics import tallies
from executions.choices import TERMINAL, StepStatus
from executions.errors import ExecutionNotFound, StepOutputNotFound
from executions.models import StepExecution, WorkflowExecution
from tradingsite.common.clock import rfc3339

RECENT = 5
# What a list shows of a run, read as plain values: a page of models takes four times as long to make.
LISTED = (
    "id", "workflow_id", "workflow__name", "strategy_id", "strategy__name", "task_id", "status", "progress", "mode",
    "triggered_by", "priority", "created_at", "started_at", "completed_at", "decisions_made", "orders_placed",
    "error_code",
)  # fmt: skip
POLL_S = 0.2


def executions_visible() -> QuerySet[WorkflowExecution]:
    """Return all runs with the names that a list shows; every role may read them."""
    return WorkflowExecution.objects.select_related("workflow", "workflow_version", "strategy", "created_by").defer(
        # Each of these holds a whole definition; the names are all that is wanted of them.
        "workflow__steps",
        "workflow__default_params",
        "workflow_version__steps",
        "workflow_version__default_params",
        "strategy__param",
    )


def execution_get(execution_id: UUID) -> WorkflowExecution:
    """Return one run.

    Raises:
        ExecutionNotFound
    """
    execution = executions_visible().filter(pk=execution_id).first()
    if execution is None:
        raise ExecutionNotFound(f"There is no run {execution_id}.")
    return execution


def execution_wait(
    execution_id: UUID, *, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> WorkflowExecution:
    """Return the run when it has ended, or as it is when `seconds` are over.

    Raises:
        ExecutionNotFound
    """
    until = time.monotonic() + seconds
    execution = execution_get(execution_id)
    if execution.status in TERMINAL or seconds <= 0:
        return execution
    status = WorkflowExecution.objects.filter(pk=execution_id).values_list("status", flat=True)
    while (left := until - time.monotonic()) > 0:
        if not connection.in_atomic_block:
            # Many may wait at once, and connections are few: none is held while nothing is asked.
            connection.close()
        sleep(min(POLL_S, left))
        if status.get() in TERMINAL:
            break
    return execution_get(execution_id)


def execution_steps(execution_id: UUID) -> QuerySet[StepExecution]:
    """Return the steps of a run in their order; of a large output its size and digest alone."""
    steps = StepExecution.objects.filter(execution_id=execution_id).select_related("payload").defer("payload__data")
    return steps.order_by("index")


def step_output(execution_id: UUID, index: str) -> tuple[Mapping[str, Any], str | None]:
    """Return what a completed step put out, and the digest of its text where it is large.

    Raises:
        StepOutputNotFound: no such run or step, or the step is not done.
    """
    step = (
        StepExecution.objects.select_related("payload")
        .only("output", "payload")
        .filter(execution_id=execution_id, index=int(index), status=StepStatus.COMPLETED)
        .first()
        if index.isascii() and index.isdecimal() and len(index) < 5
        else None
    )
    if step is None:
        raise StepOutputNotFound(f"Run {execution_id} has no completed step {index[:20]!r}.")
    return step.result, step.payload_id


def workflow_statistics(workflow_id: UUID) -> Mapping[str, Any]:
    """Return the figures that a workflow's detail shows of its runs: some of those that its analytics tell."""
    tally = tallies([workflow_id])[workflow_id]
    runs = WorkflowExecution.objects.filter(workflow_id=workflow_id)
    recent = runs.select_related("strategy").order_by("-created_at", "-pk")[:RECENT]
    return {
        "total_executions": tally.runs,
        "by_status": dict(+tally.by_status),
        "success_rate": tally.success_rate,
        "average_duration": tally.durations.average,
        "recent": [
            {
                "id": str(run.pk),
                "strategy_name": run.strategy.name,
                "status": run.status,
                "created_at": rfc3339(run.created_at),
                "started_at": rfc3339(run.started_at) if run.started_at else None,
                "duration": run.duration,
            }
            for run in recent
        ],
    }
