"""The facts that the gate judges by, read at one moment under the account's lock."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from market import selectors as market
from market.calendars import TradingCalendar, calendar
from market.models import Instrument
from portfolio.choices import OPEN, OrderSide, OrderStatus
from portfolio.equity import Valuation, equity_at_day_start, mark_of, paid_in, valuation
from portfolio.ledger import ONE, amount
from portfolio.models import Account, Order
from safety import selectors as safety
from safety.gate import Exposure
from tradingsite.common.errors import NotFound

ZERO = Decimal(0)

# Neither was ever on its way to the market, so neither makes the next one a duplicate.
_NEVER_SENT = (OrderStatus.DENIED, OrderStatus.REJECTED)


@dataclass(frozen=True)
class SeriesFacts:
    """The series an order is priced by.

    Attributes:
        market_time: where its market stands; None when the series is unknown.
        reference_price: the last price known; None when there is none.
        opens_in_s: seconds until the exchange opens, by that clock; 0 while it is open, None when nobody knows.
        data_age_s: seconds of open market since that price; None when there is none.
    """

    source: str
    timeframe: str
    adjustment: str
    market_time: datetime | None
    reference_price: Decimal | None
    opens_in_s: int | None = None
    data_age_s: int | None = None


def series_facts(
    *, instrument: Instrument, source: str | None, timeframe: str, adjustment: str | None, wall: datetime
) -> SeriesFacts:
    """Return where the market of a series stands; an unknown series gives facts that the gate will miss."""
    symbol = instrument.symbol
    try:
        series = market.series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
        now = market.market_now(series=series, wall=wall)
    except NotFound:
        return SeriesFacts(source or "", timeframe, adjustment or "", None, None)
    slug = series.source.slug
    exchange = calendar(instrument.exchange)
    point = mark_of(symbol=symbol, source=slug, timeframe=timeframe, adjustment=series.adjustment, wall=wall)
    return SeriesFacts(
        source=slug,
        timeframe=timeframe,
        adjustment=series.adjustment,
        market_time=now,
        reference_price=None if point is None else point.price,
        opens_in_s=_opens_in_s(exchange, now),
        data_age_s=None if point is None else exchange.open_seconds(point.time, now),
    )


def _opens_in_s(exchange: TradingCalendar, now: datetime) -> int | None:
    try:
        return exchange.seconds_to_open(now)
    except ValueError:
        # Nobody has told yet when the exchange opens after the last year that its calendar knows.
        return None


def exposure_of(
    *,
    account: Account,
    instrument: Instrument,
    side: OrderSide,
    quantity: Decimal,
    strategy_id: UUID | None,
    wall: datetime,
    facts: SeriesFacts | None,
    worth: Valuation | None = None,
) -> Exposure:
    """Return what the account holds and has on the way, as an order of `instrument` would meet it.

    An equity that rests on a position without a price is a missing fact.

    Args:
        facts: the series that prices the order. Without it nobody knows whether its market is open and how old its
            prices are, which is enough to size an order and not to pass the gate.
    """
    worth = worth or valuation(account=account, wall=wall)
    held = next((h for h in worth.holdings if h.position.instrument_id == instrument.pk), None)
    open_orders = list(Order.objects.filter(account=account, status__in=OPEN))
    resting = [order for order in open_orders if order.instrument_id == instrument.pk]
    quantities = {h.position.instrument_id: h.position.quantity for h in worth.holdings}
    window = timedelta(seconds=float(safety.settings_get().duplicate_window_s))
    same = Order.objects.filter(
        ~Q(status__in=_NEVER_SENT),
        account=account,
        instrument=instrument,
        created_at__gt=wall - window,
        side=side,
        quantity=quantity,
        strategy_id=strategy_id,
    )
    return Exposure(
        cash=account.cash,
        equity=worth.equity if worth.complete else None,
        position_quantity=held.position.quantity if held else ZERO,
        open_buy_quantity=sum((order.remaining for order in resting if order.side == OrderSide.BUY), ZERO),
        open_sell_quantity=sum((order.remaining for order in resting if order.side == OrderSide.SELL), ZERO),
        gross_exposure=worth.gross_exposure if worth.complete else None,
        position_value=ZERO if held is None else (None if held.mark is None else abs(held.value)),
        other_open_value=_resting_value(
            [order for order in open_orders if order.instrument_id != instrument.pk], quantities
        ),
        day_pnl=worth.equity - equity_at_day_start(account) if worth.complete else None,
        starting_equity=paid_in(account),
        open_order_cash=cash_reserved(account=account, orders=open_orders)
        + _short_cover(account, open_orders, quantities),
        fee_rate=account.fee_rate,
        slippage=account.slippage,
        opens_in_s=None if facts is None else facts.opens_in_s,
        data_age_s=None if facts is None else facts.data_age_s,
        # Without a window there are no duplicates, not even of orders that came while this one waited for the account.
        same_order_recent=bool(window) and same.exists(),
        instrument_enabled=instrument.enabled,
    )


def cash_reserved(*, account: Account, orders: list[Order] | None = None) -> Decimal:
    """Return what the open buys of an account will take: the rest of each, at its limit or its reference price."""
    if orders is None:
        orders = list(Order.objects.filter(account=account, status__in=OPEN))
    buys = (order for order in orders if order.side == OrderSide.BUY)
    return sum(
        (cash_needed(account, order.remaining, limit=order.limit_price, reference=_reference(order)) for order in buys),
        ZERO,
    )


def _short_cover(account: Account, orders: list[Order], held: Mapping[UUID, Decimal]) -> Decimal:
    """Return what open sales beyond what is held must be covered with: their worth with the fee, as the gate asks."""
    sales: dict[UUID, list[Order]] = {}
    for order in orders:
        if order.side == OrderSide.SELL:
            sales.setdefault(order.instrument_id, []).append(order)
    cover = ZERO
    for instrument_id, group in sales.items():
        units = sum((order.remaining for order in group), ZERO) - max(held.get(instrument_id, ZERO), ZERO)
        if units > 0:
            price = max(max(order.limit_price or ZERO, _reference(order)) for order in group)
            cover += amount(units, price, ONE + account.fee_rate)
    return cover


def _reference(order: Order) -> Decimal:
    """The price that an order without a limit is reckoned at: a stop fills from its stop on."""
    return max(order.reference_price or ZERO, order.stop_price or ZERO)


def _resting_value(orders: list[Order], held: Mapping[UUID, Decimal]) -> Decimal:
    """Return by how much open orders may make the positions larger that they are on, each side at its worst."""
    by_instrument: dict[UUID, list[Order]] = {}
    for order in orders:
        by_instrument.setdefault(order.instrument_id, []).append(order)
    value = ZERO
    for instrument_id, group in by_instrument.items():
        position = held.get(instrument_id, ZERO)
        buys = sum((order.remaining for order in group if order.side == OrderSide.BUY), ZERO)
        sells = sum((order.remaining for order in group if order.side == OrderSide.SELL), ZERO)
        growth = max(abs(position + buys), abs(position - sells)) - abs(position)
        if growth > 0:
            value += amount(growth, max(max(order.limit_price or ZERO, _reference(order)) for order in group))
    return value


def cash_needed(account: Account, quantity: Decimal, *, limit: Decimal | None, reference: Decimal | None) -> Decimal:
    """Return what buying takes, the fee included: at the limit, or at the reference price with slippage."""
    if limit is not None:
        return amount(quantity, limit, ONE + account.fee_rate)
    return amount(quantity, reference or ZERO, ONE + account.slippage, ONE + account.fee_rate)


def with_planned(exposure: Exposure, planned: Decimal) -> Exposure:
    """Return the exposure with `planned` more cash held back, for a preview of several orders of several symbols."""
    return replace(
        exposure,
        open_order_cash=(exposure.open_order_cash or ZERO) + planned,
        other_open_value=(exposure.other_open_value or ZERO) + planned,
    )
