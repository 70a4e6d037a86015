"""A block of combinations over one symbol: from masks to statistics."""

import numpy as np

from optimize.engine.kernels.compiling import kernel
from optimize.engine.kernels.figures import write_nothing, write_row
from optimize.engine.kernels.stepping import TALLY_FIELDS, TRADE_FIELDS, step
from optimize.engine.kernels.words import rows_needed, speak


@kernel
def walk(masks, known, sound, asked, shape, rows, prices, account, periods, windows, out):
    """Fill `out`[c, w] with the statistics of combination c in window w of this symbol.

    Args:
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
    nothing, no_trades, tally = np.empty(0), np.empty((0, TRADE_FIELDS)), np.empty(TALLY_FIELDS)
    for combination in range(len(shape)):
        speak(masks, known, sound, asked[combination], shape[combination], rows[combination], stage, entries, exits)
        for window in range(len(windows)):
            first, stop = windows[window]
            row = out[combination, window]
            if stop <= first:
                write_nothing(row)
                continue
            count = stop - first
            _, held, ruined = step(
                entries, exits, prices, account, first, stop, equity[:count], nothing, no_trades, tally
            )
            write_row(row, equity[:count], returns[:count], account[0], periods, held, ruined, tally)
