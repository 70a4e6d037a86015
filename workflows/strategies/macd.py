"""Long while the MACD line stands above its signal line."""

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import CLOSE, above, below, macd
from workflows.strategies.rules import Columns, Rule


def _rule(params: Params) -> Rule:
    line, signal = macd(params["fast"], params["slow"], params["signal"])
    return Rule((above(line, signal),), 1, (below(line, signal),), 1)


def _reading(columns: Columns, params: Params) -> Reading:
    line, signal = map(columns.get, macd(params["fast"], params["slow"], params["signal"]))
    return Reading(
        (Condition("macd above its signal line", (line - signal) / columns.get(CLOSE)),),
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
    rule=_rule,
    reading=_reading,
)
