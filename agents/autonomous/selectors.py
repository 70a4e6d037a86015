"""Reading how the agent is set, its runs, what it proposes, and why it would not run now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, F, QuerySet, Sum

from agents.autonomous.choices import ProposalStatus, RunStatus
from agents.autonomous.errors import (
    DAY_BUDGET_COST,
    DAY_BUDGET_ORDERS,
    DAY_BUDGET_TOKENS,
    QUIET_HOURS,
    AgentDisabled,
    AgentRunNotFound,
    AgentRunUnderWay,
    ProposalNotFound,
)
from agents.autonomous.models import AgentConfig, AgentRun, Proposal
from agents.autonomous.quiet import quiet_window, window_words
from executions.models import StepExecution
from portfolio.choices import OrderStatus
from portfolio.models import Account, Order
from safety import killswitch
from safety.errors import KillSwitchActive
from safety.selectors import day_start
from scheduler.models import Schedule
from scheduler.services import rule_spoken
from tradingsite.common.clock import utcnow
from workflows.models import Strategy


@dataclass(frozen=True)
class Hindrance:
    """Why a run would not start, or would go less far: `soft` ones bind the clock, and a run by hand to proposing."""

    code: str
    detail: str
    soft: bool = False


@dataclass(frozen=True)
class DayUse:
    """What the agent's runs of this trading day have used."""

    runs: int
    tokens: int
    cost: Decimal
    orders: int


def config_of(account: Account) -> AgentConfig:
    """Return how the account's agent is set; what nobody has set yet are the defaults, unsaved."""
    found = AgentConfig.objects.select_related("schedule").filter(account=account).first()
    return found if found is not None else AgentConfig(account=account)


def symbols_of(config: AgentConfig) -> list[str]:
    """Return what a run looks at: the symbols of the setting, else those of its strategies, each once."""
    if config.symbols:
        return list(config.symbols)
    rows = {str(row.pk): row.symbols for row in Strategy.objects.alive().filter(pk__in=config.strategies)}
    return list(dict.fromkeys(symbol for each in config.strategies for symbol in rows.get(str(each), [])))


def day_use(account: Account) -> DayUse:
    """Return what the runs of this trading day have used."""
    runs = AgentRun.objects.filter(account=account, created_at__gte=day_start()).exclude(status=RunStatus.SKIPPED)
    sums = runs.aggregate(count=Count("id"), tokens=Sum("tokens"), cost=Sum("cost"))
    orders = Order.objects.filter(
        account=account, execution_id__in=runs.filter(execution__isnull=False).values("execution_id")
    ).exclude(status=OrderStatus.DENIED)
    return DayUse(sums["count"], sums["tokens"] or 0, sums["cost"] or Decimal(0), orders.count())


def run_under_way(account: Account) -> AgentRun | None:
    """Return the account's unfinished run."""
    return AgentRun.objects.filter(account=account, status=RunStatus.RUNNING).first()


def hindrances(config: AgentConfig, *, now: datetime, use: DayUse) -> list[Hindrance]:
    """Return everything that speaks against a run now, what stops it altogether first."""
    found = []
    if not config.enabled:
        found.append(Hindrance(AgentDisabled.code, "The agent is switched off; set `enabled` to true."))
    switch = killswitch.state()
    if switch.active:
        found.append(Hindrance(KillSwitchActive.code, switch.detail))
    running = run_under_way(config.account)
    if running is not None:
        found.append(Hindrance(AgentRunUnderWay.code, f"Run {running.pk} is under way."))
    quiet = config.quiet_hours or {}
    window = quiet_window(quiet, now)
    if window is not None:
        found.append(Hindrance(QUIET_HOURS, f"Quiet hours {window_words(quiet, window)}.", soft=True))
    return found + _spent(config.budgets.get("day", {}), use)


def _spent(budget: Mapping[str, Any], use: DayUse) -> list[Hindrance]:
    pairs = (
        (DAY_BUDGET_TOKENS, "tokens", use.tokens),
        (DAY_BUDGET_COST, "cost", use.cost),
        (DAY_BUDGET_ORDERS, "orders", use.orders),
    )
    return [
        Hindrance(code, f"The day's {name} are used up: {used} of {budget[name]}.", soft=True)
        for code, name, used in pairs
        if budget.get(name) is not None and Decimal(used) >= Decimal(str(budget[name]))
    ]


def runs_visible() -> QuerySet[AgentRun]:
    """Return all runs of the agent, the newest first."""
    return AgentRun.objects.select_related("created_by").order_by("-created_at", "-id")


def run_get(run_id: UUID) -> AgentRun:
    """Return one run of the agent.

    Raises:
        AgentRunNotFound
    """
    run = runs_visible().select_related("execution").filter(pk=run_id).first()
    if run is None:
        raise AgentRunNotFound(f"There is no run {run_id} of the agent.")
    return run


def phases_visible() -> QuerySet[StepExecution]:
    """Return the phases of all runs that have begun, the newest first, each with its run's id as `run_id`."""
    return (
        StepExecution.objects.filter(execution__agent_run__isnull=False, started_at__isnull=False)
        .annotate(run_id=F("execution__agent_run__id"))
        .only("id", "execution_id", "index", "name", "status", "summary", "logs", "error_code", "error_message",
              "started_at", "completed_at", "attempts")
        # The numbers of rows that one statement writes follow no order.
        .order_by("-started_at", "-id")
    )  # fmt: skip


def proposals_visible() -> QuerySet[Proposal]:
    """Return all proposals, the newest first."""
    return Proposal.objects.select_related("decided_by", "order", "run").order_by("-created_at", "-id")


def proposal_get(proposal_id: UUID) -> Proposal:
    """Return one proposal.

    Raises:
        ProposalNotFound
    """
    proposal = proposals_visible().filter(pk=proposal_id).first()
    if proposal is None:
        raise ProposalNotFound(f"There is no proposal {proposal_id}.")
    return proposal


def proposals_pending(account: Account, now: datetime) -> QuerySet[Proposal]:
    """Return what waits for a person."""
    return proposals_visible().filter(account=account, status=ProposalStatus.PENDING, expires_at__gt=now)


def agent_standing(account: Account) -> dict[str, Any]:
    """Return how the account's agent is set and how it stands; see `AgentStatus` for the shape."""
    now = utcnow()
    config, use = config_of(account), day_use(account)
    against = hindrances(config, now=now, use=use)
    running = run_under_way(account)
    schedule = config.schedule if config.schedule is not None and config.schedule.deleted_at is None else None
    halted = any(each.code == KillSwitchActive.code for each in against)
    idle = "disabled" if not config.enabled else "halted" if halted else "idle"
    return {
        "config": config,
        "cadence": cadence_of(schedule),
        "status": "running" if running is not None else idle,
        "effective_symbols": symbols_of(config),
        "last_run": runs_visible().defer("config", "report").filter(account=account).first(),
        "running_run": running,
        "next_run_time": schedule.next_run_at if schedule is not None and schedule.enabled else None,
        "today": use,
        "would_not_run": against,
        "proposals_pending": proposals_pending(account, now).count(),
    }


def cadence_of(schedule: Schedule | None) -> dict[str, Any] | None:
    """Return when the clock starts a run, in the words of the API; None when it never does."""
    if schedule is None or schedule.deleted_at is not None:
        return None
    return {"schedule": rule_spoken(schedule), "timezone": schedule.timezone}
