"""How far a round may move a parameter, of every parameter that can be declared."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optimize.adaptation.clamping import clamp, reach, within
from tests.optimize.adaptation.kinds import ANYTHING, FLOATS, PERCENTAGES, decided, declared, numbers
from workflows.strategies import StrategyType, strategy_types
from workflows.strategies.base import Parameter
from workflows.strategies.rules import Value

MOMENTUM = strategy_types.get("momentum")


def allowed(parameter: Parameter, current: Value, pct: float) -> Fraction:
    """Return how far a number may move by the rule as it is written, without the code under test."""
    size = abs(Fraction(str(current)))
    if not size and parameter.minimum is not None and parameter.maximum is not None:
        size = Fraction(str(parameter.maximum)) - Fraction(str(parameter.minimum))
    step = size * Fraction(str(pct)) / 100
    return Fraction(math.floor(step)) if parameter.kind == "int" else step


@given(numbers(), ANYTHING, PERCENTAGES)
@example((Parameter("knob", "float", 0.1, "", 0, 1), 0.1), 1.0, 20)
@example((Parameter("knob", "int", 100, "", 0, 1000), 100), 1000, 0.57)
def test_no_number_moves_further_than_its_percentage_or_leaves_its_range(
    declared: tuple[Parameter, Any], wanted: Value, pct: float
) -> None:
    parameter, current = declared
    found = clamp(parameter, current, wanted, pct)
    assert abs(Fraction(str(found)) - Fraction(str(current))) <= allowed(parameter, current, pct)
    parameter.clean(found)
    assert isinstance(found, int if parameter.kind == "int" else float)


@given(declared(), ANYTHING, PERCENTAGES)
def test_what_is_clamped_stays_when_it_is_clamped_again(
    declared: tuple[Parameter, Any], wanted: Value, pct: float
) -> None:
    parameter, current = declared
    found = clamp(parameter, current, wanted, pct)
    assert clamp(parameter, current, found, pct) == found
    parameter.clean(found)


@given(numbers(), FLOATS, PERCENTAGES)
def test_it_is_the_nearest_value_within_reach(declared: tuple[Parameter, Any], wanted: float, pct: float) -> None:
    parameter, current = declared
    bounds = reach(parameter, current, pct)
    found: Any = clamp(parameter, current, wanted, pct)
    if bounds is None:
        assert found == current
        return
    low, high = bounds
    assert low <= current <= high
    assert low <= found <= high
    if low <= wanted <= high:
        assert abs(found - wanted) <= (0.5 if parameter.kind == "int" else 0)
    else:
        assert found == (low if wanted < low else high)


@given(numbers(), st.floats(0, 100), st.floats(0, 100))
def test_more_percent_never_reach_less(declared: tuple[Parameter, Any], one: float, other: float) -> None:
    parameter, current = declared
    narrow, wide = (reach(parameter, current, pct) for pct in sorted((one, other)))
    if narrow is not None:
        assert wide is not None
        assert wide[0] <= narrow[0]
        assert narrow[1] <= wide[1]


@pytest.mark.parametrize(
    ("kind", "current", "pct", "bounds"),
    [
        ("float", 0.1, 20, (0.08, 0.12)),
        ("float", -2.0, 50, (-3.0, -1.0)),
        ("float", 0.0, 10, (-10.0, 10.0)),
        ("float", 45.0, 20, (36.0, 50.0)),
        ("int", 20, 10, (18, 22)),
        ("int", 29, 10, (27, 31)),
        ("int", 9, 10, None),
        ("int", 0, 1, (-1, 1)),
        ("int", 5, 100, (0, 10)),
        ("int", 20, 0, None),
        ("float", 60.0, 100, None),
        ("float", math.nan, 100, None),
        ("int", 20.5, 100, None),
        ("int", True, 100, None),
    ],
)
def test_the_rule_by_examples(kind: str, current: Value, pct: float, bounds: tuple[float, float] | None) -> None:
    knob = Parameter("knob", kind, 0, "", -50, 50)  # type: ignore[arg-type]
    assert reach(knob, current, pct) == bounds
    assert clamp(knob, current, 1e6, pct) == (bounds[1] if bounds else current) or current != current


def test_a_zero_without_a_declared_range_has_nothing_to_take_percent_of() -> None:
    assert reach(Parameter("knob", "float", 0.0, "", 0.0, None), 0.0, 50) is None
    assert reach(Parameter("knob", "float", 0.0, ""), 1.0, 50) == (0.5, 1.5)
    assert reach(Parameter("knob", "float", 0.0, ""), 1.7e308, 100) is not None


@pytest.mark.parametrize("pct", [99.9, 100])
def test_between_choices_there_is_all_or_nothing(pct: float) -> None:
    choice = Parameter("side", "choice", "long", "", choices=("long", "short"))
    truth = Parameter("fast", "bool", False, "")
    model = Parameter("model", "reference", "", "")
    old, new = (f"01890a5d-ac96-774b-bcce-b302099a805{last}" for last in "78")
    assert [reach(each, "long", pct) for each in (choice, truth, model)] == [None] * 3
    moved = pct == 100
    assert clamp(choice, "long", "short", pct) == ("short" if moved else "long")
    assert clamp(truth, False, True, pct) is moved
    assert clamp(model, old, new, pct) == (new if moved else old)
    assert clamp(choice, "long", "sideways", pct) == "long"
    assert clamp(truth, False, 1, pct) is False


@given(decided(), st.data(), PERCENTAGES)
def test_what_is_clamped_is_within_and_what_is_further_is_named(
    decided: tuple[StrategyType, dict[str, Value]], data: st.DataObject, pct: float
) -> None:
    kind, live = decided
    new = {each.name: clamp(each, live[each.name], data.draw(ANYTHING), pct) for each in kind.parameters}
    assert within(kind, live, new, pct) == []
    beyond = data.draw(st.sets(st.sampled_from(sorted(live))))
    for each in kind.parameters:
        if each.name in beyond:
            at: Any = live[each.name]
            bounds = reach(each, at, pct) or (at, at)
            down = data.draw(st.booleans())
            if each.kind == "int":
                new[each.name] = int(bounds[0]) - 1 if down else int(bounds[1]) + 1
            else:
                new[each.name] = math.nextafter(bounds[0], -math.inf) if down else math.nextafter(bounds[1], math.inf)
    assert set(within(kind, live, new, pct)) == beyond


def test_what_is_missing_unknown_or_of_another_kind_is_named() -> None:
    live = {"lookback": 60, "threshold": 2.0, "exit_threshold": 0.0}
    assert within(MOMENTUM, live, live, 0) == []
    assert within(MOMENTUM, live, {**live, "lookback": 66}, 10) == []
    assert within(MOMENTUM, live, {**live, "lookback": 67}, 10) == ["lookback"]
    for wrong in (61.0, True, "61", math.nan, math.inf):
        assert within(MOMENTUM, live, {**live, "lookback": wrong}, 10) == ["lookback"]
    assert within(MOMENTUM, live, {"lookback": 60, "threshold": 2.0}, 10) == ["exit_threshold"]
    assert within(MOMENTUM, {"lookback": 60}, live, 10) == ["threshold", "exit_threshold"]
    assert within(MOMENTUM, live, {**live, "luck": 1}, 100) == ["luck"]
    outside = {**live, "lookback": 1}
    assert within(MOMENTUM, outside, outside, 100) == []
    assert within(MOMENTUM, outside, live, 100) == ["lookback"]


@pytest.mark.parametrize("pct", [-1, 100.1, math.nan, math.inf])
def test_a_percentage_that_is_none_is_refused(pct: float) -> None:
    with pytest.raises(ValueError, match="pct"):
        reach(MOMENTUM.parameters[0], 60, pct)
    with pytest.raises(ValueError, match="pct"):
        within(MOMENTUM, MOMENTUM.clean({}), MOMENTUM.clean({}), pct)
