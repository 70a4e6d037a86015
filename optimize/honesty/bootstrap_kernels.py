"""The loop of `bootstrap`, compiled. Each path has its own stream of random numbers, SplitMix64 (Steele, Lea, Flood 2014)
from seed and number of the path, so that the figures do not depend on how paths are divided."""

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STEP = np.uint64(0x9E3779B97F4A7C15)
# Paths that are put down together: one alone would touch as many pages as there are marks.
TOGETHER = 8


# Inlined by Numba itself: LLVM takes four numbers of a loop at once where nothing is called in it.
@njit(cache=True, nogil=True, inline="always")
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
    last: int,
    marks: IntArray,
    equity: FloatArray,
    figures: FloatArray,
) -> None:
    """Draw the paths `first` to `last - 1` by the stationary bootstrap and note what became of each.

    Whether a block begins is as good as a coin: a branch on it is guessed wrongly so often that this would cost more than
    all the rest. So both is worked out, and nothing here branches but the loops.

    Args:
        returns: per period.
        restart: the chance that a period begins a new block, 1/mean block length.
        seed: of the streams, of which each path has its own.
        marks: periods, ascending and from 1, after which the equity is noted.
        equity: filled, [mark, path]; starts from 1.
        figures: filled, [path, 4]: final equity, greatest drawdown, Σr and Σr².
    """
    count = returns.size
    # Each period asks for one number, and one more where a block begins.
    drawn = np.empty(2 * count, dtype=np.int64)
    places = np.empty(count + 1, dtype=np.int64)
    worths = np.empty((TOGETHER, count))
    # A block that reaches the end goes on from the start, and none is longer than all returns.
    twice = np.concatenate((returns, returns))
    for begin in range(first, last, TOGETHER):
        end = min(begin + TOGETHER, last)
        for path in range(begin, end):
            _draw(_mixed(_mixed(np.uint64(seed) + STEP) + np.uint64(path) * STEP), drawn)
            _places(drawn, restart, places)
            _follow(twice, places, worths[path - begin], figures[path])
        for mark in range(marks.size):
            for path in range(begin, end):
                equity[mark, path] = worths[path - begin, marks[mark] - 1]


@njit(cache=True, nogil=True)
def _follow(twice: FloatArray, places: IntArray, worths: FloatArray, figures: FloatArray) -> None:
    """Fill `worths` with the equity after each period of one path, and `figures` as `resample` says."""
    worth = 1.0
    peak = 1.0
    drawdown = 0.0
    total = 0.0
    squares = 0.0
    for period in range(worths.size):
        r = twice[np.uint64(places[period])]
        total += r
        squares += r * r
        worth *= 1.0 + r
        worths[period] = worth
        peak = worth if worth > peak else peak
        if peak - worth > drawdown * peak:
            drawdown = (peak - worth) / peak
    figures[0] = worth
    figures[1] = drawdown
    figures[2] = total
    figures[3] = squares


@njit(cache=True, nogil=True)
def _draw(state: np.uint64, drawn: IntArray) -> None:
    """Fill `drawn` with the stream's next numbers, of 53 bits."""
    for number in range(drawn.size):
        state += STEP
        drawn[number] = np.int64(_mixed(state) >> np.uint64(11))


@njit(cache=True, nogil=True)
def _places(drawn: IntArray, restart: float, places: IntArray) -> None:
    """Fill `places` but for its last with which return each period has, of the returns twice one behind the other.

    A number either decides whether the next period begins a block, or is where one begins.
    """
    count = places.size - 1
    below = np.int64(np.ceil(restart * 9007199254740992.0))  # 2⁵³
    scale = 1.0 / 9007199254740992.0
    at = np.int64(0)
    filled = np.uint64(0)
    # The first number decides nothing: the first period begins a block whatever it is. All ones for yes.
    number = np.uint64(1)
    begins = np.int64(-1)
    while filled < count:
        value = drawn[number]
        number += np.uint64(1)
        there = np.int64(np.float64(value) * scale * count)
        at = (at + np.int64(1)) & ~begins | there & begins
        places[filled] = at
        begins = ~begins & -np.int64(value < below)
        # What a number that begins a block put down is overwritten by where it does.
        filled += np.uint64(1 + begins)


@njit(cache=True, nogil=True)
def order_statistics(rows: FloatArray, ranks: IntArray, found: FloatArray) -> None:
    """Fill `found`, [row, rank], with the values of these ranks, from 0, of each row.

    The values are spread over as many drawers as there are, by size, and only those drawers sorted that are asked for.

    Args:
        rows: finite numbers.
    """
    size = rows.shape[1]
    starts = np.empty(size + 1, dtype=np.int64)
    drawers = np.empty(size, dtype=np.int64)
    spread = np.empty(size)
    for at in range(rows.shape[0]):
        row = rows[at]
        low = row[0]
        high = row[0]
        for value in row:
            low = min(low, value)
            high = max(high, value)
        scale = (size - 1) / (high - low) if high > low else 0.0
        if not np.isfinite(scale):  # all but equal: one drawer
            scale = 0.0
        starts[:] = 0
        for place in range(size):
            drawer = np.int64((row[place] - low) * scale)
            drawers[place] = drawer
            starts[drawer + 1] += 1
        for number in range(size):
            starts[number + 1] += starts[number]
        for place in range(size):
            # By now where the next one of this drawer goes; at the end where the next drawer begins.
            drawer = drawers[place]
            spread[starts[drawer]] = row[place]
            starts[drawer] += 1
        done = 0
        for number in range(ranks.size):
            rank = ranks[number]
            if rank >= done:
                asked = np.searchsorted(starts[:size], rank, side="right")
                done = starts[asked]
                spread[starts[asked - 1] if asked else 0 : done].sort()
            found[at, number] = spread[rank]
