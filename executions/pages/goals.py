"""The list of goals and the page of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from portfolio import goal_selectors, rebalance_selectors
from portfolio.errors import EquityNotPositive
from portfolio.models import Goal
from workflows.errors import StrategyNotFound
from workflows.selectors import strategy_get

PAGE = 25
REBALANCES = 5


@dataclass(frozen=True)
class GoalRow:
    """One line of the list, as monitoring found it last.

    Attributes:
        state: `off`, `over` (its threshold), `unknown` (could not be told) or `within`.
        share: how much of its threshold the drift uses up, 0..100; None while it is not known.
    """

    id: UUID
    name: str
    state: str
    symbols: str
    total_drift: Decimal | None
    drift_threshold: Decimal
    share: int | None
    over_since: datetime | None
    checked_at: datetime | None


def goals_page(number: int) -> dict[str, Any]:
    """Return one page of the goals, newest first; the first for a number that there is no page of."""
    goals = goal_selectors.goals_visible()
    count = goals.count()
    last = max(1, -(-count // PAGE))
    number = number if 1 <= number <= last else 1
    shown = goals[(number - 1) * PAGE : number * PAGE]
    return {
        "goals": [_row(goal) for goal in shown],
        "newer_page": number - 1 if number > 1 else None,
        "older_page": number + 1 if number < last else None,
    }


def goal_page(goal_id: UUID, *, wall: datetime) -> dict[str, Any]:
    """Return where the account stands beside one goal, and its last rebalances.

    Raises:
        GoalUnknown: when there is no such goal.
    """
    goal = goal_selectors.goal_get(goal_id)
    drift: Mapping[str, Any] | None = None
    problem = ""
    try:
        drift = goal_selectors.goal_drift(goal, wall=wall)
    except EquityNotPositive as error:
        problem = error.detail
    rebalances = rebalance_selectors.rebalances_visible(goal)[:REBALANCES]
    return {
        "goal": _row(goal),
        "account": goal.account,
        "strategy_id": goal.strategy_id,
        "strategy_name": _strategy_name(goal.strategy_id),
        "drift": drift,
        "problem": problem,
        # What is furthest from its target first: that is what one comes for.
        "allocations": sorted(drift["allocations"], key=_distance) if drift else (),
        "rebalances": [rebalance_selectors.rebalance_report(rebalance) for rebalance in rebalances],
    }


def _strategy_name(strategy_id: UUID | None) -> str:
    """Return what a strategy is called, also one that is deleted: orders are placed in its name all the same."""
    if strategy_id is None:
        return ""
    try:
        strategy = strategy_get(strategy_id, deleted=True)
    except StrategyNotFound:
        return str(strategy_id)
    return strategy.name if strategy.deleted_at is None else f"{strategy.name} (deleted)"


def _distance(allocation: Mapping[str, Any]) -> tuple[Decimal, str]:
    return -abs(allocation["drift"]), allocation["symbol"]


def _row(goal: Goal) -> GoalRow:
    watch, threshold = goal.watch, goal.drift_threshold
    total = watch.total_drift
    return GoalRow(
        id=goal.pk,
        name=goal.name,
        state="off" if not goal.enabled else "over" if watch.over_since else "unknown" if total is None else "within",
        symbols=_named(list(goal.target_weights)),
        total_drift=total,
        drift_threshold=threshold,
        share=None if total is None else min(100, int(total * 100 / threshold)),
        over_since=watch.over_since,
        checked_at=watch.checked_at,
    )


def _named(symbols: Sequence[str], shown: int = 6) -> str:
    """Return the first few symbols and how many more there are."""
    rest = len(symbols) - shown
    return ", ".join(symbols[:shown]) + (f" and {rest} more" if rest > 0 else "")
