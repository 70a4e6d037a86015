"""One combination on one series, fill by fill, for people to read: what was traded, what it cost, and what came of it.

The search has kernels for this (`optimize.engine`), which the web process must not load. This account follows the same
conventions bar by bar; tests hold the two equal.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from market.bars import Bars, FloatArray
from optimize.engine.series import prepare
from optimize.engine.settings import RUIN_SHARE, Settings
from workflows.strategies.rules import BoolArray


@dataclass(frozen=True)
class Trade:
    """A round trip, or the position still open at the end: then `closed` is false and the exit is the last close.

    Attributes:
        entry_bar, exit_bar: indexes of the bars of the series in which it was filled.
        quantity: below 0 when short.
        fees, slippage: paid in the currency of the prices; of an open one, for its entry.
        profit: after fees and slippage; `share` is that of the entry's notional.
        reason: `signal`, `stop`, `target`, `ruin`, or empty for an open one.
    """

    entry_bar: int
    exit_bar: int
    entry_price: float
    exit_price: float
    quantity: float
    fees: float
    slippage: float
    profit: float
    share: float
    closed: bool
    reason: str


@dataclass(frozen=True, eq=False)
class Played:
    """What happened in a window of n bars.

    Attributes:
        equity, position: float64[n]: at each close, in the currency of the prices and in units.
        unfilled: orders that found no price at their open and were dropped.
    """

    equity: FloatArray
    position: FloatArray
    trades: tuple[Trade, ...]
    ruined: bool
    unfilled: int


@dataclass
class _Account:
    settings: Settings
    cash: float
    quantity: float = 0.0
    entry_price: float = math.nan
    entry_bar: int = -1
    fees: float = 0.0
    slippage: float = 0.0
    trades: list[Trade] = field(default_factory=list)

    def open(self, side: int, price: float, bar: int) -> None:
        if self.cash <= 0:
            return
        fill = price * (1 + side * self.settings.slippage)
        self.quantity = side * self.cash / (fill * (1 + self.settings.fee))
        size = abs(self.quantity)
        self.fees, self.slippage = size * fill * self.settings.fee, size * abs(fill - price)
        self.cash -= self.quantity * fill + self.fees
        self.entry_price, self.entry_bar = fill, bar

    def close(self, price: float, bar: int, reason: str) -> None:
        side = 1 if self.quantity > 0 else -1
        fill = price * (1 - side * self.settings.slippage)
        size = abs(self.quantity)
        self.fees += size * fill * self.settings.fee
        self.slippage += size * abs(fill - price)
        self.cash += self.quantity * fill - size * fill * self.settings.fee
        self.note(bar, fill, reason)
        self.quantity = 0.0

    def note(self, bar: int, price: float, reason: str) -> None:
        profit = self.quantity * (price - self.entry_price) - self.fees
        share = profit / (abs(self.quantity) * self.entry_price)
        self.trades.append(
            Trade(
                self.entry_bar,
                bar,
                self.entry_price,
                price,
                self.quantity,
                self.fees,
                self.slippage,
                profit,
                share,
                bool(reason),
                reason,
            )
        )

    def stop(self, opened: float, high: float, low: float) -> tuple[float, str] | None:
        """Return where a stop or target closes the position within a bar, and which. NaN prices touch nothing.

        What the open has passed is filled at the open. Where both lie within the bar nobody knows which came first, and
        the stop is taken.
        """
        side = 1 if self.quantity > 0 else -1
        worst, best = (low, high) if side > 0 else (high, low)
        for name, fraction, sign in (("stop", self.settings.stop_loss, -1), ("target", self.settings.take_profit, 1)):
            if fraction is not None:
                gap = side * sign * (opened - self.entry_price * (1 + side * sign * fraction))
                if gap >= 0:
                    return opened, name
        for name, fraction, sign, reached in (
            ("stop", self.settings.stop_loss, -1, worst),
            ("target", self.settings.take_profit, 1, best),
        ):
            if fraction is not None:
                level = self.entry_price * (1 + side * sign * fraction)
                if side * sign * (reached - level) >= 0:
                    return level, name
        return None


def play(bars: Bars, entries: BoolArray, exits: BoolArray, window: tuple[int, int], settings: Settings) -> Played:
    """Trade the bars [start, stop) alone, flat at the start, a signal filled at the next open.

    Args:
        entries, exits: of the whole series; a bar that says both says nothing.

    Raises:
        ValueError: for a window without bars, or one that does not lie in the series.
    """
    start, stop = window
    if not 0 <= start < stop <= len(bars):
        raise ValueError("the window has no bars in the series")
    series = prepare(bars)
    opens, highs, lows, marks = (
        array[start:stop].tolist() for array in (series.open, series.high, series.low, series.mark)
    )
    enters, leaves = entries[start:stop].tolist(), exits[start:stop].tolist()
    outside = -1 if settings.direction == "long_short" else 0
    account = _Account(settings, settings.initial_cash)
    equity, position = np.empty(stop - start), np.empty(stop - start)
    ruined, unfilled = False, 0
    for place, (opened, mark) in enumerate(zip(opens, marks, strict=True)):
        side = (account.quantity > 0) - (account.quantity < 0)
        wanted = side
        if ruined:
            wanted = 0
        elif place and enters[place - 1] != leaves[place - 1]:
            wanted = 1 if enters[place - 1] else outside
        if wanted != side and math.isnan(opened):
            unfilled += 1
        elif wanted != side:
            if side:
                account.close(opened, start + place, "ruin" if ruined else "signal")
            if wanted:
                account.open(wanted, opened, start + place)
        if settings.has_stops and account.quantity:
            level = account.stop(opened, highs[place], lows[place])
            if level is not None:
                account.close(level[0], start + place, level[1])
        equity[place] = account.cash + account.quantity * mark
        position[place] = account.quantity
        ruined = ruined or bool(equity[place] <= RUIN_SHARE * settings.initial_cash)
    if account.quantity:
        account.note(stop - 1, marks[-1], "")
    return Played(equity, position, tuple(account.trades), ruined, unfilled)
