"""The rules of many combinations, read off one: exactly those that each combination has by itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.engine.plan import Plan, _one_by_one, encode
from optimize.engine.tracing import traced
from workflows.strategies import Column, Comparison, Rule, StrategyType, strategy_types

SEARCHED = [kind for kind in strategy_types.all() if not kind.references]


def spelled(plan: Plan, row: int) -> tuple[Any, ...]:
    """Return what a combination asks for, in columns and levels."""
    entries, entries_needed, exits, exits_needed = plan.shape[row].tolist()
    asked = []
    for mask in plan.asked[row].tolist():
        if mask >= 0:
            right = plan.right[mask // 2]
            other = plan.columns[right] if right >= 0 else float(plan.level[mask // 2])
            asked.append((plan.columns[plan.left[mask // 2]], mask % 2 == 0, other))
    known = {plan.columns[number] for number in plan.known[row].tolist() if number >= 0}
    return entries, entries_needed, exits, exits_needed, asked, known


@st.composite
def searches(draw: st.DrawFn) -> tuple[StrategyType, list[Mapping[str, Any]]]:
    kind = draw(st.sampled_from(SEARCHED))
    grid = [kind.clean(params) for params in kind.default_grid()]
    return kind, draw(st.lists(st.sampled_from(grid), min_size=8, max_size=40))


@given(searches())
def test_every_combination_asks_for_what_its_own_rule_does(
    search: tuple[StrategyType, list[Mapping[str, Any]]],
) -> None:
    kind, combinations = search
    plan, slow = encode(kind, combinations), _one_by_one(kind, combinations)
    assert [spelled(plan, row) for row in range(len(plan))] == [spelled(slow, row) for row in range(len(slow))]
    assert len(set(plan.columns)) == len(plan.columns)


@pytest.mark.parametrize("slug", ["sma_crossover", "momentum", "macd", "bollinger_breakout", "donchian_breakout"])
def test_rules_that_only_pass_their_numbers_on_are_read_at_once(slug: str) -> None:
    kind = strategy_types.get(slug)
    assert traced(kind, [kind.clean(params) for params in kind.default_grid()]) is not None


def _close_above(level: Callable[[Any], Any], column: Callable[[Any], Any] = lambda period: period) -> StrategyType:
    """Return a crossing type whose rule makes something of its parameters."""

    def rule(params: Mapping[str, Any]) -> Rule:
        average = Column.of("sma", period=column(params["slow"]))
        return Rule((Comparison(average, True, level(params["fast"])),), 1, (Comparison(average, False, 1.0),), 1)

    return replace(strategy_types.get("sma_crossover"), rule=rule)


@pytest.mark.parametrize(
    "kind",
    [
        _close_above(lambda fast: fast * 2),
        _close_above(lambda fast: 30.0 if fast > 10 else 5.0),
        _close_above(lambda fast: 30.0 if fast else 5.0),
        _close_above(lambda fast: 30.0 if fast == 5 else 5.0),
        _close_above(lambda fast: float(fast)),
        _close_above(lambda fast: 30.0 if isinstance(fast, int) else fast),
        _close_above(lambda fast: fast, lambda slow: slow + 1),
        _close_above(lambda fast: fast, lambda slow: int(f"{slow}") + 1),
    ],
    ids=["computed", "greater", "truth", "equal", "converted", "kind", "period", "written"],
)
def test_a_rule_that_makes_something_of_a_number_is_asked_for_each_combination(kind: StrategyType) -> None:
    combinations = [kind.clean(params) for params in kind.default_grid()]
    assert traced(kind, combinations) is None
    plan, slow = encode(kind, combinations), _one_by_one(kind, combinations)
    assert [spelled(plan, row) for row in range(len(plan))] == [spelled(slow, row) for row in range(len(slow))]
