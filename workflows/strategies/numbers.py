"""The figures that strategies use, each from the one implementation in `market.indicators`."""

import numpy as np

from market.bars import Bars
from market.indicators import compute
from workflows.strategies.base import FloatArray


def _only(name: str, bars: Bars, **params: float) -> FloatArray:
    (values,) = compute(name, bars, params).values()
    return values


def sma(bars: Bars, period: int) -> FloatArray:
    """Return the simple moving average of the close."""
    return _only("sma", bars, period=period)


def ema(bars: Bars, period: int) -> FloatArray:
    """Return the exponential moving average of the close, TA-Lib's seed."""
    return _only("ema", bars, period=period)


def rsi(bars: Bars, period: int) -> FloatArray:
    """Return Wilder's relative strength index of the close, 0 to 100."""
    return _only("rsi", bars, period=period)


def roc(bars: Bars, period: int) -> FloatArray:
    """Return the change of the close over `period` bars, in percent."""
    return _only("roc", bars, period=period)


def macd(bars: Bars, fast: int, slow: int, signal: int) -> tuple[FloatArray, FloatArray]:
    """Return the MACD line and its signal line."""
    values = compute("macd", bars, {"fast": fast, "slow": slow, "signal": signal})
    return values["macd"], values["signal"]


def bollinger(bars: Bars, period: int, deviations: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return upper band, middle and lower band of the close."""
    values = compute("bbands", bars, {"period": period, "width": deviations})
    return values["upper"], values["middle"], values["lower"]


def channel(bars: Bars, period: int) -> tuple[FloatArray, FloatArray]:
    """Return the highest high and the lowest low of the `period` bars before each bar, itself left out."""
    values = compute("donchian", bars, {"period": period})
    return _previous(values["upper"]), _previous(values["lower"])


def _previous(values: FloatArray) -> FloatArray:
    result = np.full_like(values, np.nan)
    result[1:] = values[:-1]
    return result
