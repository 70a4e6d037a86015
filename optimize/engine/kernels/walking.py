"""A block of combinations over one symbol: from masks to statistics."""

import numpy as np

from optimize.engine.kernels.compiling import kernel
from optimize.engine.kernels.figures import write_nothing, write_row
from optimize.engine.kernels.stepping import TALLY_FIELDS, TRADE_FIELDS, step
from optimize.engine.kernels.striding import stride
from optimize.engine.kernels.words import rows_needed, speak


@kernel
def walk(
    masks, known, sound, asked, shape, rows, prices, entering, leaving, blocks, largest, account, periods, windows, out
):
    """Fill `out`[c, w] with the statistics of combination c in window w of this symbol.

    Args:
        prices: float64[4, n]: open, high, low, mark.
        entering, leaving, blocks, largest: see `striding.fill_ledger`.
        windows: int64[W, 2]; a window of no bars gives NaN.
        out: float64[C, W, ROW].
    """
    words = len(sound)
    entries, exits = np.empty(words, np.uint64), np.empty(words, np.uint64)
    stage = np.empty((rows_needed(shape), words), np.uint64)
    longest = 0
    for window in range(len(windows)):
        longest = max(longest, windows[window, 1] - windows[window, 0])
    equity, returns = np.empty(longest), np.empty(longest)
    starts, stops = np.empty(longest, np.int64), np.empty(longest, np.int64)
    nothing, no_trades, tally = np.empty(0), np.empty((0, TRADE_FIELDS)), np.empty(TALLY_FIELDS)
    strides = account[3] == 0.0 and np.isnan(account[4]) and np.isnan(account[5])
    marks, left = prices[3], np.ones(len(windows), np.bool_)
    for combination in range(len(shape)):
        speak(masks, known, sound, asked[combination], shape[combination], rows[combination], stage, entries, exits)
        if strides:
            stride(
                entries,
                exits,
                marks,
                entering,
                leaving,
                blocks,
                largest,
                account,
                periods,
                windows,
                out,
                combination,
                left,
                starts,
                stops,
            )
        for window in range(len(windows)):
            if not left[window]:
                continue
            first, stop = windows[window, 0], windows[window, 1]
            if stop <= first:
                write_nothing(out[combination, window])
                continue
            count = stop - first
            _, held, ruined = step(
                entries, exits, prices, account, first, stop, equity[:count], nothing, no_trades, tally
            )
            row = out[combination, window]
            write_row(row, equity[:count], returns[:count], account[0], periods, held, ruined, tally)
