"""What webhooks are told of runs: how each one ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from executions.choices import ExecutionStatus
from executions.models import EarlierTask, RunEnding, WorkflowExecution, seconds_between
from tradingsite.common.clock import rfc3339
from tradingsite.common.webhooks import announcing
from tradingsite.common.webhooks.announcing import Event, listeners
from tradingsite.common.webhooks.event_types import EventType, event_types

MESSAGE_MAX = 1000

_RUN = {
    "run_id": "0190a0b0-0000-7000-8000-000000000003",
    "task_id": "0190a0b0-0000-7000-8000-000000000006",
    "status": "completed",
    "workflow_id": "0190a0b0-0000-7000-8000-000000000007",
    "workflow_name": "Follow the trend",
    "strategy_id": "0190a0b0-0000-7000-8000-000000000005",
    "strategy_name": "MSFT, 10 over 50 days",
    "mode": "paper",
    "triggered_by": "schedule",
    "created_at": "2026-01-05T15:00:00Z",
    "started_at": "2026-01-05T15:00:00.120000Z",
    "completed_at": "2026-01-05T15:00:01.320000Z",
    "duration": 1.2,
    "decisions_made": 1,
    "orders_placed": 1,
    "error_code": "",
    "error_message": "",
}
TYPES: Mapping[ExecutionStatus, EventType] = {
    ExecutionStatus.COMPLETED: EventType("run.completed", "A run came to its end.", _RUN),
    ExecutionStatus.FAILED: EventType(
        "run.failed",
        "A run failed. It may be retried, and then end again.",
        {
            **_RUN,
            "status": "failed",
            "error_code": "STEP_TIMED_OUT",
            "error_message": "The step prices took longer than 60 s.",
        },
    ),
    ExecutionStatus.CANCELLED: EventType(
        "run.cancelled", "A run was cancelled.", {**_RUN, "status": "cancelled", "orders_placed": 0}
    ),
}
for _type in TYPES.values():
    event_types.register(_type)


def announce(endings: Sequence[RunEnding]) -> None:
    """Tell webhooks how these runs ended, in the transaction that settles the ends. Nothing is read for nobody."""
    to = listeners({event_type.slug for event_type in TYPES.values()})
    if not to:
        return
    wanted = {ending.execution_id for ending in endings}
    runs = WorkflowExecution.objects.filter(pk__in=wanted).select_related("workflow", "strategy").only(
        "task_id", "mode", "triggered_by", "created_at", "started_at", "completed_at", "decisions_made",
        "orders_placed", "error_code", "error_message", "workflow__name", "strategy__name",
    )  # fmt: skip
    by_id = {run.pk: run for run in runs}
    # Of a run that was retried since, what ended is among its earlier tasks.
    retried = [e.task_id for e in endings if e.execution_id in by_id and by_id[e.execution_id].task_id != e.task_id]
    earlier = {task.task_id: task for task in EarlierTask.objects.filter(task_id__in=retried)} if retried else {}
    events = [
        _event(ending, by_id[ending.execution_id], earlier.get(ending.task_id))
        for ending in endings
        if ending.execution_id in by_id
    ]
    announcing.announce(*events, to=to)


def _event(ending: RunEnding, run: WorkflowExecution, earlier: EarlierTask | None) -> Event:
    ended = earlier or run
    data: dict[str, Any] = {
        "run_id": str(run.pk),
        "task_id": ending.task_id,
        "status": ending.status,
        "workflow_id": run.workflow_id and str(run.workflow_id),
        "workflow_name": run.workflow and run.workflow.name,
        "strategy_id": str(run.strategy_id),
        "strategy_name": run.strategy.name,
        "mode": run.mode,
        "triggered_by": run.triggered_by,
        "created_at": rfc3339(run.created_at),
        "started_at": ended.started_at and rfc3339(ended.started_at),
        "completed_at": rfc3339(ended.completed_at or ending.at),
        "duration": seconds_between(ended),
        # Counted for the run as a whole; of a task before a retry they are not known.
        "decisions_made": None if earlier else run.decisions_made,
        "orders_placed": None if earlier else run.orders_placed,
        "error_code": ended.error_code,
        "error_message": ended.error_message[:MESSAGE_MAX],
    }
    event_type = TYPES[ExecutionStatus(ending.status)]
    return Event(event_type.slug, data, workflow_id=run.workflow_id, strategy_id=run.strategy_id, at=ending.at)
