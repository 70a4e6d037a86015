"""Long while the MACD line stands above its signal line."""

from market.bars import Bars
from workflows.strategies.base import Condition, Constraint, Parameter, Params, Signals, StrategyType, Study
from workflows.strategies.numbers import macd


def _study(bars: Bars, params: Params) -> Study:
    line, signal = macd(bars, params["fast"], params["slow"], params["signal"])
    return Study(
        Signals(line > signal, line < signal),
        (Condition("macd above its signal line", (line - signal) / bars.close),),
        {"macd": line, "signal line": signal},
    )


MACD = StrategyType(
    slug="macd",
    title="MACD",
    help="Long while the MACD line is above its signal line.",
    parameters=(
        Parameter("fast", "int", 12, "Period of the fast average.", 2, 500),
        Parameter("slow", "int", 26, "Period of the slow average.", 3, 1000),
        Parameter("signal", "int", 9, "Period of the signal line.", 1, 500),
    ),
    constraints=(Constraint("fast", lambda p: p["fast"] < p["slow"], "Must be less than slow."),),
    grid={"fast": (8, 12, 16), "slow": (21, 26, 34), "signal": (7, 9)},
    warm_up=lambda p: p["slow"] + p["signal"] - 1,
    study_function=_study,
)
