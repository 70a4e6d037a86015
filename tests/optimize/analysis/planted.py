"""Strategy types that look ahead, each in its own way, and one that does not; known to the tests that plant them only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from market.bars import Bars, FloatArray
from workflows.strategies import (
    Column,
    ColumnSource,
    Comparison,
    Parameter,
    Reading,
    Rule,
    StrategyType,
    column_sources,
    strategy_types,
)


def tomorrow(bars: Bars) -> FloatArray:
    """The close of the next bar; of the last one nobody knows it."""
    return np.concatenate((bars.close[1:], [np.nan]))[: len(bars)]


def tomorrow_or_today(bars: Bars) -> FloatArray:
    """The same, but where nobody knows it yet it pretends: the usual way in which a peek hides."""
    return np.concatenate((bars.close[1:], bars.close[-1:]))[: len(bars)]


def best_of_all(bars: Bars) -> FloatArray:
    """The mean of the whole history at every bar: every figure of the past changes with each new bar."""
    return np.full(len(bars), float(np.nanmean(bars.close)) if len(bars) else np.nan)


def yesterday(bars: Bars) -> FloatArray:
    return np.concatenate(([np.nan], bars.close[:-1]))[: len(bars)]


PLANTS: dict[str, Callable[[Bars], FloatArray]] = {
    "tomorrow": tomorrow,
    "tomorrow_or_today": tomorrow_or_today,
    "best_of_all": best_of_all,
    "yesterday": yesterday,
}


@contextmanager
def planted(name: str) -> Iterator[StrategyType]:
    """Offer a strategy type that enters where the planted figure is above the close by `margin`, and leaves below it."""
    figure = Column(name)
    kind = StrategyType(
        slug=f"planted_{name}",
        title="Planted",
        help="Looks where it should not.",
        parameters=(Parameter("margin", "float", 0.0, "Added to the figure.", -1e6, 1e6),),
        constraints=(),
        grid={"margin": (0.0,)},
        warm_up=lambda params: 2,
        rule=lambda params: Rule(
            (Comparison(figure, True, Column("close")),), 1, (Comparison(figure, False, Column("close")),), 1
        ),
        reading=lambda columns, params: Reading(()),
    )
    source = ColumnSource(name, lambda bars, params: {"value": PLANTS[name](bars)})
    with column_sources.temporarily(source), strategy_types.temporarily(kind):
        yield kind
