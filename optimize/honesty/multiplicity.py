"""Many tests at once, and one test between two rows of folds.

Sources:
    Holm: "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979.
    Benjamini, Hochberg: "Controlling the False Discovery Rate", Journal of the Royal Statistical Society B 57(1), 1995.
    Wilcoxon: "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1(6), 1945.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optimize.honesty.sharpe import NORMAL

FloatArray = npt.NDArray[np.float64]
Alternative = Literal["greater", "less", "two-sided"]

MOST_EXACT = 50
"""Differences up to which the distribution of signed ranks is counted out; of more the normal one is close enough."""


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test of whether differences lie about zero.

    Attributes:
        statistic: the sum of the ranks of the differences above zero.
        count: of differences that are not zero.
        exact: the p-value was counted out, not approximated.
    """

    statistic: float
    count: int
    p: float
    exact: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted so that one at or below α is wrong with a chance of at most α for all of them together.

    Raises:
        ValueError: when one is not from 0 to 1, or they are not one row.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return _in_place(order, stepped)


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Return p-values adjusted so that of those at or below α a part of at most α is expected to be wrong.

    For tests that are independent or depend positively on each other, as backtests over the same prices do.

    Raises:
        ValueError: when one is not from 0 to 1, or they are not one row.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    return _in_place(order, np.minimum.accumulate(scaled[::-1])[::-1])


def signed_rank(differences: npt.ArrayLike, alternative: Alternative = "two-sided") -> SignedRank:
    """Return Wilcoxon's signed-rank test of paired differences, such as one combination's folds less another's.

    Differences of zero are left out, and equal ones have their mean rank. The distribution is counted out over the ranks
    as they are, ties included. Of no difference at all p is 1.

    Args:
        alternative: what a small p speaks for: that the differences lie above zero, below, or not about it.

    Raises:
        ValueError: when a difference is not finite, or they are not one row.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("differences must be one row of finite numbers: leave out pairs without one.")
    values = values[values != 0]
    if not values.size:
        return SignedRank(0.0, 0, 1.0, True)
    ranks = mean_ranks(np.abs(values))
    above = float(ranks[values > 0].sum())
    if values.size <= MOST_EXACT:
        low, high = _exact(ranks, above)
    else:
        low, high = _normal(ranks, above)
    p = {"greater": high, "less": low, "two-sided": min(1.0, 2 * min(low, high))}[alternative]
    return SignedRank(above, int(values.size), p, values.size <= MOST_EXACT)


def _checked(p_values: npt.ArrayLike) -> FloatArray:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be one row of numbers from 0 to 1.")
    return p


def _in_place(order: npt.NDArray[np.intp], adjusted: FloatArray) -> FloatArray:
    result = np.empty(adjusted.size)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def mean_ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1; of equal values each has the mean of the ranks that they take."""
    ordered = np.sort(values)
    # How many are below, and how many are not above.
    return (ordered.searchsorted(values, "left") + 1 + ordered.searchsorted(values, "right")) / 2


def _exact(ranks: FloatArray, above: float) -> tuple[float, float]:
    """Return P(W ≤ above) and P(W ≥ above), each sign equally likely, by counting the sign patterns of each sum."""
    doubled = np.rint(2 * ranks).astype(np.int64)  # mean ranks are halves
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for rank in doubled.tolist():
        ways[rank:] += ways[:-rank].copy()
    at = round(2 * above)
    total = 2.0**ranks.size
    return float(ways[: at + 1].sum() / total), float(ways[at:].sum() / total)


def _normal(ranks: FloatArray, above: float) -> tuple[float, float]:
    """Return the same by the normal distribution, corrected for ties and continuity."""
    deviation = math.sqrt(float(np.square(ranks).sum()) / 4)
    apart = above - float(ranks.sum()) / 2
    return NORMAL.cdf((apart + 0.5) / deviation), NORMAL.cdf((0.5 - apart) / deviation)
