"""Trading one window from signal to signal: while a position is held its returns are those of the price, whose sums are
known beforehand, so that work is done where something changes and nowhere else.

For long positions without stops. It answers only where the sums are good for it; where rounding could show, or where an
account may be ruined, it says so and leaves the window to `stepping`.
"""

import numpy as np

from optimize.engine.kernels.comparing import fetch_ahead
from optimize.engine.kernels.compiling import inlined, kernel
from optimize.engine.kernels.figures import (
    AVERAGE_TRADE,
    EXPOSURE,
    FINAL_EQUITY,
    MAX_DRAWDOWN,
    PROFIT_FACTOR,
    RUINED,
    SHARPE,
    SORTINO,
    TOTAL_RETURN,
    TRADES,
    WIN_RATE,
    write_nothing,
    write_ratios,
    write_trades,
)
from optimize.engine.kernels.words import next_set

# What is known of a bar, once for entering at it and once for holding up to it, each a row of the eight figures that the
# processor fetches at a time. Of both: the close; the sums up to and including the bar of the returns, of their squares
# and of the squares of the losses; and of the bars from it to the end of its block (from the start of its block to it):
# highest close, lowest close, and the lowest share that a close had of an earlier one. The eighth figure is the open at
# which one enters, and the next bar's open, at which one leaves.
CLOSE, RETURNS, SQUARES, LOSSES, HIGH, LOW, SHARE, OPEN, LEDGER_FIELDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
# Bars of a block, and the power of two that they are.
BLOCK, SHIFT = 16, 4
# Stretches that prices are asked for in advance: about what a memory takes to answer.
AHEAD = 6
# Rounding of a sum of sums, per stretch held; and how much of it a figure may carry.
ROUNDING = 2.3e-16
TOLERATED = 1e-10
# A fall to this share of a peak may be ruin (0.1 % of the start): the bars must be looked at one by one.
NEAR_RUIN = 0.0011


@kernel
def _added(total, rest, value):
    """Return a sum and what rounding has taken from it so far (Neumaier)."""
    new = total + value
    if abs(total) >= abs(value):
        return new, rest + ((total - new) + value)
    return new, rest + ((value - new) + total)


@kernel
def fill_ledger(opens, marks, entering, leaving, changes, blocks):
    """Fill what is known beforehand of a series.

    Args:
        entering, leaving: float64[n, LEDGER_FIELDS].
        changes: float64[n], the return of holding through each bar, from close to close; 0 on the first.
        blocks: float64[n // BLOCK + 1, 3]: highest close, lowest close and lowest share of each whole block.

    Returns:
        The largest sum of returns in size, wherever it was reached.
    """
    total, squares, losses = 0.0, 0.0, 0.0
    rest, rest_squares, rest_losses = 0.0, 0.0, 0.0
    largest, high, low, share = 0.0, 0.0, np.inf, 1.0
    for bar in range(len(marks)):
        mark = marks[bar]
        change = mark / marks[bar - 1] - 1.0 if bar > 0 else 0.0
        changes[bar] = change
        total, rest = _added(total, rest, change)
        squares, rest_squares = _added(squares, rest_squares, change * change)
        if change < 0.0:
            losses, rest_losses = _added(losses, rest_losses, change * change)
        largest = max(largest, abs(total))
        if bar & (BLOCK - 1) == 0:
            high, low, share = mark, mark, 1.0
        else:
            high, low = max(high, mark), min(low, mark)
            share = min(share, mark / high)
        entering[bar, CLOSE] = leaving[bar, CLOSE] = mark
        entering[bar, RETURNS] = leaving[bar, RETURNS] = total + rest
        entering[bar, SQUARES] = leaving[bar, SQUARES] = squares + rest_squares
        entering[bar, LOSSES] = leaving[bar, LOSSES] = losses + rest_losses
        entering[bar, OPEN] = opens[bar]
        leaving[bar, OPEN] = opens[bar + 1] if bar + 1 < len(marks) else np.nan
        leaving[bar, HIGH], leaving[bar, LOW], leaving[bar, SHARE] = high, low, share
        blocks[bar >> SHIFT, 0], blocks[bar >> SHIFT, 1], blocks[bar >> SHIFT, 2] = high, low, share
    for bar in range(len(marks) - 1, -1, -1):
        mark = marks[bar]
        if bar & (BLOCK - 1) == BLOCK - 1 or bar == len(marks) - 1:
            high, low, share = mark, mark, 1.0
        else:
            share = min(share, low / mark)
            high, low = max(high, mark), min(low, mark)
        entering[bar, HIGH], entering[bar, LOW], entering[bar, SHARE] = high, low, share
    return largest


@inlined
def _fall(marks, blocks, entering, leaving, begun, end, peak, worst):
    """Return the peak, and the lowest share of a peak, after the closes from `begun` to `end`, both included.

    It divides where a comparison would do, since the processor guesses wrongly where a new low comes.
    """
    if begun >> SHIFT == end >> SHIFT:
        for bar in range(begun, end + 1):
            close = marks[bar]
            peak = close if close > peak else peak
            share = close / peak
            worst = share if share < worst else worst
        return peak, worst
    peak, worst = _after(entering[begun, HIGH], entering[begun, LOW], entering[begun, SHARE], peak, worst)
    for block in range((begun >> SHIFT) + 1, end >> SHIFT):
        peak, worst = _after(blocks[block, 0], blocks[block, 1], blocks[block, 2], peak, worst)
    return _after(leaving[end, HIGH], leaving[end, LOW], leaving[end, SHARE], peak, worst)


@inlined
def _after(high, low, share, peak, worst):
    """Return the peak and the lowest share of a peak after bars with these figures."""
    fallen = low / peak
    worst = fallen if fallen < worst else worst
    return (high if high > peak else peak), (share if share < worst else worst)


@inlined
def _note(entries, exits, first, stop, starts, stops):
    """Note where the signals buy and sell within the window, `stop` where they do not sell again; return how often."""
    count, bar, last = 0, first, stop - 1  # the signal of the last bar fills nothing
    while True:
        bar = next_set(entries, bar, last) + 1
        if bar > last:
            return count
        starts[count] = bar
        bar = next_set(exits, bar, last) + 1
        if bar > last:
            stops[count] = stop
            return count + 1
        stops[count] = bar
        count += 1


@kernel
def stride(
    entries, exits, marks, entering, leaving, blocks, largest, account, periods, windows, out, c, left, starts, stops
):
    """Write the statistics of the windows to `out`[c], and say in `left` which could not be told.

    `starts` and `stops` are room for as many stretches as the longest window has bars. `largest` is what `fill_ledger` returned; the rest is as in `walking.walk`.
    """
    cash, fee, slippage = account[0], account[1], account[2]
    unbought, sold = (1.0 + slippage) * (1.0 + fee), (1.0 - slippage) * (1.0 - fee)
    bought = 1.0 / unbought
    for w in range(len(windows)):
        first, stop = windows[w, 0], windows[w, 1]
        left[w] = False
        if stop <= first:
            write_nothing(out[c, w])
            continue
        equity, above, worst = cash, 1.0, 1.0  # above: the peak over the equity
        total, squares, losses = 0.0, 0.0, 0.0
        held, stretches = 0, 0
        trades, won, gained, lost, shares = 0, 0, 0.0, 0.0, 0.0
        last = stop - 1  # the signal of the last bar fills nothing
        # First where something is held, which only the bits say; then the prices, asked for before they are needed.
        noted = _note(entries, exits, first, stop, starts, stops)
        priced = True
        for index in range(noted):
            begun, bar = starts[index], stops[index]
            soon = min(index + AHEAD, noted - 1)
            fetch_ahead(entering, starts[soon])
            fetch_ahead(leaving, stops[soon] - 1)
            opened, closed = entering[begun, OPEN], leaving[bar - 1, OPEN]
            if not (opened > 0.0 and (bar == stop or closed > 0.0)):  # an order that finds no price is not kept
                priced = False
                break
            end = bar - 1
            share = bought / opened
            change = entering[begun, CLOSE] * share - 1.0
            loss = min(change, 0.0)
            total += change + (leaving[end, RETURNS] - entering[begun, RETURNS])
            squares += change * change + (leaving[end, SQUARES] - entering[begun, SQUARES])
            losses += loss * loss + (leaving[end, LOSSES] - entering[begun, LOSSES])
            held += bar - begun
            stretches += 1
            quantity = equity * share
            # In prices of the share that is held, so that no step waits for the equity.
            peak, worst = _fall(marks, blocks, entering, leaving, begun, end, above * opened * unbought, worst)
            if bar == stop:
                equity = quantity * leaving[end, CLOSE]
                break
            change = closed * sold / leaving[end, CLOSE] - 1.0
            loss = min(change, 0.0)
            total += change
            squares += change * change
            losses += loss * loss
            paid, got = opened * (1.0 + slippage), closed * (1.0 - slippage)
            profit = (got - paid) - fee * (got + paid)
            trades += 1
            won += 1 if profit > 0.0 else 0
            gained += quantity * max(profit, 0.0)
            lost -= quantity * min(profit, 0.0)
            shares += profit / paid
            equity = quantity * closed * sold
            got = closed * sold
            above = max(peak * (1.0 / got), 1.0)
            share = got / peak
            worst = share if share < worst else worst
        count = stop - first
        if noted == 0:
            _write_idle(out, c, w, cash)
            continue
        if worst <= NEAR_RUIN or not priced:
            left[w] = True
            continue
        deviations = squares - total * total / count
        # What the sums may be wrong by must be nothing beside what is made of them; and the mean, which may be next to 0,
        # beside the deviation that it is divided by.
        error = ROUNDING * (stretches + 1)
        spread = error * leaving[last, SQUARES] + 8.0 * ROUNDING * squares + 2.0 * abs(total) * error * largest / count
        wrong = (error * largest) ** 2 * periods
        least = TOLERATED * TOLERATED * count
        sound = spread < TOLERATED * deviations and wrong < least * deviations
        if losses > 0.0:
            sound = sound and error * leaving[last, LOSSES] < TOLERATED * losses and wrong < least * losses
        if not sound:
            left[w] = True
            continue
        row = out[c, w]
        write_ratios(row, count, total, squares, deviations, losses, periods)
        write_trades(row, trades, won, gained, lost, shares)
        row[TOTAL_RETURN] = equity / cash - 1.0
        row[MAX_DRAWDOWN] = 1.0 - worst
        row[EXPOSURE] = held / count
        row[RUINED] = 0.0
        row[FINAL_EQUITY] = equity


@inlined
def _write_idle(out, c, w, cash):
    """Write the statistics of a window in which nothing was bought."""
    out[c, w, SHARPE] = np.nan
    out[c, w, SORTINO] = np.nan
    out[c, w, WIN_RATE] = np.nan
    out[c, w, PROFIT_FACTOR] = np.nan
    out[c, w, AVERAGE_TRADE] = np.nan
    out[c, w, TOTAL_RETURN] = 0.0
    out[c, w, MAX_DRAWDOWN] = 0.0
    out[c, w, TRADES] = 0.0
    out[c, w, EXPOSURE] = 0.0
    out[c, w, RUINED] = 0.0
    out[c, w, FINAL_EQUITY] = cash


@kernel
def stretches_of(entries, exits, entering, leaving, blocks, account, first, stop, starts, stops):
    """Note the stretches that are held in the window: `starts` where they are bought, `stops` where sold, else `stop`.

    Returns:
        Their number; -1 where the bars must be looked at one by one: an order found no price, or the account may be ruined.
    """
    cash, fee, slippage = account[0], account[1], account[2]
    bought, sold = 1.0 / ((1.0 + slippage) * (1.0 + fee)), (1.0 - slippage) * (1.0 - fee)
    equity, least = cash, NEAR_RUIN * cash
    count = _note(entries, exits, first, stop, starts, stops)
    for index in range(count):
        begun, bar = starts[index], stops[index]
        opened, closed = entering[begun, OPEN], leaving[bar - 1, OPEN]
        if not (opened > 0.0 and (bar == stop or closed > 0.0)):
            return -1
        end = bar - 1
        # Lowest of the blocks that the stretch touches: lower than its own lowest at the worst, and that costs a detour.
        low = min(entering[begun, LOW], leaving[end, LOW])
        for block in range((begun >> SHIFT) + 1, end >> SHIFT):
            low = min(low, blocks[block, 1])
        quantity = equity * bought / opened
        equity = quantity * closed * sold
        if not quantity * low > least or (bar < stop and not equity > least):
            return -1
    return count


@kernel
def add_stretches(entering, leaving, changes, account, starts, stops, count, stop, into, shift):
    """Add the returns of the noted stretches to `into`, that of bar t at t + `shift`."""
    bought = 1.0 / ((1.0 + account[2]) * (1.0 + account[1]))
    sold = (1.0 - account[2]) * (1.0 - account[1])
    for index in range(count):
        begun, end = starts[index], stops[index]
        into[begun + shift] += entering[begun, CLOSE] * bought / entering[begun, OPEN] - 1.0
        part, more = into[begun + 1 + shift : end + shift], changes[begun + 1 : end]
        for bar in range(len(more)):
            part[bar] += more[bar]
        if end < stop:
            into[end + shift] += leaving[end - 1, OPEN] * sold / leaving[end - 1, CLOSE] - 1.0


@kernel
def add_stretches_placed(entering, leaving, changes, account, starts, stops, count, stop, into, shift, places, base):
    """Do the same for a symbol that lacks some times of the axis: of bar t at `places`[t - base] + `shift`."""
    bought = 1.0 / ((1.0 + account[2]) * (1.0 + account[1]))
    sold = (1.0 - account[2]) * (1.0 - account[1])
    for index in range(count):
        begun, end = starts[index], stops[index]
        into[places[begun - base] + shift] += entering[begun, CLOSE] * bought / entering[begun, OPEN] - 1.0
        for bar in range(begun + 1, end):
            into[places[bar - base] + shift] += changes[bar]
        if end < stop:
            into[places[end - base] + shift] += leaving[end - 1, OPEN] * sold / leaving[end - 1, CLOSE] - 1.0
