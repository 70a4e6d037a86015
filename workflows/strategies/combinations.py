"""Strategies that ask more than one indicator."""

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import CLOSE, above, below, macd, rsi, sma
from workflows.strategies.rules import Columns, Rule

_TREND = Parameter("trend_period", "int", 50, "Period of the simple average that says the trend.", 2, 1000)
_RSI = Parameter("rsi_period", "int", 14, "Period of the relative strength index.", 2, 500)


def _two_rule(params: Params) -> Rule:
    trend, strength = sma(params["trend_period"]), rsi(params["rsi_period"])
    return Rule(
        (above(CLOSE, trend), above(strength, params["rsi_entry"])),
        2,
        (below(CLOSE, trend), below(strength, params["rsi_exit"])),
        1,
    )


def _two_reading(columns: Columns, params: Params) -> Reading:
    close = columns.get(CLOSE)
    trend, strength = columns.get(sma(params["trend_period"])), columns.get(rsi(params["rsi_period"]))
    return Reading(
        (
            Condition("close above the trend", close / trend - 1),
            Condition("strength above its entry", strength - params["rsi_entry"]),
        ),
        {"close": close, f"sma {params['trend_period']}": trend, f"rsi {params['rsi_period']}": strength},
    )


TWO_INDICATOR = StrategyType(
    slug="two_indicator",
    title="Two indicators",
    help="Enter when trend (simple average) and strength (RSI) agree, leave when either turns.",
    parameters=(
        _TREND,
        _RSI,
        Parameter("rsi_entry", "float", 50.0, "Enter above this strength.", 0, 100),
        Parameter("rsi_exit", "float", 40.0, "Leave below this strength.", 0, 100),
    ),
    constraints=(Constraint("rsi_exit", lambda p: p["rsi_exit"] <= p["rsi_entry"], "Must not be above rsi_entry."),),
    grid={
        "trend_period": (20, 50, 100, 200),
        "rsi_period": (7, 14),
        "rsi_entry": (50.0, 55.0),
        "rsi_exit": (30.0, 40.0),
    },
    warm_up=lambda p: max(p["trend_period"], p["rsi_period"] + 1),
    rule=_two_rule,
    reading=_two_reading,
)


def _three_rule(params: Params) -> Rule:
    trend, strength = sma(params["trend_period"]), rsi(params["rsi_period"])
    line, signal = macd(params["macd_fast"], params["macd_slow"], params["macd_signal"])
    return Rule(
        (above(CLOSE, trend), above(strength, params["rsi_level"]), above(line, signal)),
        params["votes"],
        (below(CLOSE, trend), below(strength, params["rsi_level"]), below(line, signal)),
        2,
    )


def _three_reading(columns: Columns, params: Params) -> Reading:
    close = columns.get(CLOSE)
    trend, strength = columns.get(sma(params["trend_period"])), columns.get(rsi(params["rsi_period"]))
    line, signal = map(columns.get, macd(params["macd_fast"], params["macd_slow"], params["macd_signal"]))
    return Reading(
        (
            Condition("close above the trend", close / trend - 1),
            Condition("strength above its level", strength - params["rsi_level"]),
            Condition("macd above its signal line", (line - signal) / close),
        ),
        {
            "close": close,
            f"sma {params['trend_period']}": trend,
            f"rsi {params['rsi_period']}": strength,
            "macd": line,
            "signal line": signal,
        },
    )


THREE_INDICATOR = StrategyType(
    slug="three_indicator",
    title="Three indicators",
    help="Trend, strength and MACD vote: enter on enough votes, leave when two of the three speak against.",
    parameters=(
        _TREND,
        _RSI,
        Parameter("rsi_level", "float", 50.0, "Strength above this votes for long.", 0, 100),
        Parameter("macd_fast", "int", 12, "Period of the fast average of MACD.", 2, 500),
        Parameter("macd_slow", "int", 26, "Period of the slow average of MACD.", 3, 1000),
        Parameter("macd_signal", "int", 9, "Period of MACD's signal line.", 1, 500),
        Parameter("votes", "int", 2, "Votes needed to enter: 2 or 3.", 2, 3),
    ),
    constraints=(Constraint("macd_fast", lambda p: p["macd_fast"] < p["macd_slow"], "Must be less than macd_slow."),),
    grid={"trend_period": (20, 50, 100), "rsi_level": (45.0, 50.0, 55.0), "votes": (2, 3)},
    warm_up=lambda p: max(p["trend_period"], p["rsi_period"] + 1, p["macd_slow"] + p["macd_signal"] - 1),
    rule=_three_rule,
    reading=_three_reading,
)
