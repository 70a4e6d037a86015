"""Every change of how the agent is set."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import transaction

from agents.autonomous.models import AgentConfig
from agents.autonomous.selectors import cadence_of, config_of
from market.symbols import symbols_known
from portfolio.services import account_ensure_default
from scheduler.models import Schedule
from scheduler.services import schedule_create, schedule_delete, schedule_update
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.definitions import AGENTS, config_typed
from workflows.models import Strategy

JOB = "agents.run_agent"
SCHEDULE_NAME = "Autonomous agent"
FIELDS = (
    "enabled", "autonomy", "strategies", "symbols", "team_enabled", "team", "budgets", "quiet_hours", "sizing",
    "proposal_lifetime_s", "price_bound_pct",
)  # fmt: skip

Precondition = Callable[[AgentConfig], None]


def config_as_json(config: AgentConfig) -> dict[str, Any]:
    """Return how the agent is set, as a run pins it and as the audit keeps it."""
    values = {name: getattr(config, name) for name in FIELDS}
    return {**values, "price_bound_pct": str(config.price_bound_pct), "cadence": cadence_of(config.schedule)}


@transaction.atomic
def config_update(*, actor: Actor, changes: Mapping[str, Any], precondition: Precondition | None = None) -> AgentConfig:
    """Change what `changes` names of the setting of the default account's agent; each value is replaced as a whole.

    Args:
        changes: those of FIELDS, and `cadence`: `{schedule, timezone?}` in the scheduler's words, or None for none.

    Raises:
        ValidationFailed: naming each wrong field, such as `cadence/schedule` or `strategies/0`.
        PreconditionFailed, ScheduleNameTaken
    """
    account = account_ensure_default(actor=actor)
    AgentConfig.objects.get_or_create(account=account)
    config = AgentConfig.objects.select_for_update(of=("self",)).select_related("schedule").get(account=account)
    if precondition is not None:
        precondition(config)
    errors = [
        FieldError(name, "unknown_field", "There is no such field.")
        for name in sorted(set(changes) - {*FIELDS, "cadence"})
    ]
    errors += _strategy_errors(changes.get("strategies", [])) + _symbol_errors(changes.get("symbols", []))
    errors += _team_errors(changes.get("team"))
    if errors:
        raise ValidationFailed(errors=errors)
    before = config_as_json(config)
    for name in FIELDS:
        if name in changes:
            setattr(config, name, changes[name])
    if "cadence" in changes:
        config.schedule = _schedule_kept(actor, config.schedule, changes["cadence"])
    config.version += 1
    config.updated_at = utcnow()
    config.save()
    # By the account's key, which is this row's too.
    audit.record(actor=actor, action="agent.configure", target=config, before=before, after=config_as_json(config))
    return config_of(account)


def _strategy_errors(ids: list[str]) -> list[FieldError]:
    known = {
        str(pk)
        for pk in Strategy.objects.alive().filter(pk__in=[UUID(str(i)) for i in ids]).values_list("pk", flat=True)
    }
    return [
        FieldError(f"strategies/{index}", "not_found", f"There is no strategy {each}.")
        for index, each in enumerate(ids)
        if str(each) not in known
    ]


def _symbol_errors(symbols: list[str]) -> list[FieldError]:
    known = symbols_known(symbols) if symbols else set()
    return [
        FieldError(f"symbols/{index}", "unknown_symbol", f"{symbol!r} is not known; import bars for it first.")
        for index, symbol in enumerate(symbols)
        if symbol not in known
    ]


def _team_errors(team: Mapping[str, Any] | None) -> list[FieldError]:
    """Say what the step that asks a team would refuse, such as a tool that there is none of."""
    if team is None:
        return []
    try:
        config_typed(AGENTS, team)
    except ValidationFailed as failure:
        return [replace(error, pointer=f"team/{error.pointer}".rstrip("/")) for error in failure.errors]
    return []


def _schedule_kept(actor: Actor, schedule: Schedule | None, cadence: Mapping[str, Any] | None) -> Schedule | None:
    """Have the clock's one row say what `cadence` says."""
    alive = schedule if schedule is not None and schedule.deleted_at is None else None
    if cadence is None:
        if alive is not None:
            schedule_delete(actor=actor, schedule_id=alive.pk)
        return None
    rule = {"schedule": cadence["schedule"], "timezone": cadence.get("timezone", "UTC")}
    try:
        if alive is None:
            return schedule_create(actor=actor, name=SCHEDULE_NAME, job_type=JOB, config={}, **rule)
        return schedule_update(
            actor=actor, schedule_id=alive.pk, changes={**rule, "job_type": JOB, "config": {}, "enabled": True}
        )
    except ValidationFailed as failure:
        raise ValidationFailed(errors=[replace(e, pointer=f"cadence/{e.pointer}") for e in failure.errors]) from None
