"""The figures that regimes are read from. Each value uses the bars up to its own and none behind it."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from market.bars import Bars, FloatArray
from market.indicators import indicator_get


def log_returns(close: FloatArray) -> FloatArray:
    """Return ln(close_t / close_t-1); NaN at the first bar and where a price is missing or not above zero."""
    result: FloatArray = np.full(len(close), np.nan)
    if len(close) > 1:
        sound = np.isfinite(close) & (close > 0)
        logs = np.log(np.where(sound, close, 1.0))
        result[1:] = np.where(sound[1:] & sound[:-1], np.diff(logs), np.nan)
    return result


def realised_volatility(close: FloatArray, *, window: int) -> FloatArray:
    """Return the standard deviation (ddof 1) of the newest `window` log returns; NaN until there are so many."""
    returns = log_returns(close)
    result = np.full(len(close), np.nan)
    if len(returns) >= window:
        result[window - 1 :] = sliding_window_view(returns, window).std(axis=1, ddof=1)
    return result


def ewma_volatility(close: FloatArray, *, decay: float, warm_up: int) -> FloatArray:
    """Return the root of the exponentially weighted mean of squared log returns.

    v_t = decay * v_t-1 + (1 - decay) * r_t², begun with the mean of the first `warm_up` squares (RiskMetrics, Technical
    Document, 4th ed. 1996, section 5.2). A missing return leaves v as it was.
    """
    returns = log_returns(close)
    result = np.full(len(close), np.nan)
    known = np.flatnonzero(np.isfinite(returns))
    if len(known) < warm_up:
        return result
    begin = int(known[warm_up - 1])
    variance = float(np.mean(returns[known[:warm_up]] ** 2))
    result[begin] = variance
    squares = returns**2
    for index in range(begin + 1, len(close)):
        if np.isfinite(squares[index]):
            variance = decay * variance + (1 - decay) * float(squares[index])
        result[index] = variance
    volatility: FloatArray = np.sqrt(result)
    return volatility


def trailing_median(values: FloatArray, *, window: int, least: int) -> FloatArray:
    """Return the median of the newest `window` known values; NaN until there are `least`."""
    padded = np.concatenate([np.full(window - 1, np.nan), values]) if len(values) else values
    if not len(values):
        return values
    windows = sliding_window_view(padded, window)
    known = np.isfinite(windows).sum(axis=1)
    result = np.full(len(values), np.nan)
    enough = known >= least
    if enough.any():
        result[enough] = np.nanmedian(windows[enough], axis=1)
    return result


def trend_strength(bars: Bars, *, period: int) -> FloatArray:
    """Return the ADX, 0 to 100: how directed the moves are, whichever way."""
    return next(iter(indicator_get("adx").compute(bars, {"period": period}).values()))


def slope_score(close: FloatArray, *, window: int) -> FloatArray:
    """Return the slope of the least-squares line through the newest `window` log prices, in its own standard deviations.

    Of a random walk with the returns' variance s², the slope sum(w_j * r_j) has the variance s² * sum(w_j²), where w_j is
    the sum of x_i / Sxx from bar j on. The usual t-statistic takes residuals for independent and finds a direction in most
    random walks; this one is standard normal for them. A constant price has no score.
    """
    result = np.full(len(close), np.nan)
    if len(close) < window:
        return result
    returns = sliding_window_view(log_returns(close), window)[:, 1:]
    x = np.arange(window) - (window - 1) / 2
    weights = np.cumsum((x / (x @ x))[::-1])[::-1][1:]
    deviation = returns.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = returns @ weights / (deviation * np.sqrt(weights @ weights))
    result[window - 1 :] = np.where(deviation > 0, score, np.nan)
    return result
