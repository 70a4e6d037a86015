"""The columns that strategies look at, by the names of the field; figures come from `market.indicators` alone."""

from functools import lru_cache

from workflows.strategies.rules import Column, Comparison

CLOSE = Column("close")
# A search makes each of these for every combination that looks at it.
_once = lru_cache(maxsize=8192)


@_once
def sma(period: int) -> Column:
    """Return the simple moving average of the close."""
    return Column.of("sma", period=period)


@_once
def ema(period: int) -> Column:
    """Return the exponential moving average of the close, TA-Lib's seed."""
    return Column.of("ema", period=period)


@_once
def rsi(period: int) -> Column:
    """Return Wilder's relative strength index of the close, 0 to 100."""
    return Column.of("rsi", period=period)


@_once
def roc(period: int) -> Column:
    """Return the change of the close over `period` bars, in percent."""
    return Column.of("roc", period=period)


@_once
def macd(fast: int, slow: int, signal: int) -> tuple[Column, Column]:
    """Return the MACD line and its signal line."""
    line, average = (
        Column.of("macd", output=output, fast=fast, slow=slow, signal=signal) for output in ("macd", "signal")
    )
    return line, average


@_once
def bollinger(period: int, deviations: float) -> tuple[Column, Column]:
    """Return the upper and the middle band of the close."""
    upper, middle = (
        Column.of("bbands", output=output, period=period, width=deviations) for output in ("upper", "middle")
    )
    return upper, middle


@_once
def highest(period: int) -> Column:
    """Return the highest high of the `period` bars before each bar, itself left out."""
    return Column.of("donchian", output="upper", shift=1, period=period)


@_once
def lowest(period: int) -> Column:
    """Return the lowest low of the `period` bars before each bar, itself left out."""
    return Column.of("donchian", output="lower", shift=1, period=period)


def above(left: Column, right: Column | float) -> Comparison:
    """Return `left > right`."""
    return Comparison(left, True, right)


def below(left: Column, right: Column | float) -> Comparison:
    """Return `left < right`."""
    return Comparison(left, False, right)
