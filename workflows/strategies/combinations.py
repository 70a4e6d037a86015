"""Strategies that ask more than one indicator."""

import numpy as np

from market.bars import Bars
from workflows.strategies.base import Condition, Constraint, Parameter, Params, Signals, StrategyType, Study
from workflows.strategies.numbers import macd, rsi, sma

_TREND = Parameter("trend_period", "int", 50, "Period of the simple average that says the trend.", 2, 1000)
_RSI = Parameter("rsi_period", "int", 14, "Period of the relative strength index.", 2, 500)


def _two(bars: Bars, params: Params) -> Study:
    trend, strength = sma(bars, params["trend_period"]), rsi(bars, params["rsi_period"])
    known = np.isfinite(trend) & np.isfinite(strength)
    return Study(
        Signals(
            (bars.close > trend) & (strength > params["rsi_entry"]) & known,
            ((bars.close < trend) | (strength < params["rsi_exit"])) & known,
        ),
        (
            Condition("close above the trend", bars.close / trend - 1),
            Condition("strength above its entry", strength - params["rsi_entry"]),
        ),
        {"close": bars.close, f"sma {params['trend_period']}": trend, f"rsi {params['rsi_period']}": strength},
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
    study_function=_two,
)


def _three(bars: Bars, params: Params) -> Study:
    trend, strength = sma(bars, params["trend_period"]), rsi(bars, params["rsi_period"])
    line, signal = macd(bars, params["macd_fast"], params["macd_slow"], params["macd_signal"])
    margins = (bars.close / trend - 1, strength - params["rsi_level"], (line - signal) / bars.close)
    for_long = np.sum([margin > 0 for margin in margins], axis=0)
    against = np.sum([margin < 0 for margin in margins], axis=0)
    known = np.all([np.isfinite(margin) for margin in margins], axis=0)
    return Study(
        Signals((for_long >= params["votes"]) & known, (against >= 2) & known),
        (
            Condition("close above the trend", margins[0]),
            Condition("strength above its level", margins[1]),
            Condition("macd above its signal line", margins[2]),
        ),
        {
            "close": bars.close,
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
    study_function=_three,
)
