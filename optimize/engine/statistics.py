"""What an evaluation answers."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray
from optimize.engine.series import IntArray

# The columns of the kernels' rows, in their order (`kernels.figures`).
COLUMNS = (
    "total_return",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "trades",
    "win_rate",
    "profit_factor",
    "average_trade",
    "exposure",
    "ruined",
    "final_equity",
)
NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Statistics:
    """Figures of every combination in every window of every symbol: arrays [C, W, S], views of one table.

    NaN says that there is no such figure: no variance, no losing bar, no closed trade, no losing trade, no bars.

    Attributes:
        total_return: final equity over initial cash, less 1.
        sharpe, sortino: per year, over all bars of the window, flat ones included.
        max_drawdown: positive fraction of the peak of the equity at closes.
        calmar: return per year over the drawdown.
        trades: closed round trips, int64; an open position is in the equity and in no trade.
        win_rate: share of closed trades with a profit after fees.
        profit_factor: profits over losses of closed trades.
        average_trade: mean of profit over the entry's notional.
        exposure: share of bars at whose close something was held.
        ruined: whether a close was at or below 0.1 % of the start.
        final_equity: at the last close, in the currency of the prices.
    """

    total_return: FloatArray
    sharpe: FloatArray
    sortino: FloatArray
    max_drawdown: FloatArray
    calmar: FloatArray
    trades: IntArray
    win_rate: FloatArray
    profit_factor: FloatArray
    average_trade: FloatArray
    exposure: FloatArray
    ruined: NDArray[np.bool_]
    final_equity: FloatArray

    def as_dict(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def statistics_of(table: FloatArray, lengths: IntArray, periods_per_year: float) -> Statistics:
    """Return the statistics in `table`, float64[C, W, S, 12], of windows with `lengths` bars, int64[W, S].

    Writes the Calmar ratio, which is left to here because powers are cheap over many rows at once.
    """
    table[..., COLUMNS.index("calmar")] = _calmar(table, lengths, periods_per_year)
    columns: dict[str, Any] = {name: table[..., index] for index, name in enumerate(COLUMNS)}
    columns["trades"] = columns["trades"].astype(np.int64)
    columns["ruined"] = columns["ruined"] > 0.5
    return Statistics(**columns)


def _calmar(table: FloatArray, lengths: IntArray, periods_per_year: float) -> FloatArray:
    growth = np.maximum(table[..., COLUMNS.index("total_return")] + 1.0, 0.0)
    fall = table[..., COLUMNS.index("max_drawdown")]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        yearly = growth ** (periods_per_year / lengths) - 1.0
        return np.where((fall > NOTHING) & np.isfinite(yearly), yearly / fall, np.nan)
