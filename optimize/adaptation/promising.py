"""What parameters promise when they go live, and when that promise is broken. Pure; no Django.

The promise is a floor under the cumulated log return after h bars: mean·h - width·deviation·√h. Its width is such that
returns of the same making fall below it on any of the bars that are watched with a chance of at most `level`. Both what the
returns may become and how far their own mean and deviation may be off are drawn by the stationary bootstrap
(`optimize.honesty.bootstrap`), so that a promise made on few bars is a wider one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from optimize.adaptation.long_run import long_run
from optimize.honesty.bootstrap import block_lengths

FIRST = 5
"""Bars before which nothing is judged: a single fill is no evidence."""
LEAST_RETURNS = 20
MISSED = 0.6
"""Part of the level that the bootstrap may use up. Blocks of a few hundred returns show less dependence than there is: at the
whole level simulated promises are broken up to 1.6 times as often (docs/adaptation-method.md)."""
PATHS = 2_000
PATHS_AT_ONCE = 100


@dataclass(frozen=True)
class Promise:
    """What is held against the bars that come.

    Attributes:
        mean: log return per bar.
        deviation: long-run, of the log return of a bar; above 0.
        width: how many deviations times √h the floor lies below the mean.
        level: the chance at which returns of the same making break it.
        bars: how many are watched.
        drawdown: positive fraction that the greatest drawdown over these bars exceeds with a chance of `level`; shown,
            not judged.
    """

    mean: float
    deviation: float
    width: float
    level: float
    bars: int
    drawdown: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the promise that `as_dict` told."""
        return cls(**{name: record[name] for name in cls.__dataclass_fields__})

    def notices(self, mean: float) -> int | None:
        """Return after how many bars a steady log return of `mean` has broken the promise; None: not in time."""
        if mean >= self.mean:
            return None
        bars = max(FIRST, math.floor((self.width * self.deviation / (self.mean - mean)) ** 2) + 1)
        return bars if bars <= self.bars else None


def promise(
    returns: npt.ArrayLike,
    *,
    bars: int,
    level: float = 0.05,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Promise:
    """Return what `returns` promise for the next `bars` bars. The same seed gives the same promise.

    Args:
        returns: per bar, as fractions (not logarithms), of bars that the search did not see.
        check: called between paths; may raise to stop.

    Raises:
        ValueError: for fewer than LEAST_RETURNS returns, returns that are not finite, are -1 or less, or do not vary;
            for fewer than FIRST bars, or a level that is not above 0 and below 1.
    """
    values = np.ascontiguousarray(returns, dtype=np.float64)
    if values.ndim != 1 or values.size < LEAST_RETURNS or not (np.isfinite(values) & (values > -1)).all():
        raise ValueError(f"returns must be one row of at least {LEAST_RETURNS} finite numbers above -1")
    if bars < FIRST or not 0 < level < 1:
        raise ValueError(f"bars must be at least {FIRST}, level above 0 and below 1")
    logs = np.log1p(values)
    own = long_run(logs[None])
    mean, deviation = float(own.mean[0]), math.sqrt(float(own.variance[0]))
    if not deviation > 0:
        raise ValueError("returns that do not vary promise nothing")
    excess, drawdowns = _paths(values, mean, deviation, bars, seed, check)
    return Promise(
        mean=mean,
        deviation=deviation,
        # Never above the mean itself.
        width=max(0.0, float(np.quantile(excess, 1 - MISSED * level, method="higher"))),
        level=level,
        bars=bars,
        drawdown=float(np.quantile(drawdowns, 1 - level)),
    )


def floor(promise: Promise, h: int) -> float:
    """Return the least cumulated log return after `h` bars that keeps the promise."""
    return promise.mean * h - promise.width * promise.deviation * math.sqrt(h)


def breached(promise: Promise, log_returns: npt.ArrayLike) -> int | None:
    """Return after how many bars the cumulated log return was first below the floor; None while the promise is kept.

    Never before FIRST bars, and never after those that are watched.

    Args:
        log_returns: per bar, of the bars since, oldest first.
    """
    logs = np.asarray(log_returns, dtype=np.float64)[: promise.bars]
    after = np.arange(1, logs.size + 1)
    floors = promise.mean * after - promise.width * promise.deviation * np.sqrt(after)
    # Not `<`: what is not known keeps no promise.
    broken = np.flatnonzero(~(np.cumsum(logs) >= floors) & (after >= FIRST))
    return int(after[broken[0]]) if broken.size else None


def _paths(
    values: npt.NDArray[np.float64], mean: float, deviation: float, bars: int, seed: int, check: Callable[[], None]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, of each path, how far below its floor of width 0 it came in deviations times √h, and its greatest drawdown.

    Of each a past is drawn, whose mean and deviation make the floor, and a future that is held against it.
    """
    # Imported here: the web's processes must not pay for the compiler.
    from optimize.honesty.bootstrap_kernels import resample

    count = values.size
    restart = 1 / min(block_lengths(np.log1p(values))[0], float(count))
    # A future may be longer than what it is drawn from; blocks that reach the end go on from the start either way.
    several = np.tile(values, -(-bars // count))
    spread = math.sqrt(float(np.square(values).mean() - np.square(values.mean())))
    after = np.arange(1, bars + 1)
    excess, drawdowns = np.empty(PATHS), np.empty(PATHS)
    for first in range(0, PATHS, PATHS_AT_ONCE):
        check()
        last = first + PATHS_AT_ONCE
        # The kernel numbers its columns as its paths.
        past, future = np.empty((1, last)), np.empty((bars, last))
        pasts, unused = np.empty((4, last)), np.empty((4, last))
        resample(values, restart, 2 * seed, first, last, np.array([count]), past, pasts)
        resample(several, restart, 2 * seed + 1, first, last, after, future, unused)
        worth = future[:, first:]
        total, squares = pasts[2, first:] / count, pasts[3, first:] / count
        drawn = np.log(past[0, first:]) / count
        scale = deviation * np.sqrt(np.maximum(squares - np.square(total), 0.0)) / spread
        gaps = (drawn * after[:, None] - np.log(worth)) / np.sqrt(after)[:, None]
        worst = gaps[FIRST - 1 :].max(axis=0)
        # A past that did not vary says nothing of the deviation: it is taken as it is.
        excess[first:last] = worst / np.where(scale > 0, scale, deviation)
        peaks = np.maximum(np.maximum.accumulate(worth, axis=0), 1.0)
        drawdowns[first:last] = (1 - worth / peaks).max(axis=0)
    return excess, drawdowns
