"""One run: its facts, its steps, what it decided, intended and ordered."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from executions import selectors
from executions.choices import TERMINAL, ExecutionStatus, Trigger, may_follow
from executions.models import StepExecution, WorkflowExecution
from executions.news import stream_of
from portfolio import selectors as portfolio
from portfolio.models import Order
from tradingsite.common.actor import Actor
from tradingsite.common.live import events
from tradingsite.common.roles import Role


def run_page(*, execution_id: UUID, actor: Actor, wall: datetime) -> dict[str, Any]:
    """Return the context of a run's page.

    The number of the newest live event is read before anything else: what happens while the page is put together is
    then asked for again rather than missed.

    Raises:
        ExecutionNotFound: when there is no such run.
    """
    live_seq = events.stream_position(stream_of(execution_id))
    execution = selectors.execution_get(execution_id)
    steps = list(selectors.execution_steps(execution_id))
    final = execution.status in TERMINAL
    mine = actor.may(Role.OPERATOR) or (actor.may(Role.TRADER) and execution.created_by_id == actor.user_id)
    return {
        "live_seq": live_seq,
        "run": _facts(execution, final, wall),
        "steps": [_step(step, wall) for step in steps],
        "steps_done": sum(step.completed_at is not None for step in steps),
        "decisions": _decisions(execution, steps),
        "intents": _latest(steps, "intents"),
        "orders": _orders(execution_id),
        "may_cancel": mine and not final and execution.cancel_requested_at is None,
        "may_retry": mine and may_follow(execution.status, ExecutionStatus.PENDING) and final,
    }


def _facts(execution: WorkflowExecution, final: bool, wall: datetime) -> dict[str, Any]:
    version = execution.workflow_version
    return {
        "id": execution.pk,
        "final": final,
        "workflow_name": execution.workflow.name if execution.workflow is not None else "Inline steps",
        "strategy_name": execution.strategy.name,
        "version_number": version.version_number if version is not None else None,
        "symbols": execution.symbols,
        "status": execution.status,
        "progress": execution.progress,
        "mode": execution.mode,
        "priority": execution.priority,
        "attempts": execution.attempts,
        "started_by": _started_by(execution),
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "cancel_requested_at": execution.cancel_requested_at,
        "as_of": execution.as_of,
        "duration": _seconds(execution.started_at, execution.completed_at, wall),
        "error_code": execution.error_code,
        "error_message": execution.error_message,
        "task_id": execution.task_id,
        "params": execution.params,
        "input_data": execution.input_data,
    }


def _started_by(execution: WorkflowExecution) -> str:
    if execution.created_by is None:
        return "the desk" if execution.triggered_by == Trigger.USER else execution.triggered_by
    return f"{execution.created_by.get_username()} ({execution.triggered_by})"


def _seconds(start: datetime | None, end: datetime | None, wall: datetime) -> float | None:
    return None if start is None else max(((end or wall) - start).total_seconds(), 0.0)


def _step(step: StepExecution, wall: datetime) -> dict[str, Any]:
    return {
        "index": step.index,
        "name": step.name,
        "type": step.type,
        "status": step.status,
        "attempts": step.attempts,
        "summary": step.summary,
        "started_at": step.started_at,
        "duration": _seconds(step.started_at, step.completed_at, wall),
        "error_code": step.error_code,
        "error_message": step.error_message,
        "config": step.config,
        "output": step.output,
        "payload": step.payload,
        "logs": step.logs,
    }


def _latest(steps: Sequence[StepExecution], key: str) -> list[Any]:
    """Return the list under `key` of the last step that finished with one."""
    for step in reversed(steps):
        found = step.output.get(key) if isinstance(step.output, Mapping) else None
        if isinstance(found, list):
            return found
    return []


def _decisions(execution: WorkflowExecution, steps: Sequence[StepExecution]) -> list[Any]:
    """Return the run's decisions; while it runs, those of the steps that are done."""
    results = execution.results or {}
    found: list[Any] = results.get("decisions") or _latest(steps, "decisions")
    # What acts comes first: with a long list of symbols most lines only hold.
    return sorted(found, key=lambda row: (row.get("action") == "HOLD", row.get("symbol", "")))


def _orders(execution_id: UUID) -> Sequence[Order]:
    rows = portfolio.orders_visible().filter(execution_id=execution_id)
    return list(rows.prefetch_related("fills").order_by("created_at", "id"))
