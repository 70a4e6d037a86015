"""Follow a price that leaves its range upwards."""

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import CLOSE, above, below, bollinger, highest, lowest
from workflows.strategies.rules import Columns, Rule


def _bollinger_rule(params: Params) -> Rule:
    upper, middle = bollinger(params["period"], params["deviations"])
    return Rule((above(CLOSE, upper),), 1, (below(CLOSE, middle),), 1)


def _bollinger_reading(columns: Columns, params: Params) -> Reading:
    close = columns.get(CLOSE)
    upper, middle = map(columns.get, bollinger(params["period"], params["deviations"]))
    return Reading(
        (
            Condition("close above the middle band", close / middle - 1),
            Condition("close above the upper band", close / upper - 1),
        ),
        {"close": close, "upper band": upper, "middle band": middle},
    )


BOLLINGER_BREAKOUT = StrategyType(
    slug="bollinger_breakout",
    title="Bollinger breakout",
    help="Enter above the upper Bollinger band, leave below the middle one.",
    parameters=(
        Parameter("period", "int", 20, "Period of the bands.", 2, 1000),
        Parameter("deviations", "float", 2.0, "Width of the bands in standard deviations.", 0.1, 10),
    ),
    constraints=(),
    grid={"period": (10, 20, 50), "deviations": (1.0, 1.5, 2.0, 2.5)},
    warm_up=lambda p: p["period"],
    rule=_bollinger_rule,
    reading=_bollinger_reading,
)


def _donchian_rule(params: Params) -> Rule:
    top, bottom = highest(params["entry_period"]), lowest(params["exit_period"])
    return Rule((above(CLOSE, top),), 1, (below(CLOSE, bottom),), 1)


def _donchian_reading(columns: Columns, params: Params) -> Reading:
    close = columns.get(CLOSE)
    top, bottom = columns.get(highest(params["entry_period"])), columns.get(lowest(params["exit_period"]))
    return Reading(
        (
            Condition("close above the middle of the channel", close / ((top + bottom) / 2) - 1),
            Condition("close above the channel", close / top - 1),
        ),
        {"close": close, "highest high": top, "lowest low": bottom},
    )


DONCHIAN_BREAKOUT = StrategyType(
    slug="donchian_breakout",
    title="Donchian breakout",
    help="Enter above the highest high of the bars before, leave below the lowest low of a shorter stretch.",
    parameters=(
        Parameter("entry_period", "int", 20, "Bars before this one whose highest high must be passed.", 2, 1000),
        Parameter("exit_period", "int", 10, "Bars before this one whose lowest low must be passed.", 2, 1000),
    ),
    constraints=(
        Constraint("exit_period", lambda p: p["exit_period"] <= p["entry_period"], "Must not exceed entry_period."),
    ),
    grid={"entry_period": (10, 20, 55), "exit_period": (5, 10, 20)},
    warm_up=lambda p: p["entry_period"] + 1,
    rule=_donchian_rule,
    reading=_donchian_reading,
)
