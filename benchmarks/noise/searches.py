"""Searches whose truth is known: returns without any edge, and the same with one planted.

A grid of combinations is drawn as a market sees it: near combinations trade alike. Each has a field of latent values over
the grid, smooth in its parameters and new every bar, so that the returns of neighbours are correlated and those of far ones
hardly are. How smooth, how many combinations, how long and how fat-tailed is drawn anew for each search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from optimize.honesty import Assessment, Gate, GridAxis, Search, Sums, Trials, assess, block_bounds, blocks_for

FloatArray = npt.NDArray[np.float64]
Bounds = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Shape:
    """One search: a grid of two parameters over a period, in folds.

    Attributes:
        likeness: the correlation of the returns of two neighbours on the grid.
        tails: degrees of freedom of Student's t that the returns have; the fewer, the fatter.
        active: the part of the bars on which a combination is in the market.
    """

    fast: int
    slow: int
    bars: int
    folds: int
    train_ratio: float
    likeness: float
    tails: float
    active: float

    @classmethod
    def usual(cls) -> "Shape":
        """Return the search that the figures of a planted edge are about: 36 combinations over ten years of days."""
        return cls(fast=6, slow=6, bars=2520, folds=5, train_ratio=0.6, likeness=0.8, tails=5.0, active=0.6)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Shape":
        return cls(
            fast=int(rng.integers(1, 9)),
            slow=int(rng.integers(2, 11)),
            bars=int(rng.choice([750, 1258, 2500])),
            folds=int(rng.integers(4, 9)),
            train_ratio=float(rng.choice([0.5, 0.6, 0.7, 0.8])),
            likeness=float(rng.choice([0.0, 0.5, 0.8, 0.95])),
            tails=float(rng.choice([3.0, 5.0, 30.0])),
            active=float(rng.uniform(0.2, 0.9)),
        )


def drawn_returns(shape: Shape, rng: np.random.Generator) -> FloatArray:
    """Return returns without any edge, [combination, bar], daily with a standard deviation of about 1 %."""
    size = (shape.bars, shape.fast, shape.slow)
    shocks, in_market = rng.standard_normal(size), rng.standard_normal(size)
    for field in (shocks, in_market):
        for axis in (1, 2):
            _smooth(field, axis, shape.likeness)
    # Days are wild for all combinations at once, as they are on a market.
    shocks *= np.sqrt(shape.tails / rng.chisquare(shape.tails, shape.bars))[:, None, None]
    inside = in_market >= np.quantile(in_market, 1 - shape.active)
    returns = np.where(inside, shocks, 0.0).reshape(shape.bars, -1).T
    return np.ascontiguousarray(0.01 * returns / returns.std())


def planted(returns: FloatArray, shape: Shape, sharpe: float) -> FloatArray:
    """Add an edge: a yearly Sharpe ratio of `sharpe` in the middle of the grid, half of it at the ends of its axes."""
    fast, slow = np.meshgrid(_apart(shape.fast), _apart(shape.slow), indexing="ij")
    strength = np.exp2(-np.square(fast) - np.square(slow)).ravel()
    mean = sharpe / np.sqrt(252) * strength * returns.std(axis=1)
    # Only who is in the market can have it.
    inside = returns != 0
    return returns + np.where(inside, (mean / np.maximum(inside.mean(axis=1), 1e-9))[:, None], 0.0)


def _apart(size: int) -> FloatArray:
    """Return how far each place of an axis is from its middle, 1 at the farther end."""
    away = np.abs(np.arange(size) - size // 2).astype(np.float64)
    return away / max(float(away.max()), 1.0)


def searched(
    returns: FloatArray, shape: Shape, *, trials: int = 0, others: Sequence[Trials] = (), gate: Gate | None = None
) -> Assessment:
    """Return what the desk thinks of a search that found `returns`.

    Args:
        trials, others: of the ledger; without them, there was no other search.
    """
    edges = block_bounds(shape.bars, shape.folds).tolist()
    splits = [first + round((last - first) * shape.train_ratio) for first, last in pairwise(edges)]
    train = list(zip(edges[:-1], splits, strict=True))
    test = list(zip(splits, edges[1:], strict=True))
    blocks = list(pairwise(block_bounds(shape.bars, blocks_for(shape.bars)).tolist()))
    fast = GridAxis("fast", tuple(range(shape.fast)), True)
    slow = GridAxis("slow", tuple(range(shape.slow)), True)
    nothing = np.zeros((returns.shape[0], shape.folds), dtype=np.bool_)
    tested = np.concatenate([np.arange(first, last) for first, last in test])
    search = Search(
        axes=(fast, slow),
        combinations=[{"fast": a, "slow": b} for a, b in product(fast.values, slow.values)],
        in_sample=_sums(returns, train),
        out_of_sample=_sums(returns, test),
        blocks=_sums(returns, blocks),
        # Each stay in the market is a trade.
        trades=(np.diff((returns[:, tested] != 0).astype(np.int8), axis=1) == -1).sum(axis=1),
        ruined_in=nothing,
        ruined_out=nothing,
    )
    return assess(search, lambda at: returns[at, tested], trials=trials, others=others, gate=gate)


def _smooth(field: FloatArray, axis: int, weight: float) -> None:
    """Make each cell a mixture of the one before and itself along `axis`, of the same variance."""
    cells = np.moveaxis(field, axis, 0)
    for at in range(1, cells.shape[0]):
        cells[at] = weight * cells[at - 1] + np.sqrt(1 - weight * weight) * cells[at]


def _sums(returns: FloatArray, parts: Bounds) -> Sums:
    return Sums(
        counts=np.array([last - first for first, last in parts]),
        totals=np.stack([returns[:, first:last].sum(axis=1) for first, last in parts], axis=1),
        squares=np.stack([np.square(returns[:, first:last]).sum(axis=1) for first, last in parts], axis=1),
    )
