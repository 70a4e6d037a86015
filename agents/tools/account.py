"""Tools that look at the account: what is held, and how much the gate would still let pass."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agents.team.fencing import one_line
from agents.tools.base import Desk, Tool, arguments, figure, money
from portfolio.equity import Valuation, equity_at_day_start, peak_of, valuation
from portfolio.models import Account, Order, Position
from portfolio.selectors import account_default
from safety import killswitch
from safety import selectors as safety
from safety.choices import CounterName
from safety.counters import Counters, trading_day
from safety.models import ScopedLimits
from tradingsite.common.clock import rfc3339

MOST_ORDERS = 20
ZERO = Decimal(0)


def _position(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = given["symbol"]
    close = desk.close(symbol)
    account = account_default()
    held = Position.objects.filter(account=account, instrument__symbol=symbol).exclude(quantity=0).first()
    open_orders = list(Order.objects.open().filter(account=account, instrument__symbol=symbol)[: MOST_ORDERS + 1])
    worth = None if held is None else held.quantity * close
    return {
        "symbol": symbol,
        **desk.notes(symbol),
        "account": account.name,
        "currency": account.currency,
        "quantity": figure(ZERO if held is None else held.quantity),
        "average_price": None if held is None else money(held.average_price),
        "price": money(close),
        "value": money(worth if worth is not None else ZERO),
        "unrealized_pnl": money(ZERO if held is None or worth is None else worth - held.cost),
        "unrealized_pnl_pct": None if held is None or worth is None or held.cost == 0
        else figure(float((worth - held.cost) / abs(held.cost) * 100)),
        "open_orders": [
            {
                "side": order.side,
                "type": order.type,
                "quantity": figure(order.quantity),
                "remaining": figure(order.remaining),
                "limit_price": money(order.limit_price),
                "stop_price": money(order.stop_price),
                "status": order.status,
                "since": rfc3339(order.created_at),
            }
            for order in open_orders[:MOST_ORDERS]
        ],
        "more_open_orders": len(open_orders) > MOST_ORDERS,
    }  # fmt: skip


def _worth(desk: Desk, account: Account) -> Valuation:
    """Return the account's worth with the run's own prices where it has any: no later price may show in it."""
    worth = valuation(account=account, wall=desk.as_of)
    holdings = tuple(
        replace(each, mark=desk.close(symbol))
        if (symbol := each.position.instrument.symbol) in desk.series
        else each
        for each in worth.holdings
    )  # fmt: skip
    return Valuation(worth.cash, holdings)


def _limits(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = given["symbol"]
    account = account_default()
    worth = _worth(desk, account)
    switch = killswitch.state(strategy_id=desk.strategy_id)
    row = safety.settings_get()
    own = safety.scoped_limits_of(strategy_id=desk.strategy_id, symbol=symbol)
    scopes = safety.scopes_counted(strategy_id=desk.strategy_id, symbol=symbol)
    day = Counters(trading_day(), account.pk, CounterName.TRADES, tuple(scopes)).used()
    minute = safety.orders_last_minute(account_id=account.pk, strategy_id=desk.strategy_id, symbol=symbol)
    held = next((each for each in worth.holdings if each.position.instrument.symbol == symbol), None)
    lost = equity_at_day_start(account) - worth.equity if worth.complete else None
    peak = peak_of(account, worth.equity)
    fall = 1 - worth.equity / peak if worth.complete and peak > 0 else None
    breaker = safety.breaker_of(account.pk)
    blocks = [block.code for block in safety.reconciliation_blocks(account_id=account.pk)[:10]]
    limits = [
        _line("daily_trade_limit", "orders a day", *_strictest("daily_trade_limit", row, own, day)),
        _line("order_rate_limit", "orders a minute", *_strictest("order_rate_limit", row, own, minute)),
        _line("order_notional_limit", account.currency, *_strictest("order_notional_limit", row, own, None)),
        _line("position_limit", account.currency, *_strictest("position_limit", row, own, None),
              used=ZERO if held is None else abs(held.value)),
        _line("exposure_limit", account.currency, *_strictest("exposure_limit", row, own, None),
              used=worth.gross_exposure),
        _line("daily_loss_limit", account.currency, *_strictest("daily_loss_limit", row, own, None),
              used=None if lost is None else max(lost, ZERO)),
        _line("drawdown_limit", "fraction of the peak", *_strictest("drawdown_limit", row, own, None),
              used=None if fall is None else max(fall, ZERO)),
    ]  # fmt: skip
    return {
        "symbol": symbol,
        **desk.notes(symbol),
        "account": account.name,
        "currency": account.currency,
        "mode": desk.mode,
        "paper_mode": row.paper_mode,
        "kill_switch": {"active": switch.active, "detail": one_line(switch.detail)},
        "trading_state": row.trading_state,
        "breaker": None if breaker is None else breaker.level,
        "reconciliation_blocks": blocks,
        "cash": money(account.cash),
        "equity": money(worth.equity) if worth.complete else None,
        "gross_exposure": money(worth.gross_exposure),
        "limits": limits,
        "reading": "used is what the account has used of it now; left is what remains; null is unknown or not counted",
    }


def _strictest(
    name: str, row: Any, own: list[ScopedLimits], used: Mapping[str, int] | None
) -> tuple[Decimal, Decimal | None]:
    """Return the limit that leaves the least, and what is used of it where its scopes count for themselves."""
    scopes = [("", Decimal(getattr(row, name)))]
    scopes += [
        (f"{each.scope} {each.key}", Decimal(limit)) for each in own if (limit := getattr(each, name)) is not None
    ]
    if used is None:
        return min(limit for _, limit in scopes), None
    counted = [(limit, Decimal(used.get(scope, 0))) for scope, limit in scopes]
    return min(counted, key=lambda pair: pair[0] - pair[1])


def _line(name: str, unit: str, limit: Decimal, counted: Decimal | None, used: Decimal | None = None) -> dict[str, Any]:
    spent = counted if counted is not None else used
    left = None if spent is None else max(limit - spent, ZERO)
    if name == "order_notional_limit":
        left = limit
    return {
        "name": name,
        "unit": unit,
        "limit": figure(limit),
        "used": None if spent is None else figure(round(spent, 4)),
        "left": None if left is None else figure(round(left, 4)),
    }


GET_POSITION = Tool(
    name="get_position",
    description="What the account holds of a symbol: signed quantity, average price, profit or loss at the decision "
    "bar's close, and its open orders.",
    parameters=arguments(),
    answer=_position,
)
GET_LIMITS = Tool(
    name="get_limits",
    description="How much may still be traded: the kill switch, each limit with what is used and left of it, cash, "
    "equity and exposure.",
    parameters=arguments(),
    answer=_limits,
)
