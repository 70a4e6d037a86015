"""All symbols together: the return per bar of an account that holds each of them in equal parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray
from optimize.engine.axis import Axis
from optimize.engine.blocks import MOST_WORK, Masks, bits_of, pieces, run_all
from optimize.engine.evaluation import account_of, checked_windows
from optimize.engine.kernels.adding import add_returns, reduce_sums
from optimize.engine.plan import Plan, encode, part
from optimize.engine.series import IntArray, Series
from optimize.engine.settings import Settings
from workflows.strategies import StrategyType
from workflows.strategies.rules import Params

# Bytes of returns that are being added up at a time: they should stay near the processor.
MOST_SUMS = 1 << 20


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the equal-weighted returns, which every mean, deviation and Sharpe ratio can be made of.

    The return at a time is the mean over the symbols that have a bar then.

    Attributes:
        count: int64[W], bars of the axis in each window.
        total, squares: float64[C, W], sum of the returns and of their squares in each window, traded alone.
        block_count: int64[B].
        block_total, block_squares: float64[C, B], the same over blocks of one run through the whole period, from the
            start of the first block to the end of the last.
    """

    count: IntArray
    total: FloatArray
    squares: FloatArray
    block_count: IntArray
    block_total: FloatArray
    block_squares: FloatArray


@dataclass(frozen=True, eq=False)
class Returns:
    """Equal-weighted returns of one combination, the windows one behind the other.

    Attributes:
        time: int64[n], nanoseconds UTC, of the axis.
        value: float64[n].
        window: int64[n], the number of the window that each belongs to.
    """

    time: IntArray
    value: FloatArray
    window: IntArray

    def of(self, window: int) -> "Returns":
        """Return those of one window, which was traded alone."""
        there = self.window == window
        return Returns(self.time[there], self.value[there], self.window[there])


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the windows lie on the axis and in the row of a combination."""

    windows: IntArray  # [W, S, 2]
    stretches: IntArray  # [W, 2] on the axis
    origins: IntArray  # [W, 2] first on the axis, first in the row
    weights: FloatArray  # [L]

    @property
    def edges(self) -> IntArray:
        """Return int64[W, 2]: where each window lies in the row."""
        lengths = self.stretches[:, 1] - self.stretches[:, 0]
        return np.stack((self.origins[:, 1], self.origins[:, 1] + lengths), axis=1)


def _layout(windows: IntArray, series: Sequence[Series], axis: Axis) -> _Layout:
    """Return the layout.

    Raises:
        ValueError: for a window with bars that are not on the axis.
    """
    begins = np.full(len(windows), len(axis), dtype=np.int64)
    ends = np.zeros(len(windows), dtype=np.int64)
    for symbol in range(len(series)):
        first, stop = windows[:, symbol].T
        base, end = axis.before[symbol, 0], axis.before[symbol, -1]
        there = first < stop
        outside = there & ((first < base) | (stop > end))
        if outside.any():
            number = int(outside.argmax())
            raise ValueError(f"window {number} has bars of symbol {symbol} that are not on the axis")
        begins[there] = np.minimum(begins[there], axis.places[symbol][first[there] - base])
        ends[there] = np.maximum(ends[there], axis.places[symbol][stop[there] - 1 - base] + 1)
    begins = np.minimum(begins, ends)  # without any bar it lies at the start
    starts = np.cumsum(ends - begins) - (ends - begins)
    parts = [axis.counts[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    weights = 1.0 / np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    return _Layout(windows, np.stack((begins, ends), axis=1), np.stack((begins, starts), axis=1), weights)


def _add(
    plan: Plan,
    bits: Masks,
    series: Series,
    account: FloatArray,
    layout: _Layout,
    axis: Axis,
    symbol: int,
    sums: FloatArray,
) -> None:
    add_returns(
        bits.masks,
        bits.known,
        series.sound,
        plan.asked,
        plan.shape,
        plan.known,
        series.prices,
        series.ledger.entering,
        series.ledger.leaving,
        series.ledger.blocks,
        series.ledger.changes,
        account,
        np.ascontiguousarray(layout.windows[:, symbol]),
        axis.places[symbol],
        int(axis.before[symbol, 0]),
        layout.origins,
        sums,
    )


def portfolio_sums(
    strategy_type: StrategyType,
    combinations: Sequence[Params] | Plan,
    series: Sequence[Series],
    windows: NDArray[np.integer],
    axis: Axis,
    blocks: NDArray[np.integer],
    settings: Settings,
    *,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Sums:
    """Return sums of the equal-weighted returns of every combination, per window and per block.

    Args:
        combinations, windows: as for `evaluate`; windows all on the axis.
        blocks: [B, 2], stretches [a, b) of the axis, one behind the other; none for no blocks.
        check: called between pieces of work; what it raises ends them.

    Raises:
        ValueError: for windows or blocks that do not fit.
    """
    bounds = checked_windows(windows, series)
    cuts: IntArray = np.ascontiguousarray(blocks, dtype=np.int64).reshape(-1, 2)
    if len(cuts) and (np.any(cuts[:, 0] > cuts[:, 1]) or np.any(cuts[1:, 0] < cuts[:-1, 1]) or cuts[-1, 1] > len(axis)):
        raise ValueError("blocks must be stretches of the axis, one behind the other")
    if len(cuts):
        bounds = np.concatenate((bounds, axis.windows([(int(cuts[0, 0]), int(cuts[-1, 1]))])))
    layout = _layout(bounds, series, axis)
    wanted = layout.edges
    if len(cuts):
        shift = layout.origins[-1, 1] - layout.origins[-1, 0]
        wanted = np.concatenate((wanted[:-1], cuts + shift))
    totals, squares = (np.empty((len(combinations), len(wanted))) for _ in range(2))
    plan, account = encode(strategy_type, combinations), account_of(settings)
    bars = sum(len(one) for one in series)
    tasks = [
        partial(
            _sum_piece,
            part(piece, a, b),
            series,
            account,
            layout,
            axis,
            wanted,
            totals[first + a : first + b],
            squares[first + a : first + b],
        )
        for first, _, piece in pieces(plan, bars, masks=True)
        for a, b in _cut(len(piece), bars, threads)
    ]
    run_all(tasks, threads, check)
    count = len(wanted) - len(cuts)
    lengths = wanted[:, 1] - wanted[:, 0]
    return Sums(
        lengths[:count], totals[:, :count], squares[:, :count], lengths[count:], totals[:, count:], squares[:, count:]
    )


def _cut(count: int, bars: int, threads: int) -> list[tuple[int, int]]:
    """Return [first, last) of as many stretches as there are threads, or of more where each would take long."""
    size = max(1, min(-(-count // max(1, threads)), MOST_WORK // max(1, bars)))
    return [(first, min(first + size, count)) for first in range(0, count, size)]


def _sum_piece(
    plan: Plan,
    series: Sequence[Series],
    account: FloatArray,
    layout: _Layout,
    axis: Axis,
    wanted: IntArray,
    totals: FloatArray,
    squares: FloatArray,
) -> None:
    bits = [bits_of(plan, one) for one in series]
    tile = max(1, MOST_SUMS // (8 * max(1, len(layout.weights))))
    sums = np.empty((min(tile, len(plan)), len(layout.weights)))
    for first in range(0, len(plan), tile):
        last = min(first + tile, len(plan))
        few, rows = _tile(plan, first, last), sums[: last - first]
        rows[...] = 0.0
        for symbol, one in enumerate(series):
            _add(few, bits[symbol], one, account, layout, axis, symbol, rows)
        reduce_sums(rows, layout.weights, wanted, totals[first:last], squares[first:last])


def _tile(plan: Plan, first: int, last: int) -> Plan:
    """Return the combinations [first, last) with the columns and pairs of the whole plan."""
    return Plan(
        plan.columns,
        plan.left,
        plan.right,
        plan.level,
        plan.asked[first:last],
        plan.shape[first:last],
        plan.known[first:last],
    )


def returns(
    strategy_type: StrategyType,
    combinations: Sequence[Params],
    series: Sequence[Series],
    windows: NDArray[np.integer],
    axis: Axis,
    settings: Settings,
) -> list[Returns]:
    """Return the equal-weighted return per bar of each combination (clean params), the windows stitched together.

    For a few: all bars of all of them are in memory.

    Raises:
        ValueError: for windows that do not fit the series or the axis.
    """
    layout = _layout(checked_windows(windows, series), series, axis)
    plan, account = encode(strategy_type, combinations), account_of(settings)
    sums = np.zeros((len(combinations), len(layout.weights)))
    if combinations:
        for symbol, one in enumerate(series):
            _add(plan, bits_of(plan, one), one, account, layout, axis, symbol, sums)
    places = [np.arange(first, stop) for first, stop in layout.stretches]
    lengths = layout.stretches[:, 1] - layout.stretches[:, 0]
    time = axis.time[np.concatenate([np.zeros(0, dtype=np.int64), *places])]
    window = np.repeat(np.arange(len(lengths)), lengths)
    return [Returns(time, values * layout.weights, window) for values in sums]
