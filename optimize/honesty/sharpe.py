"""How sure a Sharpe ratio is: its t-statistic, the odds that it is real, and those odds after many tries.

Every Sharpe ratio here is per period, not annualised: multiply by √(periods per year) to show one. Skewness and
kurtosis are those of the population (dividing by n), and a normal distribution's kurtosis is 3.

Sources:
    Bailey, López de Prado: "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012 (PSR, MinTRL).
    Bailey, López de Prado: "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and
    Non-Normality", Journal of Portfolio Management 40(5), 2014 (expected maximum, DSR).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
NORMAL = NormalDist()
LEAST_VARIATION = 1e-12
"""A variance below this part of the mean square is rounding: the returns do not vary, and have no Sharpe ratio."""
LEAST_TRIALS = 10
"""Of fewer trials than this a variance says little, so that it does not count as the greatest of any job."""


@dataclass(frozen=True)
class Moments:
    """The figures of a series of returns that its Sharpe ratio and the doubt about it are made of.

    Attributes:
        std: with n - 1 in the denominator.
        skew, kurtosis, sharpe, t: None where the returns do not vary, or where there are fewer than two.
    """

    count: int
    mean: float | None
    std: float | None
    skew: float | None
    kurtosis: float | None
    sharpe: float | None
    t: float | None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Trials:
    """The per-period Sharpe ratios that one job tried, as far as the expected maximum needs them.

    Attributes:
        count: of trials with a Sharpe ratio.
        squares: the sum of squared differences from the mean.
        periods: how many returns each ratio is made of; the fewer, the further ratios of no edge scatter.
    """

    count: int
    mean: float
    squares: float
    periods: int

    @classmethod
    def of(cls, sharpes: npt.ArrayLike, periods: int) -> Self:
        """Take what is finite of an array; trials that did not vary have no ratio and do not count."""
        values = np.asarray(sharpes, dtype=np.float64).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            return cls(0, 0.0, 0.0, periods)
        mean = float(values.mean())
        return cls(int(values.size), mean, float(np.square(values - mean).sum()), periods)

    @property
    def variance(self) -> float | None:
        """With n - 1 in the denominator; None of fewer than two trials."""
        return self.squares / (self.count - 1) if self.count > 1 else None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Deflated:
    """A Sharpe ratio beside the best that luck alone would have found in as many trials.

    Attributes:
        dsr: the probability that the true Sharpe ratio is above `benchmark`; None where it cannot be told.
        benchmark: the expected maximum of `trials` ratios whose true value is zero.
        variance: of the ratios across trials, as used.
        assumed: the variance was not known, and is that of the ratio of returns without any edge, 1/(n - 1).
        psr: the same probability against zero, as if there had been a single trial.
        min_track_record: periods after which the ratio would be above `benchmark` with 95 % confidence; None where it
            is not above it at all.
    """

    dsr: float | None
    psr: float | None
    sharpe: float | None
    benchmark: float
    trials: int
    variance: float
    assumed: bool
    count: int
    skew: float | None
    kurtosis: float | None
    min_track_record: float | None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def moments(returns: npt.ArrayLike) -> Moments:
    """Return the moments of returns per period, a 1-D array.

    Raises:
        ValueError: when a return is not finite, or the array is not 1-D.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("returns must be one row of finite numbers: leave out periods without one.")
    count = int(values.size)
    if not count:
        return Moments(0, None, None, None, None, None, None)
    mean = float(values.mean())
    if count == 1:
        return Moments(1, mean, None, None, None, None, None)
    apart = values - mean
    second = float(np.square(apart).mean())
    if second <= LEAST_VARIATION * float(np.square(values).mean()):
        return Moments(count, mean, 0.0, None, None, None, None)
    std = math.sqrt(second * count / (count - 1))
    unit = apart / math.sqrt(second)
    square = np.square(unit)
    sharpe = mean / std
    return Moments(
        count,
        mean,
        std,
        float((square * unit).mean()),
        float(np.square(square).mean()),
        sharpe,
        sharpe * math.sqrt(count),
    )


def sharpe_from_sums(count: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike) -> FloatArray:
    """Return per-period Sharpe ratios from n, Σr and Σr², of any shape that broadcasts; NaN where there is none."""
    n, s, q = (np.asarray(each, dtype=np.float64) for each in (count, total, squares))
    apart = q * n - s * s  # n²·variance; rounding can make it negative
    # Not `apart > 0`: of equal returns the difference is a rounding error, and their ratio would be enormous.
    known = (n > 1) & (apart > LEAST_VARIATION * q * n)
    with np.errstate(all="ignore"):
        return np.where(known, s / np.sqrt(apart) * np.sqrt((n - 1) / n), np.nan)


def t_from_sums(count: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike) -> FloatArray:
    """Return the t-statistics of mean returns from n, Σr and Σr²; NaN where there is none."""
    return sharpe_from_sums(count, total, squares) * np.sqrt(np.asarray(count, dtype=np.float64))


def probabilistic_sharpe(
    sharpe: float, count: int, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float | None:
    """Return the probability that the true Sharpe ratio is above `benchmark`, PSR(SR*).

    Φ((SR - SR*)·√(n-1) / √(1 - γ₃·SR + (γ₄-1)/4·SR²)). None of fewer than two returns, and where skewness and kurtosis
    leave no variance. The paper's example, 24 monthly returns with 0.458: 0.982 when normal, 0.913 with a skewness of
    -2.448 and a kurtosis of 10.164.
    """
    variance = _ratio_variance(sharpe, skew, kurtosis)
    if count < 2 or variance is None:
        return None
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt((count - 1) / variance))


def expected_max_sharpe(trials: int, variance: float) -> float:
    """Return the expected maximum of `trials` independent Sharpe ratios of mean zero, the deflating SR₀.

    √V·((1-γ)·Φ⁻¹(1-1/N) + γ·Φ⁻¹(1-1/(N·e))). Of one trial it is zero: nothing was chosen. The paper's example, 100
    trials with an annualised variance of a half, 250 periods in a year: 0.1132.

    Raises:
        ValueError: of less than one trial, or a variance that is negative or not finite.
    """
    if trials < 1:
        raise ValueError("trials must be at least 1: the series itself was tried.")
    if not (math.isfinite(variance) and variance >= 0):
        raise ValueError("variance must be a finite number of at least 0.")
    if trials == 1:
        return 0.0
    # Φ⁻¹(1-p) as -Φ⁻¹(p): of very many trials 1-p would be 1.
    first = -NORMAL.inv_cdf(1 / trials)
    second = -NORMAL.inv_cdf(1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def min_track_record(
    sharpe: float, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0, confidence: float = 0.95
) -> float | None:
    """Return the number of periods after which `sharpe` would be above `benchmark` with `confidence`.

    1 + (1 - γ₃·SR + (γ₄-1)/4·SR²)·(Φ⁻¹(confidence)/(SR - SR*))². None where it is not above it. The paper's examples,
    an annualised 2 against 1: 2.73 years of daily, 2.83 of weekly, 3.24 of monthly normal returns, and 4.99 of monthly
    ones with a skewness of -0.72 and a kurtosis of 5.78.

    Raises:
        ValueError: when the confidence is not between a half and one.
    """
    if not 0.5 < confidence < 1:
        raise ValueError("confidence must be above 0.5 and below 1.")
    variance = _ratio_variance(sharpe, skew, kurtosis)
    if variance is None or not sharpe > benchmark:
        return None
    return 1 + variance * (NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def deflated_sharpe(figures: Moments, trials: int, variance: float | None) -> Deflated:
    """Return the Deflated Sharpe Ratio of one series of returns: PSR against the expected maximum of all trials.

    The paper's example, an annualised 2.5 over 1,250 days, skewness -3, kurtosis 10, 100 trials with an annualised
    variance of a half: 0.9004; of 46 trials 0.9505.

    Args:
        trials: how many distinct combinations were ever tried on this data, this one included; never less than were
            tried in the job itself.
        variance: of their per-period Sharpe ratios (`trial_variance`); None where it is not known, which counts as
            the variance that returns without an edge would show.

    Raises:
        ValueError: of less than one trial, or a variance that is negative or not finite.
    """
    assumed = variance is None
    # With the returns all that could say it, one number: of too few there is no ratio either.
    used = 1 / (figures.count - 1) if variance is None and figures.count > 1 else (variance or 0.0)
    benchmark = expected_max_sharpe(trials, used)
    sharpe, skew, kurtosis = figures.sharpe, figures.skew, figures.kurtosis
    if sharpe is None or skew is None or kurtosis is None:
        return Deflated(None, None, None, benchmark, trials, used, assumed, figures.count, skew, kurtosis, None)
    return Deflated(
        probabilistic_sharpe(sharpe, figures.count, skew, kurtosis, benchmark),
        probabilistic_sharpe(sharpe, figures.count, skew, kurtosis),
        sharpe,
        benchmark,
        trials,
        used,
        assumed,
        figures.count,
        skew,
        kurtosis,
        min_track_record(sharpe, skew, kurtosis, benchmark),
    )


def trial_variance(jobs: Iterable[Trials], count: int) -> float | None:
    """Return the variance across trials of Sharpe ratios over `count` returns, from all jobs on the same data.

    Ratios of jobs over shorter or longer periods are scaled to `count` returns, since their variance falls with their
    number. Returned is the greatest of each job of at least ten trials, and of all trials together: a narrow search
    around the peak of a wide one adds many trials that are nearly alike, and would thin out what the wide one showed.
    None where there were fewer than two trials, or fewer than two returns.
    """
    number, mean, squares = 0, 0.0, 0.0
    greatest = 0.0
    for job in jobs:
        if not job.count or job.periods < 2 or count < 2:
            continue
        scale = (job.periods - 1) / (count - 1)
        apart = job.mean * math.sqrt(scale) - mean
        together = number + job.count  # Chan, Golub, LeVeque 1983: moments of both from the moments of each
        squares += job.squares * scale + apart * apart * number * job.count / together
        mean += apart * job.count / together
        number = together
        if job.count >= LEAST_TRIALS and job.variance is not None:
            greatest = max(greatest, job.variance * scale)
    return max(greatest, squares / (number - 1)) if number > 1 else None


def _ratio_variance(sharpe: float, skew: float, kurtosis: float) -> float | None:
    """Return (n-1) times the variance of an estimated ratio (Mertens 2002); None where it is no positive number."""
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe
    return variance if math.isfinite(variance) and variance > LEAST_VARIATION else None
