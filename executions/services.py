"""Every change of a run that does not come from its worker: create, cancel, retry."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from executions import endings
from executions.calls import TASK, call_of, worker_call
from executions.choices import ExecutionStatus, Mode, OnError, StepStatus, Trigger, task_status
from executions.errors import ExecutionFinished, ExecutionNotRetryable, StrategyNotRunnable, TaskNotFound
from executions.models import EarlierTask, StepExecution, WorkflowExecution
from executions.news import news_of, news_written, status_event, tell_status, written_with_news
from market.symbols import symbols_known
from safety.errors import KillSwitchActive
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.outbox import ring_after_commit
from tradingsite.common.owners import require_owner
from tradingsite.common.writes import Part, insert, kept, write
from workflows.models import Strategy, Workflow
from workflows.selectors import executable
from workflows.services import execution_counted

Row = TypeVar("Row", Strategy, Workflow)


def execution_create(
    *,
    actor: Actor,
    workflow: Workflow | None,
    strategy: Strategy,
    symbols: Sequence[str] = (),
    priority: int = 0,
    input_data: Mapping[str, Any] | None = None,
    mode: str = Mode.PAPER,
    triggered_by: str = Trigger.USER,
) -> WorkflowExecution:
    """Write a run with its steps and the message that starts it: all of it or nothing, in one statement if possible.

    The run is pinned to the workflow's present version and to the parameters as they are now, and says of which version
    of the strategy those are.

    Args:
        workflow: None for a strategy that runs its inline steps.
        symbols: the strategy's own when empty.
        input_data: overrides of the parameters for this run.

    Raises:
        StrategyNotRunnable: the strategy is disabled or belongs to another workflow.
        ValidationFailed: wrong parameters, no symbols, or an unknown symbol.
    """
    if strategy.workflow_id != (workflow.pk if workflow else None):
        raise StrategyNotRunnable(f"Strategy {strategy.name!r} does not belong to this workflow.")
    if not strategy.enabled:
        raise StrategyNotRunnable(f"Strategy {strategy.name!r} is disabled; enable it first.")
    version = workflow.current_version if workflow else None
    plan = executable(workflow_version=version, strategy=strategy, input_data=input_data or {})
    chosen = list(dict.fromkeys(symbols or plan.symbols))
    _symbols_check(chosen)
    execution = WorkflowExecution(
        workflow=workflow,
        workflow_version=version,
        strategy=strategy,
        strategy_version=strategy.version_number or None,
        task_id=str(uuid.uuid4()),
        triggered_by=triggered_by,
        priority=priority,
        mode=mode,
        symbols=chosen,
        input_data=dict(input_data or {}),
        params=dict(plan.params),
        created_by_id=actor.user_id,
    )
    steps = [
        StepExecution(
            execution=execution,
            index=step.index,
            name=step.name,
            type=step.type,
            config=dict(step.config),
            timeout_s=step.timeout_s,
            retries=step.retries,
            on_error=step.on_error,
        )
        for step in plan.steps
    ]
    after = {"strategy_id": str(strategy.pk), "symbols": chosen, "mode": mode, "triggered_by": triggered_by}
    audited = audit.entry(actor=actor, action="execution.create", target=execution, after=after)
    news = news_of(execution.pk, status_event(execution))
    others: list[Part] = [insert(row) for row in (*steps, call_of(execution), audited)]
    if workflow is not None:
        others.append(execution_counted(workflow.pk))
    with written_with_news():
        written = write(insert(execution), *others, news)
        assert written is not None  # an INSERT always finds its row
        kept(execution)
        news_written(execution.pk, news, written[1][-1])
    ring_after_commit(TASK)
    return execution


@dataclass(frozen=True)
class RunRequest:
    """One run that is asked for among others."""

    workflow_id: UUID
    strategy_id: UUID
    symbols: Sequence[str] = ()
    priority: int = 0
    input_data: Mapping[str, Any] = field(default_factory=dict)
    mode: str = Mode.PAPER


@dataclass(frozen=True)
class Batch:
    """What became of the requests, by their position: a run, or the reasons against it."""

    started: Mapping[int, WorkflowExecution]
    refused: Mapping[int, Sequence[FieldError]]


@transaction.atomic
def executions_create(*, actor: Actor, requests: Mapping[int, RunRequest], partial: bool = False) -> Batch:
    """Write many runs in one transaction, each with its own task.

    Args:
        requests: by their position, which the pointers of errors begin with: `2/strategy_id`.
        partial: start the good ones; otherwise one bad request keeps all of them from starting.

    Raises:
        ValidationFailed: a request is wrong, or with `partial`, all of them are; nothing is written.
    """
    # All workflows are locked before the first is counted, in one order, so that two batches cannot block each other.
    locked = Workflow.objects.alive().select_for_update(of=("self",), no_key=True).select_related("current_version")
    workflows = {row.pk: row for row in locked.filter(pk__in={r.workflow_id for r in requests.values()}).order_by("pk")}
    strategies = Strategy.objects.alive().in_bulk({r.strategy_id for r in requests.values()})
    started: dict[int, WorkflowExecution] = {}
    refused: dict[int, Sequence[FieldError]] = {}
    for index, request in requests.items():
        try:
            started[index] = execution_create(
                actor=actor,
                workflow=_known(workflows, request.workflow_id, "workflow"),
                strategy=_known(strategies, request.strategy_id, "strategy"),
                symbols=request.symbols,
                priority=request.priority,
                input_data=request.input_data,
                mode=request.mode,
            )
        except ValidationFailed as error:
            refused[index] = [FieldError(f"{index}/{e.pointer}", e.code, e.detail) for e in error.errors]
        except StrategyNotRunnable as error:
            refused[index] = [FieldError(f"{index}/strategy_id", "not_runnable", error.detail)]
    if refused and not (partial and started):
        raise ValidationFailed(errors=[error for errors in refused.values() for error in errors])
    return Batch(started, refused)


def _known(rows: Mapping[UUID, Row], key: UUID, kind: str) -> Row:
    if key not in rows:
        raise ValidationFailed(errors=[FieldError(f"{kind}_id", "not_found", f"There is no {kind} {key}.")])
    return rows[key]


def _symbols_check(symbols: Sequence[str]) -> None:
    if not symbols:
        detail = "Name at least one symbol here or in the strategy."
        raise ValidationFailed(errors=[FieldError("symbols", "required", detail)])
    known = symbols_known(symbols)
    errors = [
        FieldError(f"symbols/{index}", "unknown_symbol", f"{symbol!r} is not known; import bars for it first.")
        for index, symbol in enumerate(symbols)
        if symbol not in known
    ]
    if errors:
        raise ValidationFailed(errors=errors)


def _call(execution: WorkflowExecution) -> None:
    """Have a worker called for a waiting run, and tell the sockets."""
    worker_call(execution)
    tell_status(execution)


def _locked(execution: WorkflowExecution) -> WorkflowExecution:
    return WorkflowExecution.objects.select_for_update(of=("self",)).get(pk=execution.pk)


@transaction.atomic
def execution_cancel(*, actor: Actor, execution: WorkflowExecution, reason: str = "") -> WorkflowExecution:
    """End a waiting run now; ask a running one to stop, which it does within two seconds.

    A second wish changes nothing.

    Raises:
        PermissionDenied: somebody else started it.
        ExecutionFinished: it has ended already.
    """
    run = _locked(execution)
    require_owner(actor=actor, created_by_id=run.created_by_id)
    if run.status == ExecutionStatus.PENDING:
        now = utcnow()
        run.status, run.cancel_requested_at, run.completed_at = ExecutionStatus.CANCELLED, now, now
        run.save(update_fields=["status", "cancel_requested_at", "completed_at"])
        # Running is the step of a worker that was lost: the run waits for another one.
        open_steps = run.steps.filter(status__in=[StepStatus.PENDING, StepStatus.RUNNING])
        open_steps.update(status=StepStatus.CANCELLED)
        tell_status(run)
        endings.note(run)
    elif run.status == ExecutionStatus.RUNNING:
        if run.cancel_requested_at is not None:
            return run
        run.cancel_requested_at = utcnow()
        run.save(update_fields=["cancel_requested_at"])
    else:
        raise ExecutionFinished(f"It is {run.status}; there is nothing left to cancel.")
    audit.record(actor=actor, action="execution.cancel", target=run, after={"status": run.status}, reason=reason)
    return run


@transaction.atomic
def task_cancel(*, actor: Actor, task_id: str) -> WorkflowExecution:
    """Cancel the run that this task carries.

    Raises:
        PermissionDenied: somebody else started it.
        TaskNotFound
        ExecutionFinished: it has ended already; also when its run was retried and goes on as another task.
    """
    # By the task's id and locked: a retry in between gives the run another task, which nobody wanted to end.
    run = WorkflowExecution.objects.select_for_update(of=("self",)).filter(task_id=task_id).first()
    if run is not None:
        return execution_cancel(actor=actor, execution=run)
    earlier = EarlierTask.objects.select_related("execution").filter(task_id=task_id).first()
    if earlier is not None:
        require_owner(actor=actor, created_by_id=earlier.execution.created_by_id)
        raise ExecutionFinished("This task has ended; its run was retried as another task.")
    raise TaskNotFound(f"There is no task {task_id}.")


@transaction.atomic
def execution_retry(*, actor: Actor, execution: WorkflowExecution) -> WorkflowExecution:
    """Let a failed or cancelled run go on from its first incomplete step, on the version it was pinned to.

    Raises:
        PermissionDenied: somebody else started it.
        ExecutionNotRetryable: it waits, runs, or is complete.
    """
    run = _locked(execution)
    require_owner(actor=actor, created_by_id=run.created_by_id)
    if run.status not in (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED):
        raise ExecutionNotRetryable(f"It is {run.status}; only a failed or cancelled run can be retried.")
    before = {"status": run.status, "error_code": run.error_code, "task_id": run.task_id}
    EarlierTask.objects.create(
        task_id=run.task_id,
        execution=run,
        status=task_status(run.status, run.attempts),
        progress=run.progress,
        attempts=run.attempts,
        error_code=run.error_code,
        error_message=run.error_message,
        started_at=run.started_at,
        completed_at=run.completed_at,
    )
    now = utcnow()
    run.status = ExecutionStatus.PENDING
    run.task_id = str(uuid.uuid4())
    run.attempts = 0
    run.cancel_requested_at = run.completed_at = run.lease_until = None
    run.error_code = run.error_message = ""
    run.queued_at = now
    run.save()
    # A failed step that its run was told to pass over stays as it is: the run went on after it. Not so after a halt.
    passed_over = Q(status=StepStatus.FAILED, on_error=OnError.CONTINUE) & ~Q(error_code=KillSwitchActive.code)
    run.steps.exclude(passed_over).exclude(status=StepStatus.COMPLETED).update(
        status=StepStatus.PENDING, error_code="", error_message="", started_at=None, completed_at=None
    )
    _call(run)
    audit.record(actor=actor, action="execution.retry", target=run, before=before, after={"task_id": run.task_id})
    return run
