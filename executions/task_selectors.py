"""Reading runs as the tasks of a queue: which wait, which are carried, and how the queue does.

Everything comes from the database: it holds the truth, and asking the workers costs seconds and fails when they are busy.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, DurationField, Exists, ExpressionWrapper, F, Min, OuterRef, Q
from django.db.models.functions import Now

from executions.calls import QUEUE, TASK
from executions.choices import UNFINISHED, ExecutionStatus, TaskStatus, task_status
from executions.errors import TaskNotFound
from executions.fence import LEASE
from executions.heartbeat import carriers_count
from executions.models import EarlierTask, WorkflowExecution
from safety.selectors import day_start
from tradingsite.common.clock import utcnow
from tradingsite.common.pulled import overdue

# What a list of tasks shows unless it is asked for others.
ACTIVE = frozenset({TaskStatus.PENDING, TaskStatus.STARTED, TaskStatus.RETRY})
# What a list shows of a run's present task, read as plain values.
LISTED = (
    "id", "task_id", "strategy_id", "strategy__name", "status", "priority", "progress", "attempts", "created_at",
    "started_at", "cancel_requested_at",
)  # fmt: skip

_RUNS: Mapping[str, Q] = {
    TaskStatus.PENDING: Q(status=ExecutionStatus.PENDING, attempts=0),
    TaskStatus.RETRY: Q(status=ExecutionStatus.PENDING, attempts__gt=0),
    TaskStatus.STARTED: Q(status=ExecutionStatus.RUNNING),
    TaskStatus.SUCCESS: Q(status=ExecutionStatus.COMPLETED),
    TaskStatus.FAILURE: Q(status=ExecutionStatus.FAILED),
    TaskStatus.REVOKED: Q(status=ExecutionStatus.CANCELLED),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run as a task: the present one, or one from before a retry."""

    task_id: str
    task_name: str = TASK
    queue: str = QUEUE
    strategy_id: UUID
    strategy_name: str
    workflow_execution_id: UUID
    status: TaskStatus
    priority: int
    progress: float
    attempts: int
    created_at: datetime
    started_at: datetime | None
    cancel_requested_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TaskDetail(Task):
    """The same with how it ended."""

    completed_at: datetime | None
    max_attempts: int
    result: Mapping[str, Any] | None
    error: Mapping[str, str] | None
    superseded_by: str | None
    created_by_id: int | None


def runs_in(words: Collection[str]) -> Q:
    """Return the condition on runs whose task is in one of these states."""
    found = Q(pk__in=[])
    for word in words:
        found |= _RUNS[word]
    if set(words) <= ACTIVE:
        # Said once more for the planner, which does not see it in the alternatives.
        found &= Q(status__in=sorted(UNFINISHED))
    return found


def _seen(run: WorkflowExecution) -> dict[str, Any]:
    status = task_status(run.status, run.attempts)
    return {
        "task_id": run.task_id,
        "strategy_id": run.strategy_id,
        "strategy_name": run.strategy.name,
        "workflow_execution_id": run.pk,
        "status": status,
        "priority": run.priority,
        "progress": run.progress,
        "attempts": run.attempts,
        "created_at": run.created_at,
        # A run that was retried keeps the time of its first start; its new task has none until it is taken up.
        "started_at": None if status == TaskStatus.PENDING else run.started_at,
        "cancel_requested_at": run.cancel_requested_at,
    }


def task_get(task_id: str) -> TaskDetail:
    """Return one task; one from before a retry as it ended, with the run's present task as `superseded_by`.

    Raises:
        TaskNotFound
    """
    runs = WorkflowExecution.objects.select_related("strategy").defer("params", "input_data", "symbols")
    run = runs.filter(task_id=task_id).first()
    if run is not None:
        status = task_status(run.status, run.attempts)
        return TaskDetail(
            **_seen(run),
            completed_at=run.completed_at,
            max_attempts=run.max_attempts,
            result=run.results if status == TaskStatus.SUCCESS else None,
            error=_error(run),
            superseded_by=None,
            created_by_id=run.created_by_id,
        )
    earlier = EarlierTask.objects.select_related("execution__strategy").filter(task_id=task_id).first()
    if earlier is None:
        raise TaskNotFound(f"There is no task {task_id}.")
    ended = {
        "task_id": task_id,
        "status": TaskStatus(earlier.status),
        "progress": earlier.progress,
        "attempts": earlier.attempts,
        "started_at": earlier.started_at,
        "cancel_requested_at": None,
    }
    return TaskDetail(
        **{**_seen(earlier.execution), **ended},
        completed_at=earlier.completed_at,
        max_attempts=earlier.execution.max_attempts,
        result=None,
        error=_error(earlier),
        superseded_by=earlier.execution.task_id,
        created_by_id=earlier.execution.created_by_id,
    )


def _error(row: WorkflowExecution | EarlierTask) -> Mapping[str, str] | None:
    return {"code": row.error_code, "message": row.error_message} if row.error_code else None


def queue_metrics() -> dict[str, Any]:
    """Return how the queue does now and has done today, the desk's day. Times are seconds.

    `wait_p95` is the 95th percentile, by nearest rank, from the acceptance of a run to its first start, of those
    started today. `lease_age_max_s` is how long ago the longest silent worker said that it still carries its run.
    """
    now, today = utcnow(), day_start()
    pending, running = Q(status=ExecutionStatus.PENDING), Q(status=ExecutionStatus.RUNNING)
    waiting = WorkflowExecution.objects.filter(status__in=sorted(UNFINISHED)).aggregate(
        queued=Count("pk", filter=pending),
        active=Count("pk", filter=running),
        # Not `queued_at`, which begins anew when a message is sent again although the run still waits.
        oldest=Min("updated_at", filter=pending),
        # The database times the leases, so its clock says how old they are.
        lease_left=ExpressionWrapper(Min("lease_until", filter=running) - Now(), output_field=DurationField()),
    )
    took = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    completed, failed = Q(status=ExecutionStatus.COMPLETED), Q(status=ExecutionStatus.FAILED)
    # Of a run that was retried, the time until somebody did so is none that it took.
    in_one_go = Q(~Exists(EarlierTask.objects.filter(execution=OuterRef("pk"))))
    ended = WorkflowExecution.objects.filter(completed_at__gte=today).aggregate(
        completed=Count("pk", filter=completed),
        failed=Count("pk", filter=failed),
        average=Avg(took, filter=completed & in_one_go),
    )
    unsent = overdue().aggregate(oldest=Min("created_at"))["oldest"]
    left = waiting["lease_left"]
    return {
        "tasks_queued": waiting["queued"],
        "tasks_active": waiting["active"],
        "tasks_completed_today": ended["completed"],
        "tasks_failed_today": ended["failed"],
        "average_duration": ended["average"].total_seconds() if ended["average"] is not None else None,
        "worker_count": carriers_count(),
        "wait_p95": _wait_p95(today),
        "oldest_waiting_s": _since(waiting["oldest"], now),
        "outbox_lag_s": _since(unsent, now),
        "lease_age_max_s": None if left is None else max((LEASE - left).total_seconds(), 0.0),
    }


def _since(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max((now - moment) / timedelta(seconds=1), 0.0)


def _wait_p95(today: datetime) -> float | None:
    waited = ExpressionWrapper(F("started_at") - F("created_at"), output_field=DurationField())
    waits = WorkflowExecution.objects.filter(started_at__gte=today).order_by(waited).values_list(waited, flat=True)
    count = waits.count()
    if count == 0:
        return None
    found: timedelta | None = waits[math.ceil(count * 0.95) - 1 :].first()
    return None if found is None else found.total_seconds()
