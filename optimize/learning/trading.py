"""What following the forecasts would have earned, by the conventions that every backtest of the desk keeps.

Long above one probability, flat below another, the last word holds in between. A signal of bar t fills at the open of
t+1, against slippage and after a fee; all-in; equity marked at each close. An order at a bar without an open is
dropped; a bar without a close is marked with the last one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray, TimeArray
from optimize.learning.reading import Reader

IntArray = NDArray[np.int64]
TRADING = ("total_return", "sharpe", "t_stat", "max_drawdown", "exposure", "trades")


@dataclass(frozen=True)
class SignalConfig:
    """From a probability to a position: long above `enter`, flat below `leave`; costs as fractions of price."""

    enter: float = 0.5
    leave: float = 0.5
    fee: float = 0.0
    slippage: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return what `signal_config` would read as this."""
        return asdict(self)


def signal_config(value: object, pointer: str = "signal") -> SignalConfig:
    """Return the configuration that a JSON object means; what it leaves out is the default.

    Raises:
        ModelConfigInvalid: naming each unknown or wrong member.
    """
    reader = Reader(value, pointer, ("enter", "leave", "fee", "slippage"))
    config = SignalConfig(
        enter=reader.number("enter", 0.5, 0.0, 1.0),
        leave=reader.number("leave", 0.5, 0.0, 1.0),
        fee=reader.number("fee", 0.0, 0.0, 0.1),
        slippage=reader.number("slippage", 0.0, 0.0, 0.1),
    )
    if config.leave > config.enter:
        reader.wrong("leave", "contradiction", "Must not be above enter: a bar would say both.")
    reader.finish()
    return config


@dataclass(frozen=True, eq=False)
class Market:
    """One symbol's bars over one test, prepared once: marks hold the last finite close; `place` is on the test's axis."""

    open: FloatArray
    mark: FloatArray
    start: int
    stop: int
    place: IntArray


def market(bars: Bars, axis: TimeArray) -> Market:
    """Return the part of `bars` within the times of `axis` (a test's bars of all symbols), prepared."""
    start = int(np.searchsorted(bars.time, axis[0], side="left"))
    stop = int(np.searchsorted(bars.time, axis[-1], side="right"))
    finite = np.isfinite(bars.close[:stop])
    last = np.maximum.accumulate(np.where(finite, np.arange(stop), -1)) if stop else np.empty(0, np.int64)
    marks = np.where(last >= 0, bars.close[:stop][last], np.nan) if stop else np.empty(0)
    return Market(bars.open[start:stop], marks[start:stop], start, stop, np.searchsorted(axis, bars.time[start:stop]))


def follow(market: Market, probability: FloatArray, config: SignalConfig) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the return of each bar and whether the position was held over its close; flat at the start.

    `probability` is as long as the market's bars, NaN on bars that say nothing.
    """
    count = len(market.open)
    held = np.zeros(count, dtype=np.bool_)
    returns = np.zeros(count)
    if count < 2:
        return returns, held
    enter, leave = probability > config.enter, probability < config.leave
    # The word of bar t reaches bar t+1 only where that has an open to fill at.
    says = (enter | leave)[:-1] & np.isfinite(market.open[1:])
    last = np.maximum.accumulate(np.where(says, np.arange(count - 1), -1))
    held[1:] = np.where(last >= 0, enter[last], False)
    before = np.concatenate(([False], held[:-1]))
    entered, left, kept = held & ~before, before & ~held, held & before
    previous = np.concatenate(([np.nan], market.mark[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.where(kept, market.mark / previous - 1.0, returns)
        bought = market.open * (1.0 + config.slippage) * (1.0 + config.fee)
        returns = np.where(entered, market.mark / bought - 1.0, returns)
        sold = market.open * (1.0 - config.slippage) * (1.0 - config.fee)
        returns = np.where(left, sold / previous - 1.0, returns)
    return returns, held


def statistics(returns: FloatArray, exposure: float, trades: int, periods_per_year: float) -> dict[str, float]:
    """Return the figures of TRADING over per-bar returns; NaN where the returns do not vary."""
    count = len(returns)
    deviation = float(returns.std(ddof=1)) if count > 1 else 0.0
    # Rounding alone leaves a deviation of this size; it is no risk that anything could be measured by.
    varies = count > 1 and deviation > 1e-15 * max(1.0, float(np.abs(returns).max()))
    ratio = float(returns.mean()) / deviation if varies else math.nan
    equity = np.cumprod(1.0 + returns) if count else np.ones(1)
    peaks = np.maximum(np.maximum.accumulate(equity), 1.0)
    return {
        "total_return": float(equity[-1] - 1.0),
        "sharpe": ratio * math.sqrt(periods_per_year),
        "t_stat": ratio * math.sqrt(count),
        "max_drawdown": float((1.0 - equity / peaks).max()),
        "exposure": exposure,
        "trades": float(trades),
    }
