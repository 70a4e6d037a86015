"""Follow a price that leaves its range upwards."""

import numpy as np

from market.bars import Bars
from workflows.strategies.base import Condition, Constraint, Parameter, Params, Signals, StrategyType, Study
from workflows.strategies.numbers import bollinger, channel


def _bollinger(bars: Bars, params: Params) -> Study:
    upper, middle, _ = bollinger(bars, params["period"], params["deviations"])
    return Study(
        Signals(bars.close > upper, bars.close < middle),
        (
            Condition("close above the middle band", bars.close / middle - 1),
            Condition("close above the upper band", bars.close / upper - 1),
        ),
        {"close": bars.close, "upper band": upper, "middle band": middle},
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
    study_function=_bollinger,
)


def _donchian(bars: Bars, params: Params) -> Study:
    highest, _ = channel(bars, params["entry_period"])
    _, lowest = channel(bars, params["exit_period"])
    known = np.isfinite(highest) & np.isfinite(lowest)
    return Study(
        # Both sides warm up together, so that no exit comes before an entry could.
        Signals((bars.close > highest) & known, (bars.close < lowest) & known),
        (
            Condition("close above the middle of the channel", bars.close / ((highest + lowest) / 2) - 1),
            Condition("close above the channel", bars.close / highest - 1),
        ),
        {"close": bars.close, "highest high": highest, "lowest low": lowest},
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
    study_function=_donchian,
)
