"""Indicators written out the slow way, from their definitions, to hold the fast ones against."""

import itertools
import math
from collections.abc import Sequence

from market.bars import Bars

NAN = float("nan")
Column = list[float]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def sma(bars: Bars, period: int) -> dict[str, Column]:
    close = list(bars.close)
    return {
        "value": [NAN if i < period - 1 else _mean(close[i - period + 1 : i + 1]) for i in range(len(close))],
    }


def _ema(values: Sequence[float], period: int, first: int) -> Column:
    """The average is seeded at index `first` with the plain mean of the `period` values that end there."""
    result: Column = []
    for i, value in enumerate(values):
        if i < first:
            result.append(NAN)
        elif i == first:
            result.append(_mean(values[first - period + 1 : first + 1]))
        else:
            result.append(result[-1] + (value - result[-1]) * 2.0 / (period + 1))
    return result


def ema(bars: Bars, period: int) -> dict[str, Column]:
    return {"value": _ema(list(bars.close), period, period - 1)}


def rsi(bars: Bars, period: int) -> dict[str, Column]:
    """Wilder's: averages seeded with the plain mean of the first `period` changes, then smoothed by 1/period."""
    close = list(bars.close)
    changes = [b - a for a, b in itertools.pairwise(close)]
    result: Column = [NAN] * period
    up = _mean([max(c, 0.0) for c in changes[:period]])
    down = _mean([max(-c, 0.0) for c in changes[:period]])
    result.append(100.0 * up / (up + down))
    for change in changes[period:]:
        up = (up * (period - 1) + max(change, 0.0)) / period
        down = (down * (period - 1) + max(-change, 0.0)) / period
        result.append(100.0 * up / (up + down))
    return {"value": result}


def macd(bars: Bars, fast: int, slow: int, signal: int) -> dict[str, Column]:
    """Both averages are seeded at the bar where the slow one first has a value."""
    close = list(bars.close)
    quick, lazy = _ema(close, fast, slow - 1), _ema(close, slow, slow - 1)
    line = [a - b for a, b in zip(quick, lazy, strict=True)]
    start = slow + signal - 2
    smooth = _ema(line, signal, start)
    shown = [NAN if i < start else value for i, value in enumerate(line)]
    return {"macd": shown, "signal": smooth, "histogram": [a - b for a, b in zip(shown, smooth, strict=True)]}


def bbands(bars: Bars, period: int, width: float) -> dict[str, Column]:
    close = list(bars.close)
    upper, middle, lower = [], [], []
    for i in range(len(close)):
        if i < period - 1:
            mean = deviation = NAN
        else:
            window = close[i - period + 1 : i + 1]
            mean = _mean(window)
            deviation = math.sqrt(_mean([(value - mean) ** 2 for value in window]))
        upper.append(mean + width * deviation)
        middle.append(mean)
        lower.append(mean - width * deviation)
    return {"upper": upper, "middle": middle, "lower": lower}


def donchian(bars: Bars, period: int) -> dict[str, Column]:
    high, low = list(bars.high), list(bars.low)
    upper = [NAN if i < period - 1 else max(high[i - period + 1 : i + 1]) for i in range(len(high))]
    lower = [NAN if i < period - 1 else min(low[i - period + 1 : i + 1]) for i in range(len(low))]
    return {"upper": upper, "middle": [(a + b) / 2 for a, b in zip(upper, lower, strict=True)], "lower": lower}


def vwap(bars: Bars, period: int) -> dict[str, Column]:
    typical = [(h + low + c) / 3 for h, low, c in zip(bars.high, bars.low, bars.close, strict=True)]
    volume = list(bars.volume)
    value: Column = []
    for i in range(len(typical)):
        window = range(i - period + 1, i + 1)
        value.append(
            NAN
            if i < period - 1
            else math.fsum(typical[j] * volume[j] for j in window) / math.fsum(volume[j] for j in window)
        )
    return {"value": value}
