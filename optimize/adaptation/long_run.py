"""Means of returns that depend on each other, and how sure they are. Pure; no Django.

Source: Newey, West: "Automatic Lag Selection in Covariance Matrix Estimation", Review of Economic Studies 61(4), 1994, with
Bartlett's weights.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimize.honesty.sharpe import LEAST_VARIATION, NORMAL

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LongRun:
    """Of each row of returns: its mean, its long-run variance per bar, and up to which lag that looks.

    Attributes:
        mean, variance: float64[C].
        lags: int64[C].
        bars: of each row.
    """

    mean: FloatArray
    variance: FloatArray
    lags: NDArray[np.int64]
    bars: int

    @property
    def t(self) -> FloatArray:
        """The mean over its standard error; 0 where the row does not vary, since that proves nothing."""
        error = np.sqrt(self.variance / max(self.bars, 1))
        return np.divide(self.mean, error, out=np.zeros(len(error)), where=error > 0)

    @property
    def p(self) -> FloatArray:
        """The chance of a mean as high as this or higher where the true one is zero; 1 where the row does not vary."""
        return np.array(
            [NORMAL.cdf(-t) if varies else 1.0 for t, varies in zip(self.t.tolist(), self.variance > 0, strict=True)]
        )


def long_run(rows: FloatArray) -> LongRun:
    """Return the long-run figures of each row, [C, n].

    In the notation of the paper: the lag is γ̂·n^(1/3) with γ̂ = 1.1447·(ŝ₁/ŝ₀)^(2/3), from autocovariances up to
    4·(n/100)^(2/9); at most √n + 5. The variance is never taken as less than that of independent returns: of few bars a
    negative autocovariance is more often an accident than a reason to be surer.

    Raises:
        ValueError: for values that are not finite, or rows without any.
    """
    if rows.ndim != 2 or not rows.shape[1] or not np.isfinite(rows).all():
        raise ValueError("rows must be finite numbers, at least one in each")
    count = rows.shape[1]
    mean = rows.mean(axis=1)
    apart = rows - mean[:, None]
    most = min(count - 1, math.ceil(math.sqrt(count)) + 5)
    covariance = np.stack([_product(apart, lag) / count for lag in range(most + 1)], axis=1)
    first = min(int(4 * (count / 100) ** (2 / 9)), most)
    steps = np.arange(1, first + 1)
    s0 = covariance[:, 0] + 2 * covariance[:, 1 : first + 1].sum(axis=1)
    s1 = 2 * (steps * covariance[:, 1 : first + 1]).sum(axis=1)
    ratio = np.divide(s1, s0, out=np.zeros(len(rows)), where=np.abs(s0) > 0)
    lags = np.minimum(1.1447 * np.cbrt(np.square(ratio)) * np.cbrt(count), most).astype(np.int64)
    weights = np.maximum(0.0, 1 - np.arange(1, most + 1) / (lags[:, None] + 1))
    variance = covariance[:, 0] + 2 * (weights * covariance[:, 1:]).sum(axis=1)
    # Of rows that do not vary what is left is rounding.
    varies = covariance[:, 0] > LEAST_VARIATION * np.square(rows).mean(axis=1)
    return LongRun(mean, np.where(varies, np.maximum(variance, covariance[:, 0]), 0.0), lags, count)


def _product(apart: FloatArray, lag: int) -> FloatArray:
    """Return the sum of products `lag` apart, of each row alone whatever others there are."""
    result: FloatArray = np.einsum("ij,ij->i", apart[:, lag:], apart[:, : apart.shape[1] - lag])
    return result
