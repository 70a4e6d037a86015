"""What holding all symbols would have had over the same time, which a rule has to be better than."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimize import engine

FloatArray = NDArray[np.float64]


def held(series: Sequence[engine.Series], windows: NDArray[np.int64], axis: engine.Axis) -> FloatArray:
    """Return the returns per bar of holding every symbol in equal parts, without costs, the windows stitched together.

    Each is from the close before: who holds does not begin anew in a window. The return at a time is the mean over the
    symbols that have a bar then, as that of a search is.

    Args:
        windows: int64[W, S, 2], first bar and the one behind the last of each symbol.
    """
    parts = []
    for window in windows:
        sums = np.zeros(len(axis))
        reached: list[NDArray[np.int64]] = []
        for symbol, one in enumerate(series):
            first, stop = (int(bound) for bound in window[symbol])
            if first >= stop:
                continue
            close = one.mark[first:stop]
            before = np.concatenate((one.mark[max(first - 1, 0) : max(first - 1, 0) + 1], close[:-1]))
            base = int(axis.before[symbol, 0])
            places = axis.places[symbol][first - base : stop - base]
            sums[places] += close / before - 1
            reached.append(places[[0, -1]])
        if reached:
            ends = np.concatenate(reached)
            stretch = slice(int(ends.min()), int(ends.max()) + 1)
            parts.append(sums[stretch] / axis.counts[stretch])
    return np.concatenate(parts) if parts else np.zeros(0)
