"""Trading one window bar by bar: the exact account that everything else is checked against and falls back to."""

import numpy as np

from optimize.engine.kernels.compiling import kernel
from optimize.engine.kernels.words import next_set

# Fields of a trade: the bars of its fills, the fill prices, quantity (below 0 when short), profit after fees, profit
# as a share of the entry's notional, and 1 when it was closed.
TRADE_FIELDS = 8
# What an account is made of: initial cash, fee, slippage, 1 for long and short, stop and target as fractions (NaN for
# none), and the equity at which it is ruined.
ACCOUNT_FIELDS = 7
# Closed trades, those that won, sum of profits, sum of losses (above 0), sum of the shares of the entry's notional.
TALLY_FIELDS = 5


@kernel
def _want(entries, exits, position, short, first, stop):
    """Return the next bar at or after `first` that asks for a change of `position`, or `stop`, and what it asks for."""
    if position > 0.0:
        return next_set(exits, first, stop), (-1 if short else 0)
    if position < 0.0:
        return next_set(entries, first, stop), 1
    enter = next_set(entries, first, stop)
    if short:
        leave = next_set(exits, first, stop)
        if leave < enter:
            return leave, -1
    return enter, 1


@kernel
def _stopped(position, entry, loss, gain, opened, high, low):
    """Return the price at which a stop or a target closes the position within a bar, NaN when none does.

    What the open has already passed is filled at the open. Where both lie within the bar nobody knows which came first,
    and the stop is taken.
    """
    side = 1.0 if position > 0.0 else -1.0
    worst, best = (low, high) if side > 0.0 else (high, low)
    stop_level, target_level = entry * (1.0 - side * loss), entry * (1.0 + side * gain)
    if side * opened <= side * stop_level or side * opened >= side * target_level:
        return opened
    if side * worst <= side * stop_level:
        return stop_level
    if side * best >= side * target_level:
        return target_level
    return np.nan


@kernel
def step(entries, exits, prices, account, first, stop, equity, positions, trades, tally):
    """Trade the bars [first, stop) alone, flat at the start.

    Args:
        entries, exits: bits of the whole series.
        prices: float64[4, n]: open, high, low, mark.
        equity: filled with the equity at each close; float64[stop - first].
        positions: filled with the quantity held at each close, when it is as long; may be empty.
        trades: filled with the trades, an open one last, as far as they have room; float64[m, TRADE_FIELDS].
        tally: filled with what the closed trades came to; float64[TALLY_FIELDS].

    Returns:
        Number of trades, an open one counted; bars held; whether ruined.
    """
    cash, fee, slippage, short = account[0], account[1], account[2], account[3] > 0.0
    loss, gain, ruin = account[4], account[5], account[6]
    stops = not (np.isnan(loss) and np.isnan(gain))
    opens, highs, lows, marks = prices[0], prices[1], prices[2], prices[3]
    keep = len(positions) > 0
    position, entry, entry_bar = 0.0, np.nan, -1
    count, held, ruined = 0, 0, False
    tally[:] = 0.0
    said, wanted = _want(entries, exits, position, short, first, stop)
    for bar in range(first, stop):
        if bar == said + 1:
            opened = opens[bar]
            if opened > 0.0:  # NaN is not: an order that finds no price is not kept
                if position != 0.0:
                    cash, fill = _close(position, cash, opened, fee, slippage)
                    _record(trades, tally, entry_bar, bar, entry, fill, position, fee)
                    position = 0.0
                if wanted != 0 and cash > 0.0 and not ruined:
                    entry = opened * (1.0 + slippage) if wanted > 0 else opened * (1.0 - slippage)
                    position = wanted * (cash / (entry * (1.0 + fee)))
                    cash -= position * entry + abs(position) * entry * fee
                    entry_bar = bar
                    count += 1
            if ruined:
                said, wanted = (bar if position != 0.0 else stop), 0
            else:
                said, wanted = _want(entries, exits, position, short, bar, stop)
        if stops and position != 0.0:
            level = _stopped(position, entry, loss, gain, opens[bar], highs[bar], lows[bar])
            if level > 0.0:
                cash, fill = _close(position, cash, level, fee, slippage)
                _record(trades, tally, entry_bar, bar, entry, fill, position, fee)
                position = 0.0
                said, wanted = (stop, 0) if ruined else _want(entries, exits, position, short, bar, stop)
        value = cash + position * marks[bar]
        equity[bar - first] = value
        if keep:
            positions[bar - first] = position
        if position != 0.0:
            held += 1
        if value <= ruin and not ruined:
            ruined = True
            said, wanted = (bar if position != 0.0 else stop), 0
    if position != 0.0 and int(tally[0]) < len(trades):
        mark = marks[stop - 1]
        size = abs(position)
        profit = position * (mark - entry) - size * fee * entry  # it has paid for one side so far
        _write(trades, int(tally[0]), entry_bar, stop - 1, entry, mark, position, profit, 0.0)
    return count, held, ruined


@kernel
def _close(position, cash, price, fee, slippage):
    """Return the cash after the position was closed around `price`, and the price of the fill."""
    fill = price * (1.0 - slippage) if position > 0.0 else price * (1.0 + slippage)
    return cash + position * fill - abs(position) * fill * fee, fill


@kernel
def _record(trades, tally, entry_bar, exit_bar, entry, fill, position, fee):
    """Count a closed trade, and write it down where there is room."""
    size = abs(position)
    profit = position * (fill - entry) - size * fee * (entry + fill)
    if int(tally[0]) < len(trades):
        _write(trades, int(tally[0]), entry_bar, exit_bar, entry, fill, position, profit, 1.0)
    tally[0] += 1.0
    if profit > 0.0:
        tally[1] += 1.0
        tally[2] += profit
    else:
        tally[3] -= profit
    tally[4] += profit / (size * entry)


@kernel
def _write(trades, index, entry_bar, exit_bar, entry, fill, position, profit, closed):
    trades[index, 0] = entry_bar
    trades[index, 1] = exit_bar
    trades[index, 2] = entry
    trades[index, 3] = fill
    trades[index, 4] = position
    trades[index, 5] = profit
    trades[index, 6] = profit / (abs(position) * entry)
    trades[index, 7] = closed
