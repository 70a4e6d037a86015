"""What the same returns could have become in another order: Monte Carlo bands by the stationary bootstrap.

Paths are put together from blocks of consecutive returns whose lengths are geometric, so that what is correlated from bar
to bar stays together; the mean length is chosen from the returns' own correlations.

Sources:
    Politis, Romano: "The Stationary Bootstrap", Journal of the American Statistical Association 89(428), 1994.
    Politis, White: "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 23(1), 2004, with
    Patton, Politis, White: "Correction to ...", Econometric Reviews 28(4), 2009.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from optimize.honesty.sharpe import sharpe_from_sums

FloatArray = npt.NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_MARKS = 200
PATHS_AT_ONCE = 256


@dataclass(frozen=True)
class Spread:
    """A figure over all paths: its quantiles at 5, 25, 50, 75 and 95 %, and what the returns themselves have.

    Attributes:
        actual: None where it cannot be told.
        quantiles: None where no path has the figure.
    """

    actual: float | None
    quantiles: tuple[float, ...] | None


@dataclass(frozen=True)
class Bands:
    """What became of the paths.

    Attributes:
        block: the mean length of the blocks, in periods.
        periods: after which the equity is given; the last is the end.
        equity: its quantiles at 5, 25, 50, 75 and 95 % after each of these periods, [quantile][period]; starts from 1.
        final, max_drawdown: final equity, and the greatest drawdown as a positive fraction.
        sharpe: per period, not annualised.
        loss: the part of the paths that end below where they began.
    """

    paths: int
    block: float
    seed: int
    periods: tuple[int, ...]
    equity: tuple[tuple[float, ...], ...]
    final: Spread
    max_drawdown: Spread
    sharpe: Spread
    loss: float

    def as_dict(self) -> dict[str, Any]:
        spreads = {name: vars(getattr(self, name)) for name in ("final", "max_drawdown", "sharpe")}
        return {**vars(self), **spreads, "quantiles": list(QUANTILES)}


def block_lengths(series: npt.ArrayLike) -> tuple[float, float]:
    """Return the optimal mean block length for the stationary, and the block length for the circular bootstrap.

    In the notation of the papers: K_N = max(5, log₁₀ n), and m is the first of K_N lags in a row whose autocorrelations
    are within 2·√(log₁₀ n / n); M = min(2m, √n + K_N); b = (2G²/D·n)^(1/3), D = 2ĝ(0)² for the stationary and 4/3·ĝ(0)²
    for the circular, at most min(3√n, n/3). One for series that do not vary, or are shorter than nine.

    Raises:
        ValueError: when a value is not finite, or they are not one row.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("the series must be one row of finite numbers.")
    count = values.size
    apart = values - values.mean() if count else values
    if count < 9 or not _product(apart, apart) > 1e-12 * _product(values, values):
        return 1.0, 1.0
    longest = math.ceil(min(3 * math.sqrt(count), count / 3))
    run = max(5, int(math.log10(count)))
    most = min(math.ceil(math.sqrt(count)) + run, count - 2)
    covariances = np.array([_product(apart[lag:], apart[: count - lag]) for lag in range(most + 1)]) / count
    # Each lag against the two stretches that it is made of, as the authors' own programs do.
    squares, total = apart * apart, np.add.reduce
    scales = np.array([math.sqrt(total(squares[lag + 1 :]) * total(squares[: -lag - 1])) for lag in range(most + 1)])
    correlations = np.abs(np.divide(covariances * count, scales, out=np.zeros(most + 1), where=scales > 0))
    significant = np.flatnonzero(correlations[1:] >= 2 * math.sqrt(math.log10(count) / count)) + 1
    m = _lags(significant, run, most)
    lags = np.arange(1, m + 1)
    window = np.minimum(1.0, 2 * (1 - lags / m))
    g = float(2 * (window * lags * covariances[1 : m + 1]).sum())
    spectrum = float(covariances[0] + 2 * (window * covariances[1 : m + 1]).sum())
    if not spectrum**2 > 0:
        return 1.0, 1.0
    stationary = ((2 * g**2) / (2 * spectrum**2) * count) ** (1 / 3)
    circular = ((2 * g**2) / (4 / 3 * spectrum**2) * count) ** (1 / 3)
    return min(max(stationary, 1.0), longest), min(max(circular, 1.0), longest)


def bands(
    returns: npt.ArrayLike,
    *,
    paths: int = 1_000,
    block: float | None = None,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Bands | None:
    """Return the bands of returns per period; None of fewer than two. The same seed gives the same bands.

    Args:
        block: the mean block length, at least 1; without it `block_lengths` chooses it.
        check: called between paths; may raise to stop.

    Raises:
        ValueError: when a return is not finite, or they are not one row, or there is no path or no block.
    """
    values = np.ascontiguousarray(returns, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("returns must be one row of finite numbers: leave out periods without one.")
    if paths < 1:
        raise ValueError("there must be at least one path.")
    if block is not None and not (math.isfinite(block) and block >= 1):
        raise ValueError("block must be at least 1.")
    if values.size < 2:
        return None
    # Imported here: the web's processes must not pay for the compiler.
    from optimize.honesty.bootstrap_kernels import resample

    length = min(block_lengths(values)[0] if block is None else block, float(values.size))
    # At least a period apart, so that each is another one.
    marks = np.linspace(0, values.size, min(MOST_MARKS, values.size) + 1)[1:].round().astype(np.int64)
    # Below the equity a row each for the drawdown and the Sharpe ratio, so that one call finds all quantiles.
    rows, figures = np.empty((marks.size + 2, paths)), np.empty((4, paths))
    for first in range(0, paths, PATHS_AT_ONCE):
        check()
        resample(values, 1 / length, seed, first, min(first + PATHS_AT_ONCE, paths), marks, rows, figures)
    own = np.cumprod(1 + values)
    fall = float((1 - own / np.maximum.accumulate(np.maximum(own, 1.0))).max())
    ratio = float(sharpe_from_sums(values.size, values.sum(), np.square(values).sum()))
    ratios = sharpe_from_sums(values.size, figures[2], figures[3])
    known = np.isfinite(ratios)
    rows[-2], rows[-1] = figures[1], ratios if known.all() else 0.0
    found = quantiles(rows, QUANTILES)
    last, drawdown, sharpe = (tuple(row) for row in found.T[-3:].tolist())
    if not known.all():
        sharpe = tuple(np.quantile(ratios[known], QUANTILES).tolist()) if known.any() else ()
    return Bands(
        paths=paths,
        block=length,
        seed=seed,
        periods=tuple(marks.tolist()),
        equity=tuple(map(tuple, found[:, :-2].tolist())),
        final=Spread(float(own[-1]), last),
        max_drawdown=Spread(max(fall, 0.0), drawdown),
        sharpe=Spread(ratio if math.isfinite(ratio) else None, sharpe or None),
        loss=float((figures[0] < 1).mean()),
    )


def quantiles(rows: FloatArray, probabilities: Sequence[float]) -> FloatArray:
    """Return `np.quantile(rows, probabilities, axis=1)`, to the last bit and in a fraction of its time.

    Args:
        rows: [row, at least one].
    """
    if not np.isfinite(rows).all():
        return np.quantile(rows, probabilities, axis=1)
    from optimize.honesty.bootstrap_kernels import order_statistics

    places = np.array(probabilities) * (rows.shape[1] - 1)
    before = np.floor(places)
    ranks = np.stack((before, np.minimum(before + 1, rows.shape[1] - 1)), axis=1).astype(np.int64)
    found = np.empty((len(rows), ranks.size))
    order_statistics(rows, ranks.ravel(), found)
    low, high, part = found[:, ::2].T, found[:, 1::2].T, (places - before)[:, None]
    apart = high - low
    result: FloatArray = np.where(part >= 0.5, high - apart * (1 - part), low + apart * part)
    return result


def _product(x: FloatArray, y: FloatArray) -> float:
    """Return the scalar product, rounded the same whatever the number of BLAS's threads."""
    return float(np.add.reduce(x * y))


def _lags(significant: "npt.NDArray[np.intp]", run: int, most: int) -> int:
    """Return M: twice the lag with which the first `run` lags in a row begin that are not significant, at most `most`.

    The paper's m is the lag before that one; the authors' own program and all that follow it take this one, so that M is
    not zero where nothing is correlated.
    """
    last = 0
    for each in significant.tolist():
        if each - last > run:
            break
        last = each
    return min(2 * (last + 1), most) if last + 1 + run <= most else most
