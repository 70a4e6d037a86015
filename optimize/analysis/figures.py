"""Figures of one account: statistics, drawdowns, what trading cost. The definitions are those of a search."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from optimize.analysis.account import Played, Trade
from optimize.engine.settings import Settings
from optimize.engine.statistics import NOTHING


@dataclass(frozen=True)
class Drawdown:
    """A fall of the equity below its peak.

    Attributes:
        peak, trough: bars counted from the start of the window.
        recovered: the bar that closed at or above the peak again; None while it has not.
        depth: fraction of the peak.
        bars: from the peak to the recovery, or to the end.
    """

    peak: int
    trough: int
    recovered: int | None
    depth: float
    bars: int


def returns_of(equity: FloatArray, initial: float) -> FloatArray:
    """Return the return of each bar; 0 where the account had nothing."""
    before = np.concatenate(([initial], equity[:-1]))
    result: FloatArray = np.divide(equity, before, out=np.ones_like(equity), where=before > 0) - 1
    return result


def statistics_of(equity: FloatArray, initial: float, periods_per_year: float) -> dict[str, float | None]:
    """Return what a curve alone tells; None where there is no such figure, such as a Sharpe ratio without variance."""
    returns = returns_of(equity, initial)
    count, mean = len(returns), float(returns.mean())
    size = math.sqrt(float(np.square(returns).mean()))
    deviation = float(returns.std(ddof=1)) if count > 1 else 0.0
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    peak = np.maximum.accumulate(equity)
    fall = float(((peak - equity) / peak).max())
    final = float(equity[-1])
    try:
        yearly = max(final / initial, 0.0) ** (periods_per_year / count) - 1
    except OverflowError:
        yearly = math.inf
    annual = math.sqrt(periods_per_year)
    return {
        "total_return": final / initial - 1,
        "annual_return": yearly if math.isfinite(yearly) else None,
        "sharpe": mean / deviation * annual if deviation > NOTHING * max(1.0, size) else None,
        "sortino": mean / downside * annual if downside > NOTHING else None,
        "max_drawdown": fall,
        "calmar": yearly / fall if fall > NOTHING and math.isfinite(yearly) else None,
        "final_equity": final,
    }


def trade_statistics(played: Played) -> dict[str, float | int | bool | None]:
    """Return what the trades tell; an open one counts in none of them."""
    closed = [trade for trade in played.trades if trade.closed]
    won = math.fsum(trade.profit for trade in closed if trade.profit > 0)
    lost = -math.fsum(trade.profit for trade in closed if trade.profit <= 0)
    return {
        "trades": len(closed),
        "win_rate": sum(trade.profit > 0 for trade in closed) / len(closed) if closed else None,
        "profit_factor": won / lost if lost > 0 else None,
        "average_trade": math.fsum(trade.share for trade in closed) / len(closed) if closed else None,
        "average_bars": sum(trade.exit_bar - trade.entry_bar for trade in closed) / len(closed) if closed else None,
        "exposure": float(np.count_nonzero(played.position) / len(played.position)),
        "ruined": played.ruined,
    }


def figures_of(played: Played, settings: Settings) -> dict[str, float | int | bool | None]:
    """Return all statistics of an account."""
    curve = statistics_of(played.equity, settings.initial_cash, settings.periods_per_year)
    return {**curve, **trade_statistics(played)}


def costs_of(trades: Sequence[Trade], initial: float) -> dict[str, float | int]:
    """Return what trading cost, in the currency of the prices and as a fraction of the initial cash."""
    fees = math.fsum(trade.fees for trade in trades)
    slippage = math.fsum(trade.slippage for trade in trades)
    return {
        "fills": sum(2 if trade.closed else 1 for trade in trades),
        "fees": fees,
        "slippage": slippage,
        "share_of_cash": (fees + slippage) / initial,
    }


def drawdowns_of(equity: FloatArray, most: int = 10) -> list[Drawdown]:
    """Return the deepest falls, the deepest first."""
    peaks = np.maximum.accumulate(equity)
    under = equity < peaks
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    found = []
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = first + int(np.argmin(equity[first:stop]))
        depth = float(1 - equity[trough] / peaks[trough])
        recovered = stop if stop < len(equity) else None
        end = stop if recovered is not None else len(equity) - 1
        found.append(Drawdown(first - 1, trough, recovered, depth, end - (first - 1)))
    return sorted(found, key=lambda fall: (-fall.depth, fall.peak))[:most]
