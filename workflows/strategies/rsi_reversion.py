"""Buy what fell too fast, sell it when it rose too fast."""

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import above, below, rsi
from workflows.strategies.rules import Columns, Rule


def _rule(params: Params) -> Rule:
    strength = rsi(params["period"])
    return Rule((below(strength, params["oversold"]),), 1, (above(strength, params["overbought"]),), 1)


def _reading(columns: Columns, params: Params) -> Reading:
    strength = columns.get(rsi(params["period"]))
    middle = (params["oversold"] + params["overbought"]) / 2
    return Reading(
        (Condition("strength below the middle of its band", middle - strength),),
        {f"rsi {params['period']}": strength},
    )


RSI_REVERSION = StrategyType(
    slug="rsi_reversion",
    title="RSI reversion",
    help="Enter when the relative strength index is oversold, leave when it is overbought.",
    parameters=(
        Parameter("period", "int", 14, "Period of the index.", 2, 500),
        Parameter("oversold", "float", 30.0, "Enter below this strength.", 0, 100),
        Parameter("overbought", "float", 70.0, "Leave above this strength.", 0, 100),
    ),
    constraints=(Constraint("oversold", lambda p: p["oversold"] < p["overbought"], "Must be less than overbought."),),
    grid={"period": (7, 14, 21), "oversold": (20.0, 30.0, 40.0), "overbought": (60.0, 70.0, 80.0)},
    warm_up=lambda p: p["period"] + 1,
    rule=_rule,
    reading=_reading,
)
