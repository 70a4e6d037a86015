"""Reading goals, and how far their account is from them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from portfolio.drift import RECOVERY, Allocation, Held, Measure, Watch, measure, watched
from portfolio.equity import Valuation, valuation
from portfolio.errors import EquityNotPositive, GoalUnknown
from portfolio.models import Goal
from tradingsite.common.decimals import decimal_string


@dataclass(frozen=True)
class GoalMeasure:
    """A goal's account at `as_of`.

    Attributes:
        measure: None without equity.
        unpriced: symbols that are held without a price; they count at the price they were bought at.
    """

    as_of: datetime
    worth: Valuation
    measure: Measure | None
    unpriced: tuple[str, ...]


def goals_visible(*, deleted: bool = False) -> QuerySet[Goal]:
    """Return the goals of a list with what is remembered of each, deleted ones only on request."""
    goals: QuerySet[Goal] = Goal.objects.select_related("watch", "account")
    return goals.filter(deleted_at__isnull=not deleted)


def goal_get(goal_id: UUID) -> Goal:
    """Return one goal with its account and its watch.

    Raises:
        GoalUnknown: also for a deleted one.
    """
    goal = goals_visible().filter(pk=goal_id).first()
    if goal is None:
        raise GoalUnknown(f"There is no goal {goal_id}.")
    return goal


def goal_measure(goal: Goal, *, wall: datetime, worth: Valuation | None = None) -> GoalMeasure:
    """Measure the goal's account at `wall`, or at a valuation that was made already."""
    worth = worth or valuation(account=goal.account, wall=wall)
    held = {
        holding.position.instrument.symbol: Held(holding.position.quantity, holding.value) for holding in worth.holdings
    }
    unpriced = tuple(sorted(h.position.instrument.symbol for h in worth.holdings if h.mark is None))
    return GoalMeasure(wall, worth, measure(goal.targets, held, cash=worth.cash), unpriced)


def goal_drift(goal: Goal, *, wall: datetime) -> dict[str, Any]:
    """Return where the goal's account stands now.

    `breached` and `breached_since` are what monitoring would say of this look: over from above the threshold on, until
    the drift is at or below `recovers_at`. Nothing is written.

    Returns:
        `goal_id, as_of, equity, drift_threshold, recovers_at, total_drift, total_drift_pct, breached, breached_since,
        checked_at, valued, unpriced, cash` and `allocations`, by symbol; weights and drifts are fractions of equity as
        Decimal, the `_pct` ones percentages as float.

    Raises:
        EquityNotPositive: when there is nothing that a weight could be a part of.
    """
    found = goal_measure(goal, wall=wall)
    if found.measure is None:
        raise EquityNotPositive(
            f"The equity of {goal.account.name} is {decimal_string(found.worth.equity)}: nothing is a part of it."
        )
    total = found.measure.total
    remembered = Watch(goal.watch.over_since)
    now = remembered if found.unpriced else watched(remembered, total=total, threshold=goal.drift_threshold, at=wall)
    return {
        "goal_id": goal.pk,
        "as_of": wall,
        "equity": found.worth.equity,
        "drift_threshold": goal.drift_threshold,
        "recovers_at": goal.drift_threshold * RECOVERY,
        "total_drift": total,
        "total_drift_pct": percent(total),
        "breached": now.over_since is not None,
        "breached_since": now.over_since,
        "checked_at": goal.watch.checked_at,
        "valued": not found.unpriced,
        "unpriced": list(found.unpriced),
        "cash": {
            "target_weight": found.measure.cash_target,
            "current_weight": found.measure.cash_weight,
            "drift": found.measure.cash_weight - found.measure.cash_target,
            "drift_pct": percent(found.measure.cash_weight - found.measure.cash_target),
            "value": found.worth.cash,
        },
        "allocations": [_allocation(allocation) for allocation in found.measure.allocations],
    }


def _allocation(allocation: Allocation) -> dict[str, Any]:
    return {
        "symbol": allocation.symbol,
        "target_weight": allocation.target_weight,
        "current_weight": allocation.current_weight,
        "drift": allocation.drift,
        "drift_pct": percent(allocation.drift),
        "value": allocation.value,
        "quantity": allocation.quantity,
        "outside": allocation.outside,
    }


def percent(fraction: Decimal) -> float:
    """Write a fraction as a percentage, to a hundred-millionth of a percent."""
    return float(fraction * 100)
