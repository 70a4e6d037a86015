"""Long while a fast average of the close stands above a slow one."""

from collections.abc import Callable

from workflows.strategies.base import Condition, Constraint, Parameter, Params, Reading, StrategyType
from workflows.strategies.numbers import above, below, ema, sma
from workflows.strategies.rules import Column, Columns, Rule

_ORDER = Constraint("fast", lambda p: p["fast"] < p["slow"], "Must be less than slow.")
_PARAMETERS = (
    Parameter("fast", "int", 20, "Period of the fast average.", 2, 1000),
    Parameter("slow", "int", 50, "Period of the slow average.", 3, 1000),
)
_GRID = {"fast": (5, 10, 20, 50), "slow": (20, 50, 100, 200)}


def _rule_with(average: Callable[[int], Column]) -> Callable[[Params], Rule]:
    def rule(params: Params) -> Rule:
        fast, slow = average(params["fast"]), average(params["slow"])
        return Rule((above(fast, slow),), 1, (below(fast, slow),), 1)

    return rule


def _reading_with(average: Callable[[int], Column]) -> Callable[[Columns, Params], Reading]:
    def reading(columns: Columns, params: Params) -> Reading:
        fast, slow = columns.get(average(params["fast"])), columns.get(average(params["slow"]))
        word = average(params["fast"]).name
        return Reading(
            # In shares of the slow average, so that margins of years apart compare.
            (Condition("fast average above the slow one", fast / slow - 1),),
            {f"{word} {params['fast']}": fast, f"{word} {params['slow']}": slow},
        )

    return reading


SMA_CROSSOVER = StrategyType(
    slug="sma_crossover",
    title="Crossing of simple averages",
    help="Long while the fast simple moving average is above the slow one.",
    parameters=_PARAMETERS,
    constraints=(_ORDER,),
    grid=_GRID,
    warm_up=lambda p: p["slow"],
    rule=_rule_with(sma),
    reading=_reading_with(sma),
)

EMA_CROSSOVER = StrategyType(
    slug="ema_crossover",
    title="Crossing of exponential averages",
    help="Long while the fast exponential moving average is above the slow one.",
    parameters=_PARAMETERS,
    constraints=(_ORDER,),
    grid=_GRID,
    warm_up=lambda p: p["slow"],
    rule=_rule_with(ema),
    reading=_reading_with(ema),
)
