"""The Probability of Backtest Overfitting, by combinatorially symmetric cross-validation (CSCV).

The period is cut into S blocks, S even. Of every choice of S/2 blocks the combination with the best Sharpe ratio in them
is looked up in the other S/2: its relative rank there is ω = rank/(N+1), from 0 (worst) to 1, and the logit is
ln(ω/(1-ω)). PBO is the part of all C(S, S/2) splits whose logit is not above zero: where what was best in one half is in
the lower half of all combinations in the other.

All splits are counted, exactly, whatever the number of combinations: a split and its mirror share their sums, and
combinations are taken in tiles, so that memory does not grow with their number. Ties have their mean rank. A combination
whose returns do not vary in a half counts there as a Sharpe ratio of zero: it did nothing.

Source:
    Bailey, Borwein, López de Prado, Zhu: "The Probability of Backtest Overfitting", Journal of Computational Finance
    20(4), 2017, sections 2 and 3.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations as choices
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_BLOCKS = 16
LEAST_BARS = 20
"""A block of fewer returns than this says nothing of its own."""
TILE = 64
"""Combinations whose tables fit a core's second cache: 64 · 2 · 2⁸ · 2 numbers are half a mebibyte."""
BINS = 20


@dataclass(frozen=True)
class Overfitting:
    """How the combination chosen in one half of the data fares in the other, over all splits.

    Attributes:
        pbo: the part of the splits whose logit is at or below zero.
        slope, intercept: of the Sharpe ratio in the other half as a line of that in the half it was chosen in; a slope
            below zero means that a better past was followed by a worse future. None where the ratios do not vary.
        r_squared: how much of it that line explains.
        probability_of_loss: the part of the splits in which the chosen combination lost in the other half.
        in_sample, out_of_sample: mean Sharpe ratios per period of the chosen ones in either half.
        logits: one a split, sorted.
    """

    pbo: float
    combinations: int
    blocks: int
    splits: int
    slope: float | None
    intercept: float | None
    r_squared: float | None
    probability_of_loss: float
    in_sample: float
    out_of_sample: float
    logits: FloatArray = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, the logits as the counts and edges of a histogram and their quartiles."""
        # There are at most two ranks a combination among the thousands of splits: equal logits are counted once.
        firsts = np.flatnonzero(np.diff(self.logits, prepend=-np.inf))
        often = np.diff(firsts, append=self.logits.size)
        counts, edges = np.histogram(self.logits[firsts], bins=BINS, weights=often)
        return {
            "pbo": self.pbo,
            "combinations": self.combinations,
            "blocks": self.blocks,
            "splits": self.splits,
            "slope": self.slope,
            "intercept": self.intercept,
            "r_squared": self.r_squared,
            "probability_of_loss": self.probability_of_loss,
            "in_sample": self.in_sample,
            "out_of_sample": self.out_of_sample,
            "logits": {
                "counts": counts.tolist(),
                "edges": edges.tolist(),
                "quartiles": [_quantile(self.logits, part) for part in (0.25, 0.5, 0.75)],
            },
        }


def blocks_for(count: int, most: int = MOST_BLOCKS, least_bars: int = LEAST_BARS) -> int:
    """Return into how many blocks `count` returns are cut: even, as many as fit; 0 where not even four do.

    Raises:
        ValueError: when `most` is odd or not from 2 to 20.
    """
    _check_blocks(most)
    blocks = min(most, count // least_bars // 2 * 2)
    return blocks if blocks >= min(4, most) else 0


def block_bounds(count: int, blocks: int) -> IntArray:
    """Return the `blocks + 1` bounds of blocks of consecutive returns, none longer than another by more than one."""
    return np.arange(blocks + 1, dtype=np.int64) * count // blocks


def block_sums(returns: npt.ArrayLike, blocks: int) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return n[block], Σr[combination, block] and Σr²[combination, block] of returns[combination, period]."""
    values = np.asarray(returns, dtype=np.float64)
    bounds = block_bounds(values.shape[1], blocks)
    counts = np.diff(bounds)
    return counts, np.add.reduceat(values, bounds[:-1], axis=1), np.add.reduceat(values**2, bounds[:-1], axis=1)


def overfitting(
    counts: npt.ArrayLike,
    totals: npt.ArrayLike,
    squares: npt.ArrayLike,
    *,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Overfitting | None:
    """Return the Probability of Backtest Overfitting of a search.

    Args:
        counts: n[block], returns per block, the same for every combination; at least two each.
        totals, squares: Σr and Σr², [combination, block].
        threads: among which the splits are divided; the result does not depend on them.
        check: called between tiles of combinations; may raise to stop.

    Returns:
        None of fewer than two combinations: nothing was chosen.

    Raises:
        ValueError: when the shapes do not fit, the number of blocks is odd or not from 2 to 20, a block has fewer than
            two returns, or a sum is not finite.
    """
    n = np.asarray(counts, dtype=np.int64)
    s = np.ascontiguousarray(totals, dtype=np.float64)
    q = np.ascontiguousarray(squares, dtype=np.float64)
    if n.ndim != 1 or s.ndim != 2 or s.shape != q.shape or s.shape[1] != n.size:
        raise ValueError("counts must be [blocks]; totals and squares [combinations, blocks].")
    _check_blocks(n.size)
    if (n < 2).any():
        raise ValueError("every block needs at least two returns: take fewer blocks.")
    if not (np.isfinite(s).all() and np.isfinite(q).all()):
        raise ValueError("sums must be finite: leave out combinations without figures.")
    if s.shape[0] < 2:
        return None
    masks, sizes, corrections = _pairs(tuple(n.tolist()))
    keys_in, keys_out, below, equal = _count(s, q, masks, 1.0 / sizes, threads, check)
    # A mean rank is a half or a whole number, of which there are few beside the splits.
    often = np.bincount((2 * below + equal + 1).ravel())
    halves = np.flatnonzero(often)
    omega = (halves / 2) / (s.shape[0] + 1)
    logits = np.repeat(np.log(omega / (1 - omega)), often[halves])
    inside = _sharpe(keys_in, corrections).ravel()
    outside = _sharpe(keys_out, corrections[:, ::-1]).ravel()
    slope, intercept, r_squared = _line(inside, outside)
    return Overfitting(
        pbo=float((logits <= 0).mean()),
        combinations=s.shape[0],
        blocks=n.size,
        splits=logits.size,
        slope=slope,
        intercept=intercept,
        r_squared=r_squared,
        probability_of_loss=float((outside < 0).mean()),
        in_sample=float(inside.mean()),
        out_of_sample=float(outside.mean()),
        logits=logits,
    )


def _check_blocks(blocks: int) -> None:
    if blocks % 2 or not 2 <= blocks <= 20:
        raise ValueError("the number of blocks must be even, from 2 to 20.")


@lru_cache(maxsize=8)
def _masks(blocks: int) -> IntArray:
    """Return one half of each pair of mirrored splits as a bit mask: those without the last block."""
    halves = choices(range(blocks - 1), blocks // 2)
    return np.array([sum(1 << block for block in half) for half in halves], dtype=np.int64)


@lru_cache(maxsize=8)
def _pairs(counts: tuple[int, ...]) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the masks, the number n of returns in both halves, [pair, 2], and √((n-1)/n)."""
    masks = _masks(len(counts))
    inside = ((masks[:, None] >> np.arange(len(counts))) & 1) @ np.array(counts, dtype=np.int64)
    sizes = np.stack([inside, sum(counts) - inside], axis=1).astype(np.float64)
    return masks, sizes, np.sqrt((sizes - 1) / sizes)


def _count(
    totals: FloatArray,
    squares: FloatArray,
    masks: IntArray,
    inverses: FloatArray,
    threads: int,
    check: Callable[[], None],
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Return per split the key of the chosen one in both halves, and how many are below and equal in the other."""
    # Imported here: the web's processes judge and show, and must not pay for the compiler.
    from optimize.honesty import cscv_kernels as kernels

    number, blocks = totals.shape
    width = blocks // 2
    shape = (masks.size, 2)
    best, outside = np.full(shape, -np.inf), np.empty(shape)
    below, equal = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    size = min(TILE, number)
    tables = np.empty((4, 1 << width, size))

    def load(first: int) -> int:
        tile = min(size, number - first)
        for at, source in enumerate((totals, squares)):
            kernels.subset_sums(source, first, tile, 0, width, tables[2 * at])
            kernels.subset_sums(source, first, tile, width, width, tables[2 * at + 1])
        return tile

    if size == number:
        check()
        load(0)
        kernels.all_at_once(tables, size, masks, inverses, width, best, outside, below, equal)
        return best, outside, below, equal
    chosen = np.full(shape, -1, dtype=np.int64)
    bounds = block_bounds(masks.size, max(1, threads))
    parts = [slice(a, b) for a, b in pairwise(bounds.tolist())]
    with ThreadPoolExecutor(len(parts)) as pool:
        for kernel in ("best", "outside", "rank"):
            for first in range(0, number, size):
                check()
                tile = load(first)
                if kernel == "best":

                    def work(p: slice, first: int = first, tile: int = tile) -> None:
                        kernels.best_of(tables, first, tile, masks[p], inverses[p], width, best[p], chosen[p])

                elif kernel == "outside":

                    def work(p: slice, first: int = first, tile: int = tile) -> None:
                        kernels.key_outside(tables, first, tile, masks[p], inverses[p], width, chosen[p], outside[p])

                else:

                    def work(p: slice, first: int = first, tile: int = tile) -> None:
                        kernels.rank_among(tables, tile, masks[p], inverses[p], width, outside[p], below[p], equal[p])

                list(pool.map(work, parts))
    return best, outside, below, equal


def _sharpe(keys: FloatArray, corrections: FloatArray) -> FloatArray:
    """Return the per-period Sharpe ratios that keys stand for.

    Args:
        corrections: √((n-1)/n) of the halves.
    """
    square = np.abs(keys)
    return np.copysign(np.sqrt(square / (1 - square)) * corrections, keys)


def _quantile(ordered: FloatArray, part: float) -> float:
    """Return `np.quantile` of numbers in order, to the last bit and in a fraction of its time."""
    place = part * (ordered.size - 1)
    before = int(place)
    low, high, rest = float(ordered[before]), float(ordered[min(before + 1, ordered.size - 1)]), place - before
    apart = high - low
    return high - apart * (1 - rest) if rest >= 0.5 else low + apart * rest


def _line(x: FloatArray, y: FloatArray) -> tuple[float | None, float | None, float | None]:
    """Return slope, intercept and R² of the least-squares line of y over x; None where x does not vary."""
    dx, dy = x - x.mean(), y - y.mean()
    # Not `@`: BLAS wakes its threads for this length, which takes longer than the sums, and rounds by how many there are.
    xx, yy, xy = float((dx * dx).sum()), float((dy * dy).sum()), float((dx * dy).sum())
    if xx <= 1e-12 * max(float((x * x).sum()), 1e-300):
        return None, None, None
    slope = xy / xx
    return slope, float(y.mean()) - slope * float(x.mean()), (xy * xy / (xx * yy) if yy > 0 else None)
