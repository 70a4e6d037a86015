"""Figures of accounts and goals, as alert rules are told them: exact, and none at all where a position has no price."""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from portfolio import goal_selectors, selectors
from portfolio.ledger import ONE, divide
from portfolio.models import Account, Goal
from safety.alerting.contracts import ACCOUNT, GOAL, Facts, fact_sources
from safety.alerting.observations import Gap
from tradingsite.common.errors import AppError

ZERO = Decimal(0)


class AccountFigures:
    """An account's worth, its loss today and how far it is below its highest equity."""

    slug: str = ACCOUNT

    def facts(self, subjects: Collection[str], *, now: datetime) -> Mapping[str, Facts | Gap]:
        known = {str(row.pk): row for row in Account.objects.filter(pk__in=[UUID(each) for each in subjects if each])}
        found: dict[str, Facts | Gap] = {}
        for subject in subjects:
            try:
                account = known.get(subject) if subject else selectors.account_default()
            except AppError as error:
                found[subject] = Gap(error.code, error.detail)
                continue
            found[subject] = (
                Gap("ACCOUNT_UNKNOWN", "There is no such account.") if account is None else _of(account, now)
            )
        return found


def _of(account: Account, now: datetime) -> Facts | Gap:
    standing = selectors.account_standing(account, now)
    if not standing.complete:
        return Gap("NOT_VALUED", f"A position of {account.name} has no price, so what it is worth is not known.")
    loss = max(-standing.day_pnl, ZERO)
    figures = {
        "equity": standing.equity,
        "cash": account.cash,
        "exposure": standing.gross_exposure,
        "day_pnl": standing.day_pnl,
        "daily_loss": loss,
    }
    if standing.peak > 0:
        figures["drawdown"] = ONE - divide(standing.equity, standing.peak)
    if standing.day_began_with > 0:
        figures["daily_loss_fraction"] = divide(loss, standing.day_began_with)
    return Facts(now, figures)


class GoalFigures:
    """How far a goal's account is from its targets: in all, and symbol by symbol."""

    slug: str = GOAL

    def facts(self, subjects: Collection[str], *, now: datetime) -> Mapping[str, Facts | Gap]:
        goals = goal_selectors.goals_visible().filter(pk__in=[UUID(each) for each in subjects])
        found = {str(goal.pk): _drift(goal, now) for goal in goals}
        unknown = Gap("GOAL_UNKNOWN", "There is no such goal.")
        return {subject: found.get(subject, unknown) for subject in subjects}


def _drift(goal: Goal, now: datetime) -> Facts | Gap:
    found = goal_selectors.goal_measure(goal, wall=now)
    if found.unpriced:
        return Gap("NOT_VALUED", f"{', '.join(found.unpriced)} has no price, so no weight is known.")
    if found.measure is None:
        return Gap("EQUITY_NOT_POSITIVE", f"{goal.account.name} has no equity that a weight could be a part of.")
    by_symbol = {f"drift:{each.symbol}": abs(each.drift) for each in found.measure.allocations}
    return Facts(now, {"total_drift": found.measure.total, **by_symbol})


def register() -> None:
    """Register both sources."""
    fact_sources.register(AccountFigures())
    fact_sources.register(GoalFigures())
