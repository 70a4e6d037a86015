"""Several symbols on one axis: folds, and the returns of all of them in equal parts."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optimize.engine import Fold, Settings, folds, make_axis, portfolio_sums, prepare, returns
from tests.optimize import reference
from tests.optimize.histories import walk
from tests.workflows.samples import DAY_NS
from workflows.strategies import strategy_types

KIND = strategy_types.get("sma_crossover")
GRID = [KIND.clean({"fast": fast, "slow": slow}) for fast, slow in ((2, 5), (3, 9), (5, 20), (2, 30), (8, 9))]


def some_series() -> list[Any]:
    """Return symbols of different histories: one starts later, one ends earlier, one misses every fifth day."""
    whole, late, early = walk(300, 1), walk(200, 2, first=100), walk(150, 3)
    holes = walk(300, 4)
    keep = np.arange(300) % 5 != 0
    gaps = type(holes).of({name: values[keep] for name, values in holes.columns().items()})
    return [prepare(bars) for bars in (whole, late, early, gaps)]


def expected_returns(
    series: list[Any], params: Any, axis: Any, stretch: tuple[int, int], **options: Any
) -> list[float]:
    """Return the mean over the symbols that have a bar, at each time of the stretch, from the plain reference."""
    at: dict[int, list[float]] = {int(time): [] for time in axis.time[slice(*stretch)]}
    for one, (first, stop) in zip(series, axis.windows([stretch])[0], strict=True):
        if first == stop:
            continue
        signals = KIND.signals(one.bars, params)
        path = reference.trade(one.bars, signals.entries, signals.exits, int(first), int(stop), **options)
        for time, value in zip(one.bars.time[first:stop], path["returns"], strict=True):
            at[int(time)].append(value)
    return [sum(values) / len(values) for values in at.values()]


@pytest.mark.parametrize("direction", ["long_only", "long_short"])
@pytest.mark.parametrize("threads", [1, 2])
def test_sums_are_those_of_the_mean_return_of_all_symbols_that_have_a_bar(threads: int, direction: Any) -> None:
    series = some_series()
    axis = make_axis(series, end=280 * DAY_NS)
    stretches = [(0, 70), (70, 140), (0, 200), (250, 281)]
    blocks = np.array([[20, 100], [100, 180], [180, 260]])
    options = {"fee": 0.001, "slippage": 0.0005, "direction": direction}
    sums = portfolio_sums(
        KIND, GRID, series, axis.windows(stretches), axis, blocks, Settings(**options), threads=threads
    )
    assert sums.count.tolist() == [70, 70, 200, 31]
    assert sums.block_count.tolist() == [80, 80, 80]
    for c, params in enumerate(GRID):
        for w, stretch in enumerate(stretches):
            values = np.array(expected_returns(series, params, axis, stretch, **options))
            assert sums.total[c, w] == pytest.approx(values.sum(), rel=1e-9, abs=1e-11)
            assert sums.squares[c, w] == pytest.approx((values**2).sum(), rel=1e-9, abs=1e-13)
        whole = np.array(expected_returns(series, params, axis, (20, 260), **options))
        for b, values in enumerate(np.split(whole, 3)):
            assert sums.block_total[c, b] == pytest.approx(values.sum(), rel=1e-9, abs=1e-11)
            assert sums.block_squares[c, b] == pytest.approx((values**2).sum(), rel=1e-9, abs=1e-13)


def test_the_returns_of_a_ruined_symbol_end_with_its_ruin() -> None:
    series = some_series()
    fallen = series[0].bars
    factor = np.where(np.arange(300) < 150, 1.0, 0.0004)
    prices = {name: values * factor for name, values in fallen.columns().items() if name not in ("time", "volume")}
    series[0] = prepare(type(fallen).of({**fallen.columns(), **prices}))
    axis = make_axis(series)
    sums = portfolio_sums(KIND, GRID, series, axis.windows([(0, 300)]), axis, np.empty((0, 2)), Settings(fee=0.001))
    for c, params in enumerate(GRID):
        values = np.array(expected_returns(series, params, axis, (0, 300), fee=0.001))
        assert sums.total[c, 0] == pytest.approx(values.sum(), rel=1e-9, abs=1e-11)
        assert sums.squares[c, 0] == pytest.approx((values**2).sum(), rel=1e-9, abs=1e-13)


def test_no_blocks_are_no_blocks() -> None:
    series = some_series()
    axis = make_axis(series)
    sums = portfolio_sums(KIND, GRID, series, axis.windows([(0, 50)]), axis, np.empty((0, 2)), Settings())
    assert sums.block_total.shape == (5, 0)
    assert sums.total.shape == (5, 1)


def test_returns_of_one_combination_are_stitched_together_in_the_order_of_the_windows() -> None:
    series = some_series()
    axis = make_axis(series)
    stretches = [(30, 90), (200, 300), (85, 95)]
    (found,) = returns(KIND, [GRID[0]], series, axis.windows(stretches), axis, Settings(fee=0.001))
    wanted = [expected_returns(series, GRID[0], axis, stretch, fee=0.001) for stretch in stretches]
    np.testing.assert_allclose(found.value, np.concatenate(wanted), rtol=1e-9, atol=1e-13)
    assert found.time.tolist() == np.concatenate([axis.time[slice(*stretch)] for stretch in stretches]).tolist()
    assert found.window.tolist() == [0] * 60 + [1] * 100 + [2] * 10


@pytest.mark.parametrize("blocks", [[[0, 50], [40, 60]], [[50, 40]], [[0, 10_000]]])
def test_blocks_that_are_not_stretches_of_the_axis_are_refused(blocks: Any) -> None:
    series = some_series()
    axis = make_axis(series)
    with pytest.raises(ValueError, match="blocks"):
        portfolio_sums(KIND, GRID, series, axis.windows([(0, 50)]), axis, np.array(blocks), Settings())


def test_windows_with_bars_that_are_not_on_the_axis_are_refused() -> None:
    series = some_series()
    windows, axis = make_axis(series).windows([(0, 100)]), make_axis(series, start=50 * DAY_NS)
    with pytest.raises(ValueError, match="not on the axis"):
        portfolio_sums(KIND, GRID, series, windows, axis, np.empty((0, 2)), Settings())


def test_the_axis_is_the_union_of_all_times_and_knows_who_has_a_bar() -> None:
    series = some_series()
    axis = make_axis(series, start=10 * DAY_NS, end=120 * DAY_NS)
    assert (axis.time // DAY_NS).tolist() == list(range(10, 121))
    windows = axis.windows([(0, 90), (90, 111)])
    assert windows[0].tolist() == [[10, 100], [0, 0], [10, 100], [8, 80]]
    assert windows[1].tolist() == [[100, 121], [0, 21], [100, 121], [80, 96]]
    for symbol, one in enumerate(series):
        first, last = axis.before[symbol, 0], axis.before[symbol, -1]
        np.testing.assert_array_equal(axis.time[axis.places[symbol]], one.bars.time[first:last])
    assert axis.counts[0] == 2  # day 10: the third misses it, the second has not begun
    assert len(make_axis(series, start=10**18)) == 0
    with pytest.raises(ValueError, match="series"):
        make_axis([])


def test_folds_are_consecutive_windows_of_training_and_test() -> None:
    axis = make_axis([prepare(walk(100))])
    assert folds(axis, 2, 0.7) == [Fold((0, 35), (35, 50)), Fold((50, 85), (85, 100))]
    assert folds(axis, 2, 0.7, anchored=True) == [Fold((0, 35), (35, 50)), Fold((0, 85), (85, 100))]
    assert folds(axis, 2, 0.7, embargo=5) == [Fold((0, 35), (40, 50)), Fold((50, 85), (90, 100))]


@given(
    length=st.integers(1, 400),
    n_splits=st.integers(1, 20),
    ratio=st.floats(0.05, 0.95),
    anchored=st.booleans(),
    embargo=st.integers(0, 20),
)
def test_no_test_bar_is_ever_trained_on_before_and_every_fold_has_both(
    length: int, n_splits: int, ratio: float, anchored: bool, embargo: int
) -> None:
    shortest = length // n_splits
    assume(int(shortest * ratio) >= 1 and shortest * (1 - ratio) >= embargo + 1)
    found = folds(make_axis([prepare(walk(length))]), n_splits, ratio, anchored, embargo)
    assert len(found) == n_splits
    for fold in found:
        assert fold.train[0] < fold.train[1]
        assert fold.train[1] + embargo == fold.test[0] < fold.test[1]
    for one, other in itertools.pairwise(found):
        assert one.test[1] <= other.test[0] - 1
    assert found[-1].test[1] == length


def test_too_few_bars_for_a_fold_are_refused() -> None:
    for options in ({"n_splits": 20}, {"embargo": 10}):
        with pytest.raises(ValueError, match="too few"):
            folds(make_axis([prepare(walk(30))]), **{"n_splits": 1, "train_ratio": 0.7, **options})


@pytest.mark.parametrize("wrong", [{"n_splits": 0}, {"train_ratio": 1.0}, {"embargo": -1}])
def test_folds_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        folds(make_axis([prepare(walk(100))]), **{"n_splits": 2, "train_ratio": 0.5, **wrong})
