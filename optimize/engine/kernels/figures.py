"""From an account's equity at each close to the figures that combinations are compared by."""

import numpy as np

from optimize.engine.kernels.compiling import inlined, kernel, vector_kernel

# Columns of a row of statistics.
TOTAL_RETURN, SHARPE, SORTINO, MAX_DRAWDOWN, CALMAR, TRADES = range(6)
WIN_RATE, PROFIT_FACTOR, AVERAGE_TRADE, EXPOSURE, RUINED, FINAL_EQUITY = range(6, 12)
ROW = 12
# Returns are known to about 1e-16; what varies by less than this has not varied.
NOTHING = 1e-12


@kernel
def returns_of(equity, initial, into):
    """Fill `into` with r_t = E_t / E_{t-1} - 1, E_{-1} being the initial cash; 0 behind an equity that is used up."""
    before = initial
    for bar in range(len(equity)):
        into[bar] = equity[bar] / before - 1.0 if before > 0.0 else 0.0
        before = equity[bar]


@vector_kernel
def _sums(returns):
    total, squares, losses = 0.0, 0.0, 0.0
    for bar in range(len(returns)):
        value = returns[bar]
        total += value
        squares += value * value
        loss = min(value, 0.0)
        losses += loss * loss
    return total, squares, losses


@vector_kernel
def _deviations(returns, mean):
    total = 0.0
    for bar in range(len(returns)):
        total += (returns[bar] - mean) * (returns[bar] - mean)
    return total


@kernel
def drawdown_of(equity):
    """Return the deepest fall from a peak, as a positive fraction of the peak."""
    peak, worst = 0.0, 0.0
    for bar in range(len(equity)):
        if equity[bar] > peak:
            peak = equity[bar]
        elif peak - equity[bar] > worst * peak:
            worst = (peak - equity[bar]) / peak
    return worst


@inlined
def write_ratios(row, count, total, squares, deviations, losses, periods):
    """Write Sharpe and Sortino from sums over `count` returns; NaN where nothing varied, or nothing fell."""
    row[SHARPE] = np.nan
    row[SORTINO] = np.nan
    if count < 1:
        return
    mean = total / count
    if count > 1:
        deviation = np.sqrt(deviations / (count - 1))
        if deviation > NOTHING * max(1.0, np.sqrt(squares / count)):
            row[SHARPE] = mean / deviation * np.sqrt(periods)
    downside = np.sqrt(losses / count)
    if downside > NOTHING:
        row[SORTINO] = mean / downside * np.sqrt(periods)


@inlined
def write_trades(row, trades, won, gained, lost, shares):
    """Write what the closed trades came to; NaN where there is nothing to divide by."""
    row[TRADES] = trades
    row[WIN_RATE] = won / trades if trades > 0 else np.nan
    row[AVERAGE_TRADE] = shares / trades if trades > 0 else np.nan
    row[PROFIT_FACTOR] = gained / lost if lost > 0.0 else np.nan


@kernel
def write_row(row, equity, returns, initial, periods, held, ruined, tally):
    """Write the statistics of one window; the Calmar ratio is left to whoever has all rows (it needs powers)."""
    count = len(equity)
    returns_of(equity, initial, returns)
    total, squares, losses = _sums(returns)
    write_ratios(row, count, total, squares, _deviations(returns, total / count), losses, periods)
    write_trades(row, tally[0], tally[1], tally[2], tally[3], tally[4])
    row[TOTAL_RETURN] = equity[count - 1] / initial - 1.0
    row[MAX_DRAWDOWN] = drawdown_of(equity)
    row[EXPOSURE] = held / count
    row[RUINED] = 1.0 if ruined else 0.0
    row[FINAL_EQUITY] = equity[count - 1]


@kernel
def write_nothing(row):
    """Write the statistics of a window without bars."""
    row[:] = np.nan
    row[TRADES] = 0.0
    row[RUINED] = 0.0
