"""The loop of `bootstrap`, compiled. Each path has its own stream of random numbers, SplitMix64 (Steele, Lea, Flood 2014)
from seed and number of the path, so that the figures do not depend on how paths are divided."""

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STEP = np.uint64(0x9E3779B97F4A7C15)
# Paths that go on side by side, a period at a time: in each loop over them nothing waits for anything else.
TOGETHER = 256
DRAWERS = 256
# So few are put in order soonest one by one.
FEW = 64
# Above every number that is drawn: the first period begins a block whatever its number is.
_ALWAYS = np.int64(1 << 53)


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

    Args:
        returns: per period.
        restart: the chance that a period begins a new block, 1/mean block length.
        seed: of the streams, of which each path has its own.
        marks: periods, ascending and from 1, after which the equity is noted; the last is the end of the path.
        equity: filled, [mark, path]; starts from 1.
        figures: filled, [4, path]: final equity, greatest drawdown, Σr and Σr².

    Raises:
        ValueError: what is to be filled has another shape; nobody else would see that it is written beyond.
    """
    if equity.shape[0] < marks.size or equity.shape[1] < last or figures.shape[0] != 4 or figures.shape[1] < last:
        raise ValueError("equity must be [mark, path] and figures [4, path], large enough")
    # A block that reaches the end goes on from the start, and none is longer than all returns.
    twice = np.concatenate((returns, returns))
    below = np.int64(np.ceil(restart * 9007199254740992.0))  # 2⁵³
    # Rows of one array each, that the compiler sees that they do not overlap.
    walks, worths = np.empty(2 * TOGETHER, dtype=np.uint64), np.empty(6 * TOGETHER)
    for begin in range(first, last, TOGETHER):
        paths = min(TOGETHER, last - begin)
        for path in range(paths):
            walks[path] = _mixed(_mixed(np.uint64(seed) + STEP) + np.uint64(begin + path) * STEP) + STEP
            walks[TOGETHER + path] = 0
            worths[path] = worths[3 * TOGETHER + path] = 1.0
            worths[TOGETHER + path] = worths[2 * TOGETHER + path] = worths[4 * TOGETHER + path] = 0.0
        mark = 0
        for period in range(marks[-1]):
            _step(twice, below if period else _ALWAYS, paths, walks, worths)
            if marks[mark] == period + 1:
                for path in range(paths):
                    equity[mark, begin + path] = worths[path]
                mark += 1
        for path in range(paths):
            figures[0, begin + path] = worths[path]
            figures[1, begin + path] = worths[4 * TOGETHER + path]
            figures[2, begin + path] = worths[TOGETHER + path]
            figures[3, begin + path] = worths[2 * TOGETHER + path]


@njit(cache=True, nogil=True, error_model="numpy")
def _step(twice: FloatArray, below: np.int64, paths: int, walks: "npt.NDArray[np.uint64]", worths: FloatArray) -> None:
    """Take each path one period on.

    Each period asks for one number, and one more where a block begins. Whether one does is as good as a coin: a branch on
    it is guessed wrongly so often that this would cost more than all the rest. So both is worked out.

    Args:
        below: numbers of 53 bits below this begin a block.
        walks: two rows of TOGETHER: where the stream is, and which of the returns was had last.
        worths: six rows: equity, Σr, Σr², peak, greatest drawdown, and room.
    """
    scale, size = 1.0 / 9007199254740992.0, np.float64(twice.size // 2)
    for path in range(paths):
        state = walks[path]
        value = np.int64(_mixed(state) >> np.uint64(11))
        number = np.int64(_mixed(state + STEP) >> np.uint64(11))
        there = np.int64(np.int32(np.float64(number) * scale * size))
        begins = -np.int64(value < below)  # all ones for yes
        walks[TOGETHER + path] = np.uint64((np.int64(walks[TOGETHER + path]) + 1) & ~begins | there & begins)
        walks[path] = state + STEP + (STEP & np.uint64(begins))
    # By itself, since who may read anywhere keeps the others from going on four at a time.
    for path in range(paths):
        worths[5 * TOGETHER + path] = twice[walks[TOGETHER + path]]
    for path in range(paths):
        r = worths[5 * TOGETHER + path]
        worths[TOGETHER + path] += r
        worths[2 * TOGETHER + path] += r * r
        worth = worths[path] * (1.0 + r)
        worths[path] = worth
        peak = worths[3 * TOGETHER + path]
        peak = worth if worth > peak else peak
        worths[3 * TOGETHER + path] = peak
        drawdown = worths[4 * TOGETHER + path]
        share = (peak - worth) / peak
        worths[4 * TOGETHER + path] = share if peak - worth > drawdown * peak else drawdown


@njit(cache=True, nogil=True)
def order_statistics(rows: FloatArray, ranks: IntArray, found: FloatArray) -> None:
    """Fill `found`, [row, rank], with the values of these ranks, ascending from 0, of each row.

    The values are spread over drawers by size, and only those of drawers that are asked for are put in order.

    Args:
        rows: finite numbers.
    """
    size = rows.shape[1]
    counts, wanted = np.empty(DRAWERS, dtype=np.int64), np.empty(DRAWERS, dtype=np.int64)
    drawers, taken = np.empty(size, dtype=np.int32), np.empty(size + 1)
    places = np.empty(ranks.size, dtype=np.int64)
    for at in range(rows.shape[0]):
        row = rows[at]
        low, high = _ends(row)
        scale = (DRAWERS - 1) / (high - low) if high > low else 0.0
        if not np.isfinite(scale):  # all but equal: one drawer
            scale = 0.0
        for place in range(size):
            drawers[place] = np.int32((row[place] - low) * scale)
        counts[:] = 0
        for place in range(size):
            counts[np.uint64(drawers[place])] += 1
        wanted[:] = 0
        drawer, before, passed = 0, 0, 0  # values in the drawers before, and of them those that are taken
        for number in range(ranks.size):
            while before + counts[drawer] <= ranks[number]:
                before += counts[drawer]
                passed += counts[drawer] * wanted[drawer]
                drawer += 1
            wanted[drawer] = 1
            places[number] = passed + ranks[number] - before
        kept = 0
        for place in range(size):
            # What is not taken is overwritten by the next one.
            taken[np.uint64(kept)] = row[place]
            kept += wanted[np.uint64(drawers[place])]
        few = taken[:kept]
        if kept <= FEW:
            _insert(few)
        else:
            few.sort()
        for number in range(ranks.size):
            found[at, number] = few[places[number]]


@njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})
def _ends(row: FloatArray) -> tuple[float, float]:
    """Return the least and the greatest of finite numbers."""
    low, high = row[0], row[0]
    for place in range(row.size):
        low, high = min(low, row[place]), max(high, row[place])
    return low, high


@njit(cache=True, nogil=True)
def _insert(values: FloatArray) -> None:
    """Put few values in order."""
    for at in range(1, values.size):
        value, before = values[at], at - 1
        while before >= 0 and values[before] > value:
            values[before + 1] = values[before]
            before -= 1
        values[before + 1] = value
