"""The loop of `bootstrap`, compiled. Each path has its own stream of random numbers, SplitMix64 (Steele, Lea, Flood 2014)
from seed and number of the path, so that the figures do not depend on how paths are divided."""

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _mixed(state: np.uint64) -> np.uint64:
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def resample(
    returns: FloatArray,
    restart: float,
    seed: int,
    first: int,
    marks: IntArray,
    equity: FloatArray,
    figures: FloatArray,
) -> None:
    """Draw paths by the stationary bootstrap and note what became of each.

    Args:
        returns: per period.
        restart: the chance that a period begins a new block, 1/mean block length.
        seed, first: of the streams; the first path's number.
        marks: periods, ascending and from 1, after which the equity is noted.
        equity: filled, [path, mark]; starts from 1.
        figures: filled, [path, 4]: final equity, greatest drawdown, Σr and Σr².
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    scale = 1.0 / 9007199254740992.0  # 2⁻⁵³
    count = returns.size
    for path in range(equity.shape[0]):
        state = _mixed(_mixed(np.uint64(seed) + step) + np.uint64(first + path) * step)
        at = 0
        worth = 1.0
        peak = 1.0
        drawdown = 0.0
        total = 0.0
        squares = 0.0
        mark = 0
        for period in range(count):
            state += step
            if period == 0 or float(_mixed(state) >> np.uint64(11)) * scale < restart:
                state += step
                at = int(float(_mixed(state) >> np.uint64(11)) * scale * count)
            else:
                at += 1
                if at == count:  # a block that reaches the end goes on from the start
                    at = 0
            r = returns[at]
            total += r
            squares += r * r
            worth *= 1.0 + r
            if worth > peak:
                peak = worth
            elif peak - worth > drawdown * peak:
                drawdown = (peak - worth) / peak
            if mark < marks.size and marks[mark] == period + 1:
                equity[path, mark] = worth
                mark += 1
        figures[path, 0] = worth
        figures[path, 1] = drawdown
        figures[path, 2] = total
        figures[path, 3] = squares
