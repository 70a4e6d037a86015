"""The loops of `cscv`, compiled. A half of the blocks is a bit mask; a half's sum is that of its low blocks plus that of
its high blocks, both from tables over all subsets of eight blocks, so that a split costs one addition a combination.

Ranks need no root: with x² = (Σr)² / (n·Σr²), the Sharpe ratio is sign·x/√(1-x²)·√((n-1)/n), which grows with
sign·x². That `key` also cancels nothing, as a variance from sums does.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ALL_EQUAL = 1 - 1e-12
"""x² above this is returns that do not vary; their ratio counts as zero, as of doing nothing."""


@njit(cache=True, nogil=True)
def subset_sums(blocks: FloatArray, first: int, size: int, start: int, width: int, table: FloatArray) -> None:
    """Fill `table[mask, c]` with the sum over the blocks in `mask` of `blocks[first + c, start + block]`."""
    for c in range(size):
        table[0, c] = 0.0
    for mask in range(1, 1 << width):
        block = 0
        while not (mask >> block) & 1:
            block += 1
        rest = mask & (mask - 1)
        for c in range(size):
            table[mask, c] = table[rest, c] + blocks[first + c, start + block]


@njit(cache=True, nogil=True, error_model="numpy")
def _keys(tables: FloatArray, low: int, high: int, inverse: float, row: FloatArray, size: int) -> None:
    """Fill `row` with the keys of one half, that of the block masks `low` and `high`."""
    for c in range(size):
        total = tables[0, low, c] + tables[1, high, c]
        # The least number instead of zero, so that a combination that did nothing has the key 0 and no branch.
        key = total * abs(total) / (tables[2, low, c] + tables[3, high, c] + 1e-300) * inverse
        row[c] = key if abs(key) < ALL_EQUAL else 0.0


@njit(cache=True, nogil=True)
def best_of(
    tables: FloatArray,
    first: int,
    size: int,
    masks: IntArray,
    inverses: FloatArray,
    width: int,
    best: FloatArray,
    chosen: IntArray,
) -> None:
    """Let each split's best combination so far compete with those of this tile.

    Args:
        tables: sums of low and of high blocks, then sums of squares of low and of high blocks, [4, mask, combination].
        first: the number of the tile's first combination; `size`: how many it has.
        masks: the blocks of one half of each pair of splits; the other half is the rest.
        inverses: 1/n of both halves, [pair, 2].
        best, chosen: the greatest key and whose it is, [pair, 2]; changed in place. The first of equals is kept.
    """
    row = np.empty(size)
    whole = (1 << width) - 1
    for pair in range(masks.size):
        for side in range(2):
            flip = whole * side
            _keys(tables, (masks[pair] & whole) ^ flip, (masks[pair] >> width) ^ flip, inverses[pair, side], row, size)
            top = best[pair, side]
            where = chosen[pair, side]
            for c in range(size):
                if row[c] > top:
                    top = row[c]
                    where = first + c
            best[pair, side] = top
            chosen[pair, side] = where


@njit(cache=True, nogil=True, error_model="numpy")
def key_outside(
    tables: FloatArray,
    first: int,
    size: int,
    masks: IntArray,
    inverses: FloatArray,
    width: int,
    chosen: IntArray,
    outside: FloatArray,
) -> None:
    """Fill `outside`, [pair, 2], with the other half's key of the chosen one, where it is in this tile."""
    whole = (1 << width) - 1
    for pair in range(masks.size):
        for side in range(2):
            c = chosen[pair, side] - first
            if c < 0 or c >= size:
                continue
            flip = whole * (1 - side)
            low = (masks[pair] & whole) ^ flip
            high = (masks[pair] >> width) ^ flip
            total = tables[0, low, c] + tables[1, high, c]
            squares = tables[2, low, c] + tables[3, high, c] + 1e-300
            key = total * abs(total) / squares * inverses[pair, 1 - side]
            outside[pair, side] = key if abs(key) < ALL_EQUAL else 0.0


@njit(cache=True, nogil=True)
def rank_among(
    tables: FloatArray,
    size: int,
    masks: IntArray,
    inverses: FloatArray,
    width: int,
    outside: FloatArray,
    below: IntArray,
    equal: IntArray,
) -> None:
    """Count this tile's combinations whose key in each other half is below, or equal to, that of the chosen one.

    Args:
        below, equal: [pair, 2]; added to. The chosen one itself is counted among the equal ones.
    """
    row = np.empty(size)
    whole = (1 << width) - 1
    for pair in range(masks.size):
        for side in range(2):
            flip = whole * (1 - side)
            _keys(
                tables, (masks[pair] & whole) ^ flip, (masks[pair] >> width) ^ flip, inverses[pair, 1 - side], row, size
            )
            limit = outside[pair, side]
            fewer = 0
            same = 0
            for c in range(size):
                fewer += row[c] < limit
                same += row[c] == limit
            below[pair, side] += fewer
            equal[pair, side] += same


@njit(cache=True, nogil=True)
def all_at_once(
    tables: FloatArray,
    size: int,
    masks: IntArray,
    inverses: FloatArray,
    width: int,
    best: FloatArray,
    outside: FloatArray,
    below: IntArray,
    equal: IntArray,
) -> None:
    """Do the three of above in one pass, where all combinations are in one tile."""
    rows = np.empty((2, size))
    whole = (1 << width) - 1
    for pair in range(masks.size):
        low = masks[pair] & whole
        high = masks[pair] >> width
        _keys(tables, low, high, inverses[pair, 0], rows[0], size)
        _keys(tables, whole ^ low, whole ^ high, inverses[pair, 1], rows[1], size)
        for side in range(2):
            top = rows[side, 0]
            where = 0
            for c in range(1, size):
                if rows[side, c] > top:
                    top = rows[side, c]
                    where = c
            limit = rows[1 - side, where]
            fewer = 0
            same = 0
            for c in range(size):
                fewer += rows[1 - side, c] < limit
                same += rows[1 - side, c] == limit
            best[pair, side] = top
            outside[pair, side] = limit
            below[pair, side] = fewer
            equal[pair, side] = same
