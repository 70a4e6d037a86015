"""What holding the symbols would have had, on the clock of the search."""

import numpy as np
import pytest

from market.bars import Bars
from optimize import engine
from optimize.walkforward.holding import held
from workflows.strategies import strategy_types

DAY = 86_400_000_000_000


def bars(days: list[int], closes: list[float]) -> Bars:
    close = np.array(closes)
    return Bars(
        symbol="X",
        source="generated",
        timeframe="1d",
        adjustment="none",
        version=1,
        series_id=None,
        time=np.array(days, dtype=np.int64) * DAY,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones(close.size),
    )


def test_each_return_is_from_the_close_before_and_the_mean_of_the_symbols_that_have_a_bar() -> None:
    series = [
        engine.prepare(bars([0, 1, 2, 3, 4], [100, 110, 99, 99, 198])),
        engine.prepare(bars([1, 2, 4], [50, 100, 75])),
    ]
    axis = engine.make_axis(series)
    windows = axis.windows([(1, 3), (3, 5)])
    # Day 1: +10 % and the first bar of the other, which nobody held before. Day 2: -10 % and +100 %. Day 3: 0 alone.
    # Day 4: +100 % and -25 %.
    assert held(series, windows, axis) == pytest.approx([0.05, 0.45, 0.0, 0.375])


def test_it_is_as_long_as_what_a_search_has_over_the_same_windows() -> None:
    rng = np.random.default_rng(3)
    days = [sorted(rng.choice(300, 250, replace=False).tolist()) for _ in range(3)]
    series = [engine.prepare(bars(each, (100 * np.cumprod(1 + rng.normal(0, 0.01, 250))).tolist())) for each in days]
    axis = engine.make_axis(series)
    windows = axis.windows([(50, 120), (150, 260)])
    momentum = strategy_types.get("momentum")
    params = {each.name: each.default for each in momentum.parameters}
    (found,) = engine.returns(momentum, [params], series, windows, axis, engine.Settings())
    assert held(series, windows, axis).shape == found.value.shape


def test_a_price_that_is_missing_is_no_return() -> None:
    series = [engine.prepare(bars([0, 1, 2, 3], [100, np.nan, 120, 120]))]
    axis = engine.make_axis(series)
    assert held(series, axis.windows([(0, 4)]), axis) == pytest.approx([0, 0, 0.2, 0])


def test_without_bars_there_is_nothing() -> None:
    series = [engine.prepare(bars([0, 1], [100, 110]))]
    axis = engine.make_axis(series)
    assert held(series, axis.windows([(1, 1)]), axis).size == 0
