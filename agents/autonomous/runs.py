"""Every change of the agent's runs: begin, follow, cancel."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from agents.autonomous.choices import Autonomy, RunStatus, RunTrigger
from agents.autonomous.config import config_as_json
from agents.autonomous.errors import AgentDisabled, AgentRunEnded, AgentRunUnderWay
from agents.autonomous.kept import strategy_kept
from agents.autonomous.models import AgentConfig, AgentRun
from agents.autonomous.selectors import DayUse, Hindrance, config_of, day_use, hindrances, run_get, symbols_of
from agents.autonomous.telling import RunView, StepView, messages_of, report_of
from agents.news import tell
from executions.choices import TERMINAL, StepStatus, Trigger
from executions.models import RunEnding, StepExecution, WorkflowExecution
from executions.services import execution_cancel, execution_create
from portfolio.models import Account
from portfolio.services import account_ensure_default
from safety.errors import KillSwitchActive
from scheduler.services import run_ended
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import Conflict, FieldError, ValidationFailed

POLL_S = 0.2
_REFUSALS: dict[str, type[Conflict]] = {each.code: each for each in (AgentDisabled, KillSwitchActive, AgentRunUnderWay)}


@transaction.atomic
def run_start(
    *,
    actor: Actor,
    trigger: str = RunTrigger.USER,
    symbols: Sequence[str] = (),
    autonomy: str | None = None,
) -> AgentRun:
    """Begin a run of the default account's agent, as it is set now.

    Args:
        symbols: instead of those of the setting.
        autonomy: less than the setting allows; more of it is refused.

    Returns:
        The run under way; or, for the clock, one that is skipped because something speaks against it.

    Raises:
        AgentDisabled, KillSwitchActive: by hand.
        AgentRunUnderWay: by hand; with `run_id`.
        AgentWorkflowChanged
        ValidationFailed: for symbols that are not known, none at all, or an autonomy beyond the setting.
    """
    account = account_ensure_default(actor=actor)
    config = config_of(account)
    _fresh(account)
    use = day_use(account)
    against = hindrances(config, now=utcnow(), use=use)
    if against and trigger == RunTrigger.SCHEDULE:
        return _skipped(actor, account, config, against[0])
    hard = next((each for each in against if not each.soft), None)
    if hard is not None:
        raise _refusal(hard, account)
    pinned, notes = _autonomy(config, autonomy, against)
    chosen = list(dict.fromkeys(symbols)) or symbols_of(config)
    if not chosen:
        detail = "There is nothing to look at: name symbols, or strategies that have some, at /api/agent or here."
        raise ValidationFailed(errors=[FieldError("symbols", "required", detail)])
    run = AgentRun(
        account=account,
        trigger=trigger,
        autonomy=pinned,
        config=config_as_json(config),
        symbols=chosen,
        notes=notes,
        created_by_id=actor.user_id,
    )
    try:
        # The database lets one of two starts through, whatever either of them has seen.
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError as error:
        hindrance = Hindrance(AgentRunUnderWay.code, "Another run began at this moment.")
        if trigger == RunTrigger.SCHEDULE:
            return _skipped(actor, account, config, hindrance)
        raise _refusal(hindrance, account) from error
    strategy = strategy_kept()
    run.execution = execution_create(
        actor=actor,
        workflow=strategy.workflow,
        strategy=strategy,
        symbols=chosen,
        input_data={"sizing": config.sizing, "max_orders": _orders_left(config, use)},
        mode=account.mode,
        triggered_by=Trigger.AGENT,
    )
    run.save(update_fields=["execution"])
    _tell(run, [])
    after = {"trigger": trigger, "autonomy": pinned, "symbols": chosen, "execution_id": str(run.execution.pk)}
    audit.record(actor=actor, action="agent.run", target=run, after=after)
    return run


def _fresh(account: Account) -> None:
    """Settle a run whose execution has ended already, so that it does not stand in the way of the next one."""
    ended = AgentRun.objects.filter(account=account, status=RunStatus.RUNNING, execution__status__in=TERMINAL)
    for execution_id in ended.values_list("execution_id", flat=True):
        run_follow(execution_id)


def _skipped(actor: Actor, account: Account, config: AgentConfig, hindrance: Hindrance) -> AgentRun:
    run = AgentRun(
        account=account,
        trigger=RunTrigger.SCHEDULE,
        autonomy=config.autonomy,
        config=config_as_json(config),
        symbols=symbols_of(config),
        status=RunStatus.SKIPPED,
        code=hindrance.code,
        reason=hindrance.detail,
        finished_at=utcnow(),
    )
    run.report = _report(run, [])
    run.save(force_insert=True)
    _tell(run, [])
    return run


def _refusal(hindrance: Hindrance, account: Account) -> Conflict:
    running = AgentRun.objects.filter(account=account, status=RunStatus.RUNNING).values_list("pk", flat=True).first()
    extra = {"run_id": str(running)} if running and hindrance.code == AgentRunUnderWay.code else {}
    return _REFUSALS[hindrance.code](hindrance.detail, extra=extra)


def _autonomy(config: AgentConfig, wanted: str | None, against: Sequence[Hindrance]) -> tuple[str, list[str]]:
    allowed, asked = Autonomy(config.autonomy), Autonomy(wanted or config.autonomy)
    if asked.rank > allowed.rank:
        detail = f"The setting allows {allowed.value} at most; an operator may change that at /api/agent."
        raise ValidationFailed(errors=[FieldError("autonomy", "too_much", detail)])
    notes = [f"{each.detail} A run by hand proposes at most." for each in against if each.soft]
    if notes and asked.rank > Autonomy.PROPOSE.rank:
        asked = Autonomy.PROPOSE
    return asked.value, notes


def _orders_left(config: AgentConfig, use: DayUse) -> int | None:
    most = config.budgets.get("day", {}).get("orders")
    # With none left a run proposes at most, and what it proposes is bounded as a day's orders are.
    return None if most is None else max(int(most) - use.orders, 0) or max(int(most), 1)


def run_follow(execution_id: UUID) -> None:
    """Tell what is new of the run that this execution carries, and end the run when the execution has ended.

    May be called at any time, by anybody, any number of times: what there is to tell follows from committed rows, and
    each of it is told once.
    """
    run = AgentRun.objects.select_related("execution").filter(execution_id=execution_id).first()
    if run is None or run.status != RunStatus.RUNNING:
        return
    with transaction.atomic():
        execution = WorkflowExecution.objects.get(pk=execution_id)
        if execution.status in TERMINAL:
            # Before the run's own row, as a fire of the clock takes them: its schedule first.
            _clock_told(run, execution)
        run = AgentRun.objects.select_for_update(of=("self",)).select_related("execution").get(pk=run.pk)
        if run.status != RunStatus.RUNNING:
            return
        steps = _step_views(execution_id)
        run.tokens, run.cost = _used(steps)
        if execution.status in TERMINAL:
            run.status, run.finished_at = execution.status, execution.completed_at or utcnow()
            run.code, run.reason = execution.error_code, execution.error_message
            run.report = _report(run, steps)
        _tell(run, steps)


def runs_ended(endings: Sequence[RunEnding]) -> None:
    """Follow executions that have ended; those that carry no run of the agent are none of ours."""
    ours = AgentRun.objects.filter(
        execution_id__in=[ending.execution_id for ending in endings], status=RunStatus.RUNNING
    )
    for execution_id in ours.order_by("pk").values_list("execution_id", flat=True):
        run_follow(execution_id)


def _clock_told(run: AgentRun, execution: WorkflowExecution) -> None:
    if run.trigger == RunTrigger.SCHEDULE:
        run_ended(
            run_id=run.pk,
            status=execution.status,
            result={"run_id": str(run.pk), "execution_id": str(execution.pk), "orders_placed": execution.orders_placed},
            code=execution.error_code,
            message=execution.error_message,
        )


def _tell(run: AgentRun, steps: Sequence[StepView]) -> None:
    messages = messages_of(_view(run), steps)
    if run.status == RunStatus.SKIPPED:
        messages = messages[-1:]
    for kind, data in messages[run.told :]:
        tell(kind, data)
    run.told = max(run.told, len(messages))
    run.save(update_fields=["told", "status", "finished_at", "code", "reason", "report", "tokens", "cost"])


def _view(run: AgentRun) -> RunView:
    return RunView(
        run_id=str(run.pk),
        execution_id=None if run.execution_id is None else str(run.execution_id),
        trigger=run.trigger,
        autonomy=run.autonomy,
        symbols=run.symbols,
        notes=run.notes,
        status=run.status,
        report=run.report,
    )


def _step_views(execution_id: UUID) -> list[StepView]:
    rows = StepExecution.objects.select_related("payload").filter(execution_id=execution_id).order_by("index")
    return [
        StepView(
            name=row.name,
            status=row.status,
            begun=row.attempts > 0,
            summary=row.summary,
            error_code=row.error_code,
            error_message=row.error_message,
            output=row.result if row.status == StepStatus.COMPLETED else {},
        )
        for row in rows
    ]


def _used(steps: Sequence[StepView]) -> tuple[int, Any]:
    return (
        sum(int(step.output.get("tokens", 0)) for step in steps),
        next((step.output["cost"] for step in steps if step.output.get("cost") is not None), None),
    )


def _report(run: AgentRun, steps: Sequence[StepView]) -> dict[str, Any]:
    return report_of(
        _view(run),
        steps,
        started_at=rfc3339(run.created_at),
        finished_at=None if run.finished_at is None else rfc3339(run.finished_at),
        code=run.code,
        reason=run.reason,
    )


def run_cancel(*, actor: Actor, run_id: UUID, reason: str = "") -> AgentRun:
    """Ask a run to stop; it ends at the next thing it does.

    Raises:
        AgentRunNotFound, PermissionDenied
        AgentRunEnded: there is nothing left to cancel.
    """
    run = run_get(run_id)
    if run.status != RunStatus.RUNNING or run.execution is None:
        raise AgentRunEnded(f"It is {run.status}; there is nothing left to cancel.")
    execution_cancel(actor=actor, execution=run.execution, reason=reason)
    run_follow(run.execution.pk)
    return run_get(run_id)


def run_wait(run_id: UUID, *, seconds: float) -> AgentRun:
    """Return the run when it has ended, or as it is when `seconds` are over.

    Raises:
        AgentRunNotFound
    """
    until = time.monotonic() + seconds
    run = run_get(run_id)
    if run.execution_id is None:
        return run
    status = WorkflowExecution.objects.filter(pk=run.execution_id).values_list("status", flat=True)
    while run.status == RunStatus.RUNNING and (left := until - time.monotonic()) > 0:
        if status.get() in TERMINAL:
            run_follow(run.execution_id)
            return run_get(run_id)
        if not connection.in_atomic_block:
            # Many may wait at once, and connections are few: none is held while nothing is asked.
            connection.close()
        _sleep(min(POLL_S, left))
    return run_get(run_id)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
