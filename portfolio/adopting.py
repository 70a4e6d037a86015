"""Taking over what happened at an account's broker alone, each thing once, marked, and with an id that follows from it.

The caller holds the account's lock.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from market import selectors as market
from portfolio.brokers.protocol import BrokerCash, BrokerFill, BrokerOrder
from portfolio.choices import CashKind, OrderOrigin, OrderSide, OrderStatus, OrderType, TimeInForce
from portfolio.comparing import Booked, Difference, explaining
from portfolio.errors import TAKEN_OVER
from portfolio.facts import SeriesFacts, series_facts
from portfolio.fills import fills_apply
from portfolio.ledger import amount
from portfolio.models import Account, CashMovement, Order
from safety.services import breaker_cash_moved
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import NotFound

BROKER_ZONE = ZoneInfo("America/New_York")
BOOKED_LATE_BY = timedelta(days=7)


def adopt_order(actor: Actor, account: Account, told: BrokerOrder, wall: datetime) -> list[str]:
    """Take an order over that somebody made at the broker, so that its fills are followed like any other's."""
    longest = Order._meta.get_field("client_order_id").max_length or 0
    if told.side is None or told.quantity <= 0:
        return []
    if told.order_type not in OrderType.values or len(told.client_order_id) > longest:
        return []
    tif = told.time_in_force if told.time_in_force in TimeInForce.values else TimeInForce.DAY
    order = _marked_order(
        account,
        key=f"order:{told.venue_order_id}",
        symbol=told.symbol,
        wall=wall,
        client_order_id=told.client_order_id,
        side=told.side,
        quantity=told.quantity,
        type=told.order_type,
        time_in_force=tif,
        limit_price=told.limit_price,
        stop_price=told.stop_price,
        venue_order_id=told.venue_order_id,
        status=OrderStatus.ACCEPTED,
    )
    if order is None:
        return []
    _record(actor, order)
    return [f"order {told.client_order_id} is taken over"]


def adopt_position(
    actor: Actor, account: Account, each: Difference, entry: Decimal | None, wall: datetime
) -> list[str]:
    """Take over what was traded at the broker alone: a marked order with one fill, at the broker's price or the last."""
    if not isinstance(each.desk, Decimal) or not isinstance(each.broker, Decimal):
        raise TypeError("positions are compared by quantity")
    missing = each.broker - each.desk
    side = OrderSide.BUY if missing > 0 else OrderSide.SELL
    key = f"position:{each.what}:{account.fill_sequence}:{decimal_string(each.broker)}"
    facts = _series(each.what, wall)
    # What was opened while nothing was held cost what the broker says; of anything else only the market's price is known.
    price = entry if each.desk == 0 and entry else (facts.reference_price if facts else None) or entry
    if not price:
        return []
    order = _marked_order(
        account,
        key=key,
        symbol=each.what,
        wall=wall,
        client_order_id=f"broker-{uuid5(account.pk, key)}",
        side=side,
        quantity=abs(missing),
        type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        status=OrderStatus.ACCEPTED,
    )
    if order is None:
        return []
    _record(actor, order)
    fill = BrokerFill(f"{order.client_order_id}-fill", price, abs(missing), Decimal(0), wall)
    state = BrokerOrder(
        order.client_order_id,
        "",
        OrderStatus.FILLED,
        each.what,
        side,
        abs(missing),
        code=TAKEN_OVER,
        detail="Traded at the broker, outside the desk.",
        fills=(fill,),
    )
    fills_apply(order_id=order.pk, state=state)
    return [f"{side} {decimal_string(abs(missing))} {each.what} at {decimal_string(price)} is taken over"]


def adopt_cash(actor: Actor, account: Account, there: Decimal) -> list[str]:
    """Take over cash that nothing explains: it was moved, and is neither won nor lost."""
    moved = amount(there - account.cash)
    count = CashMovement.objects.filter(account=account).count()
    movement = CashMovement(
        id=uuid5(account.pk, f"cash:{account.fill_sequence}:{count}:{decimal_string(there)}"),
        account=account,
        amount=moved,
        detail="Moved at the broker, outside the desk's fills.",
    )
    _take_cash(actor, account, movement)
    breaker_cash_moved(account_id=account.pk, amount=moved)
    return [f"{decimal_string(moved)} {account.currency} are taken over"]


def adopt_activities(
    actor: Actor, account: Account, told: Iterable[BrokerCash], there: Decimal, tolerance: Decimal
) -> list[str]:
    """Take over what the broker itself explains of the difference to `there`: fees, dividends and interest."""
    rows = {str(activity_id(account, each)): each for each in told}
    known = {str(pk) for pk in CashMovement.objects.filter(pk__in=list(rows)).values_list("pk", flat=True)}
    booked = [Booked(pk, amount(each.amount), each.day) for pk, each in rows.items() if pk not in known]
    lines = []
    for fits in explaining(there - account.cash, booked, agreed_on(account), tolerance):
        each = rows[fits.activity_id]
        movement = CashMovement(
            id=fits.activity_id,
            account=account,
            amount=fits.amount,
            kind=each.kind,
            booked_on=each.day,
            detail=each.detail[:200],
        )
        _take_cash(actor, account, movement)
        lines.append(f"{decimal_string(fits.amount)} {account.currency} are taken over: {each.detail}")
    return lines


def activity_id(account: Account, told: BrokerCash) -> UUID:
    """Return the id that an activity has here."""
    return uuid5(account.pk, f"activity:{told.activity_id}")


def agreed_on(account: Account) -> date:
    """Return the day, at the broker, on which the cash agreed whatever had been booked before: brokers name no hour."""
    moved = CashMovement.objects.filter(account=account, kind=CashKind.MOVED).order_by("-recorded_at").first()
    return (account.created_at if moved is None else moved.recorded_at).astimezone(BROKER_ZONE).date()


def activities_since(account: Account) -> date:
    """Return the first day of which activities may explain anything: some are booked a few days late."""
    made: date = account.created_at.astimezone(BROKER_ZONE).date()
    return max(made, agreed_on(account) - BOOKED_LATE_BY)


def _take_cash(actor: Actor, account: Account, movement: CashMovement) -> None:
    before = {"cash": decimal_string(account.cash)}
    movement.save(force_insert=True)
    account.cash += movement.amount
    account.save(update_fields=["cash"])
    audit.record(
        actor=actor,
        action="account.cash_movement",
        target=account,
        before=before,
        after={"cash": decimal_string(account.cash), "movement_id": str(movement.pk), "kind": movement.kind},
        reason=movement.detail,
    )


def _marked_order(account: Account, *, key: str, symbol: str, wall: datetime, **fields: Any) -> Order | None:
    """Make an order of the broker's, with the id that follows from `key`; None for a symbol that the desk has not."""
    facts = _series(symbol, wall)
    if facts is None:
        return None
    order = Order(
        id=uuid5(account.pk, key),
        account=account,
        instrument=market.instrument_get(symbol),
        mode=account.mode,
        origin=OrderOrigin.BROKER,
        source=facts.source,
        timeframe=facts.timeframe,
        adjustment=facts.adjustment,
        reference_price=facts.reference_price,
        submitted_market_time=facts.market_time,
        sent_at=wall,
        **fields,
    )
    order.save(force_insert=True)
    return order


def _series(symbol: str, wall: datetime) -> SeriesFacts | None:
    try:
        instrument = market.instrument_get(symbol)
    except NotFound:
        return None
    return series_facts(instrument=instrument, source=None, timeframe="1d", adjustment=None, wall=wall)


def _record(actor: Actor, order: Order) -> None:
    after = {
        "client_order_id": order.client_order_id,
        "symbol": order.instrument.symbol,
        "side": order.side,
        "quantity": decimal_string(order.quantity),
        "status": order.status,
        "origin": order.origin,
    }
    audit.record(actor=actor, action="order.take_over", target=order, after=after)
