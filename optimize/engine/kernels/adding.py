"""Returns of several symbols added up on the common axis, a few combinations at a time."""

import numpy as np

from optimize.engine.kernels.compiling import kernel, vector_kernel
from optimize.engine.kernels.stepping import TALLY_FIELDS, TRADE_FIELDS, step
from optimize.engine.kernels.striding import add_stretches, add_stretches_placed, stretches_of
from optimize.engine.kernels.words import rows_needed, speak


@kernel
def add_returns(
    masks,
    known,
    sound,
    asked,
    shape,
    rows,
    prices,
    entering,
    leaving,
    blocks,
    changes,
    account,
    windows,
    places,
    base,
    origins,
    sums,
):
    """Add this symbol's returns in every window to `sums`.

    Args:
        entering, leaving, blocks, changes: see `striding.fill_ledger`.
        windows: int64[W, 2], bars of this symbol.
        places: int64[n], the position on the axis of each bar from `base` on.
        origins: int64[W, 2]: the first position of each window on the axis, and where the window begins in `sums`.
        sums: float64[C, L], the windows one behind the other.
    """
    words = len(sound)
    entries, exits = np.empty(words, np.uint64), np.empty(words, np.uint64)
    stage = np.empty((rows_needed(shape), words), np.uint64)
    longest = 0
    for window in range(len(windows)):
        longest = max(longest, windows[window, 1] - windows[window, 0])
    equity = np.empty(longest)
    starts, stops = np.empty(longest, np.int64), np.empty(longest, np.int64)
    nothing, no_trades, tally = np.empty(0), np.empty((0, TRADE_FIELDS)), np.empty(TALLY_FIELDS)
    strides = account[3] == 0.0 and np.isnan(account[4]) and np.isnan(account[5])
    for combination in range(len(shape)):
        speak(masks, known, sound, asked[combination], shape[combination], rows[combination], stage, entries, exits)
        into = sums[combination]
        for window in range(len(windows)):
            first, stop = windows[window, 0], windows[window, 1]
            if stop <= first:
                continue
            count = -1
            if strides:
                count = stretches_of(entries, exits, entering, leaving, blocks, account, first, stop, starts, stops)
            shift = origins[window, 1] - origins[window, 0]
            start = places[first - base]
            if count >= 0 and places[stop - 1 - base] - start == stop - 1 - first:
                shift += start - first
                add_stretches(entering, leaving, changes, account, starts, stops, count, stop, into, shift)
            elif count >= 0:
                add_stretches_placed(
                    entering, leaving, changes, account, starts, stops, count, stop, into, shift, places, base
                )
            else:
                step(entries, exits, prices, account, first, stop, equity[: stop - first], nothing, no_trades, tally)
                before = account[0]
                for bar in range(first, stop):
                    value = equity[bar - first]
                    if before > 0.0:
                        into[places[bar - base] + shift] += value / before - 1.0
                    before = value


@vector_kernel
def _total(values, weights):
    total, squares = 0.0, 0.0
    for bar in range(len(values)):
        value = values[bar] * weights[bar]
        total += value
        squares += value * value
    return total, squares


@kernel
def reduce_sums(sums, weights, stretches, totals, squares):
    """Fill `totals` and `squares`, float64[C, M], over the stretches [a, b) of `sums` weighted by 1 / symbols."""
    for combination in range(len(sums)):
        for index in range(len(stretches)):
            first, stop = stretches[index]
            total, square = _total(sums[combination, first:stop], weights[first:stop])
            totals[combination, index] = total
            squares[combination, index] = square
