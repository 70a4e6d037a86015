"""Long while a fast average of the close stands above a slow one."""

from collections.abc import Callable

from market.bars import Bars
from workflows.strategies.base import (
    Condition,
    Constraint,
    FloatArray,
    Parameter,
    Params,
    Signals,
    StrategyType,
    Study,
)
from workflows.strategies.numbers import ema, sma

_ORDER = Constraint("fast", lambda p: p["fast"] < p["slow"], "Must be less than slow.")
_PARAMETERS = (
    Parameter("fast", "int", 20, "Period of the fast average.", 2, 1000),
    Parameter("slow", "int", 50, "Period of the slow average.", 3, 1000),
)
_GRID = {"fast": (5, 10, 20, 50), "slow": (20, 50, 100, 200)}


def _study_with(average: Callable[[Bars, int], FloatArray], word: str) -> Callable[[Bars, Params], Study]:
    def study(bars: Bars, params: Params) -> Study:
        fast, slow = average(bars, params["fast"]), average(bars, params["slow"])
        return Study(
            Signals(fast > slow, fast < slow),
            # In shares of the slow average, so that margins of years apart compare.
            (Condition("fast average above the slow one", fast / slow - 1),),
            {f"{word} {params['fast']}": fast, f"{word} {params['slow']}": slow},
        )

    return study


SMA_CROSSOVER = StrategyType(
    slug="sma_crossover",
    title="Crossing of simple averages",
    help="Long while the fast simple moving average is above the slow one.",
    parameters=_PARAMETERS,
    constraints=(_ORDER,),
    grid=_GRID,
    warm_up=lambda p: p["slow"],
    study_function=_study_with(sma, "sma"),
)

EMA_CROSSOVER = StrategyType(
    slug="ema_crossover",
    title="Crossing of exponential averages",
    help="Long while the fast exponential moving average is above the slow one.",
    parameters=_PARAMETERS,
    constraints=(_ORDER,),
    grid=_GRID,
    warm_up=lambda p: p["slow"],
    study_function=_study_with(ema, "ema"),
)
