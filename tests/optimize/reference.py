"""The conventions of trading written down as plainly as possible: one bar after the other, no arrays, no cleverness.

What the kernels answer is compared with this. It shares no code with them, nor with `workflows.strategies`.
"""

import math
from dataclasses import dataclass, field
from typing import Any

NAN = math.nan


@dataclass
class Trade:
    entry_bar: int
    exit_bar: int
    entry_price: float
    exit_price: float
    quantity: float
    profit: float
    share: float
    closed: bool


@dataclass
class Account:
    cash: float
    fee: float
    slippage: float
    quantity: float = 0.0
    entry_price: float = NAN
    entry_bar: int = -1
    trades: list[Trade] = field(default_factory=list)

    def open(self, side: int, price: float, bar: int) -> None:
        if self.cash <= 0:
            return
        fill = price * (1 + side * self.slippage)
        self.quantity = side * self.cash / (fill * (1 + self.fee))
        self.cash -= self.quantity * fill + abs(self.quantity) * fill * self.fee
        self.entry_price, self.entry_bar = fill, bar

    def close(self, price: float, bar: int) -> None:
        side = 1 if self.quantity > 0 else -1
        fill = price * (1 - side * self.slippage)
        self.cash += self.quantity * fill - abs(self.quantity) * fill * self.fee
        fees = abs(self.quantity) * (fill + self.entry_price) * self.fee
        self.note(bar, fill, self.quantity * (fill - self.entry_price) - fees, True)
        self.quantity = 0.0

    def note(self, bar: int, price: float, profit: float, closed: bool) -> None:
        share = profit / (abs(self.quantity) * self.entry_price)
        self.trades.append(Trade(self.entry_bar, bar, self.entry_price, price, self.quantity, profit, share, closed))


def _price(value: float) -> float | None:
    return value if math.isfinite(value) and value > 0 else None


def _stop_price(account: Account, opened: Any, high: Any, low: Any, stop: Any, target: Any) -> float | None:
    side = 1 if account.quantity > 0 else -1
    stop_level = None if stop is None else account.entry_price * (1 - side * stop)
    target_level = None if target is None else account.entry_price * (1 + side * target)
    worst, best = (low, high) if side > 0 else (high, low)
    if opened is not None:
        if stop_level is not None and side * opened <= side * stop_level:
            return opened
        if target_level is not None and side * opened >= side * target_level:
            return opened
    if stop_level is not None and worst is not None and side * worst <= side * stop_level:
        return stop_level
    if target_level is not None and best is not None and side * best >= side * target_level:
        return target_level
    return None


def trade(
    bars: Any,
    entries: Any,
    exits: Any,
    start: int,
    stop: int,
    *,
    initial_cash: float = 10_000.0,
    fee: float = 0.0,
    slippage: float = 0.0,
    direction: str = "long_only",
    stop_loss: float | None = None,
    take_profit: float | None = None,
    periods_per_year: float = 252.0,
) -> dict[str, Any]:
    """Trade the bars [start, stop) alone; return equity, position, trades and statistics."""
    account = Account(initial_cash, fee, slippage)
    mark = next((float(close) for close in bars.close if _price(close) is not None), 1.0)
    for close in bars.close[:start]:
        mark = float(close) if _price(close) is not None else mark
    equity: list[float] = []
    position: list[float] = []
    ruined = False
    for bar in range(start, stop):
        opened, high, low = (_price(float(column[bar])) for column in (bars.open, bars.high, bars.low))
        wanted: int | None = None
        if ruined:
            wanted = 0
        elif bar > start and bool(entries[bar - 1]) != bool(exits[bar - 1]):
            wanted = 1 if entries[bar - 1] else (-1 if direction == "long_short" else 0)
        side = (account.quantity > 0) - (account.quantity < 0)
        if wanted is not None and wanted != side and opened is not None:
            if side:
                account.close(opened, bar)
            if wanted:
                account.open(wanted, opened, bar)
        if account.quantity:
            level = _stop_price(account, opened, high, low, stop_loss, take_profit)
            if level is not None:
                account.close(level, bar)
        mark = float(bars.close[bar]) if _price(float(bars.close[bar])) is not None else mark
        equity.append(account.cash + account.quantity * mark)
        position.append(account.quantity)
        if equity[-1] <= 0.001 * initial_cash:
            ruined = True
    if account.quantity:
        profit = account.quantity * (mark - account.entry_price) - abs(account.quantity) * account.entry_price * fee
        account.note(stop - 1, mark, profit, False)
    return {
        "equity": equity,
        "position": position,
        "trades": account.trades,
        "returns": _returns(equity, initial_cash),
        "statistics": _statistics(equity, position, account.trades, ruined, initial_cash, periods_per_year),
    }


def _returns(equity: list[float], initial: float) -> list[float]:
    before, result = initial, []
    for value in equity:
        result.append(value / before - 1 if before > 0 else 0.0)
        before = value
    return result


def _statistics(
    equity: list[float], position: list[float], trades: list[Trade], ruined: bool, initial: float, periods: float
) -> dict[str, float]:
    returns, count = _returns(equity, initial), len(equity)
    mean = math.fsum(returns) / count
    size = math.sqrt(math.fsum(r * r for r in returns) / count)
    deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (count - 1)) if count > 1 else 0.0
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / count)
    peak, fall = -math.inf, 0.0
    for value in equity:
        peak = max(peak, value)
        fall = max(fall, (peak - value) / peak)
    growth = max(equity[-1] / initial, 0.0)
    closed = [one for one in trades if one.closed]
    won = math.fsum(one.profit for one in closed if one.profit > 0)
    lost = -math.fsum(one.profit for one in closed if one.profit <= 0)
    try:
        yearly = growth ** (periods / count) - 1
    except OverflowError:
        yearly = NAN
    return {
        "total_return": equity[-1] / initial - 1,
        # Returns are known to about 1e-16: a deviation of less than 1e-12 is none.
        "sharpe": mean / deviation * math.sqrt(periods) if deviation > 1e-12 * max(1.0, size) else NAN,
        "sortino": mean / downside * math.sqrt(periods) if downside > 1e-12 else NAN,
        "max_drawdown": fall,
        "calmar": yearly / fall if fall > 1e-12 else NAN,
        "trades": len(closed),
        "win_rate": sum(one.profit > 0 for one in closed) / len(closed) if closed else NAN,
        "profit_factor": won / lost if lost > 0 else NAN,
        "average_trade": math.fsum(one.share for one in closed) / len(closed) if closed else NAN,
        "exposure": sum(quantity != 0 for quantity in position) / count,
        "ruined": float(ruined),
        "final_equity": equity[-1],
    }
