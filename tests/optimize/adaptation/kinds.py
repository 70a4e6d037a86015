"""Parameters, types and parameters' values for the tests of adaptation."""

from typing import Any

from hypothesis import strategies as st

from workflows.strategies import StrategyType, strategy_types
from workflows.strategies.base import Parameter
from workflows.strategies.rules import Value

# Also smaller and larger than any that a real type has, and values that no binary fraction meets.
FLOATS = st.floats(-1e9, 1e9, allow_nan=False) | st.decimals(-100, 100, places=2, allow_nan=False).map(float)
PERCENTAGES = st.floats(0, 100) | st.integers(0, 100)
ANYTHING: st.SearchStrategy[Value] = (
    st.floats() | st.integers(-(10**30), 10**30) | st.booleans() | st.sampled_from(["slow", "fast", "never"])
)
TYPES = [kind for kind in strategy_types.all() if not kind.references]


@st.composite
def numbers(draw: st.DrawFn) -> tuple[Parameter, Any]:
    """A declared number and a value of it, in its range."""
    kind: Any = draw(st.sampled_from(["int", "float"]))
    ends = st.integers(-(10**6), 10**6) if kind == "int" else FLOATS
    low, high = sorted((draw(ends), draw(ends)))
    bounded = draw(st.booleans())
    inside = st.integers(int(low), int(high)) if kind == "int" else st.floats(low, high) | st.sampled_from([low, high])
    value: Any = draw(inside | st.just(0)) if low <= 0 <= high else draw(inside)
    value = int(value) if kind == "int" else float(value)
    limits: tuple[float | None, float | None] = (low, high) if bounded else (None, None)
    return Parameter("knob", kind, value, "", *limits), value


@st.composite
def declared(draw: st.DrawFn) -> tuple[Parameter, Any]:
    """A parameter of any kind and a value of it."""
    words = ("slow", "fast", "still")
    return draw(
        numbers()
        | st.sampled_from(words).map(lambda word: (Parameter("knob", "choice", "slow", "", choices=words), word))
        | st.booleans().map(lambda truth: (Parameter("knob", "bool", False, ""), truth))
        | st.uuids().map(lambda key: (Parameter("knob", "reference", "", ""), str(key)))
    )


@st.composite
def decided(draw: st.DrawFn) -> tuple[StrategyType, dict[str, Value]]:
    """A registered type with parameters that it accepts, most of them anywhere in the range."""
    kind = draw(st.sampled_from(TYPES))
    live: dict[str, Value] = kind.clean({})
    for parameter in kind.parameters:
        if parameter.kind in ("int", "float") and draw(st.booleans()):
            low, high = parameter.minimum, parameter.maximum
            assert low is not None
            assert high is not None
            value = draw(st.integers(int(low), int(high)) if parameter.kind == "int" else st.floats(low, high))
            changed = {**live, parameter.name: value}
            if all(rule.holds(changed) for rule in kind.constraints):
                live = changed
    return kind, live


@st.composite
def spaces(draw: st.DrawFn, kind: StrategyType) -> dict[str, list[Value]] | None:
    """A space over some of a type's numbers; None for its own grid."""
    if draw(st.booleans()):
        return None
    chosen = draw(st.lists(st.sampled_from(kind.parameters), min_size=1, max_size=3, unique_by=lambda each: each.name))
    space: dict[str, list[Value]] = {}
    for parameter in chosen:
        low, high = parameter.minimum, parameter.maximum
        if low is None or high is None:
            continue
        values: Any = st.integers(int(low), int(high)) if parameter.kind == "int" else st.floats(low, high)
        space[parameter.name] = draw(st.lists(values, min_size=1, max_size=4, unique=True))
    return space or None
