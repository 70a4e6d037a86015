"""Closing positions for a kill: market orders on the way that every order takes, each with a permit of its own.

The permit is what lets such an order pass the switch that is set, at the gate and at the last check before the broker;
every other check of the gate stands. An order that was denied or that died is followed by another one with the next
number, and an order that never came about because its process died is placed by whoever comes next, with its own id.
"""

from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Min, QuerySet

from portfolio import orders
from portfolio.attribution import shares
from portfolio.choices import OPEN, OrderPurpose, OrderSide, OrderStatus, TimeInForce
from portfolio.equity import mark_of
from portfolio.errors import OF_ONE_ORDER
from portfolio.models import Account, Fill, Order, Position, RoundTrip
from safety import selectors as safety
from safety.models import EVERYTHING, FlattenPermit, KillSweep
from safety.permits import flatten_permit_give
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError

KILL = Actor.system("kill switch")

AGAIN_AFTER = timedelta(seconds=10)
"""How long after the first closing that was denied or rejected the next one is tried; twice as long after each other."""

AGAIN_AT_LEAST_EVERY = timedelta(minutes=5)
"""The longest wait: each try is kept for ever, and what denies a closing may stand for days."""

ZERO = Decimal(0)


def positions_close(*, sweep: KillSweep, account: Account, wall: datetime) -> list[dict[str, Any]]:
    """Send what closes the positions of the sweep in this account, and return those that are not closed yet.

    Returns:
        `{account_id, symbol, quantity, code, detail}` each; the code says why a closing could not be sent.
    """
    remaining = []
    positions = Position.objects.filter(account=account).exclude(quantity=0).select_related("instrument")
    for position in positions.order_by("instrument__symbol"):
        if _share(sweep, position) == 0:
            continue
        try:
            code, detail = _close(sweep, position, wall)
        except OF_ONE_ORDER as error:
            code, detail = getattr(error, "code", "BROKER_UNCERTAIN"), str(error)
        position.refresh_from_db(fields=["quantity"])
        if left := _share(sweep, position):
            remaining.append(_line(account, position.instrument.symbol, left, code, detail))
    return remaining + _only_at_broker(sweep, account, wall)


def _line(account: Account, symbol: str, quantity: Decimal, code: str, detail: str) -> dict[str, Any]:
    return {
        "account_id": str(account.pk),
        "symbol": symbol,
        "quantity": decimal_string(quantity),
        "code": code,
        "detail": detail[:200],
    }


def _only_at_broker(sweep: KillSweep, account: Account, wall: datetime) -> list[dict[str, Any]]:
    """Return what the broker holds and the desk's ledger does not: closing that would need a ledger that agrees."""
    if sweep.scope != EVERYTHING:
        return []
    try:
        held = orders.held_at_broker(account=account, wall=wall)
    except (AppError, OSError) as error:
        return [_line(account, "", ZERO, getattr(error, "code", "BROKER_UNCERTAIN"), str(error))]
    known = set(
        Position.objects.filter(account=account).exclude(quantity=0).values_list("instrument__symbol", flat=True)
    )
    detail = "The broker holds it and the desk's own fills do not: reconcile, then close it."
    return [
        _line(account, symbol, quantity, "NOT_IN_LEDGER", detail)
        for symbol, quantity in sorted(held.items())
        if symbol not in known
    ]


def _share(sweep: KillSweep, position: Position) -> Decimal:
    """Return the signed units of the position that are the sweep's to close."""
    held: Decimal = position.quantity
    if sweep.scope == EVERYTHING or held == 0:
        return held
    with transaction.atomic():
        # Position, trip and fills as one moment has them: they are written under this lock.
        Account.objects.locked(position.account_id)
        held = Position.objects.values_list("quantity", flat=True).get(pk=position.pk)
        signed = _fills_of_trip(position)
    before = held - sum((units for _, units in signed), ZERO)
    return shares(signed, held=before).get(UUID(sweep.scope), ZERO)


def _fills_of_trip(position: Position) -> list[tuple[UUID | None, Decimal]]:
    """Return strategy and signed units of the fills since the order that opened the position had its first one.

    Whose the position is they say alone: what was filled before it was last flat is nobody's any more.
    """
    series = {"account_id": position.account_id, "instrument_id": position.instrument_id}
    fills = Fill.objects.filter(**series)
    trip = RoundTrip.objects.filter(**series, closed_at__isnull=True).first()
    if trip is not None:
        first = fills.filter(order_id=trip.opening_order_id).aggregate(first=Min("sequence"))["first"]
        fills = fills.filter(sequence__gte=first)
    rows = fills.order_by("sequence").values_list("order__strategy_id", "side", "quantity")
    return [(strategy, OrderSide(side).sign * quantity) for strategy, side, quantity in rows]


def _close(sweep: KillSweep, position: Position, wall: datetime) -> tuple[str, str]:
    """Send the next closing of a position unless one is on its way; return why none could be sent."""
    symbol, account = position.instrument.symbol, position.account
    permits = FlattenPermit.objects.filter(sweep=sweep, account_id=account.pk, symbol=symbol)
    last = permits.order_by("-number").first()
    before = None if last is None else Order.objects.filter(client_order_id=last.client_order_id).first()
    if last is not None:
        if before is None:
            return _send(last, position)
        if before.status in OPEN:
            _send(last, position)
            before.refresh_from_db()
        if before.status in OPEN:
            return before.code, before.detail or "The closing is on its way."
        failed = before.status != OrderStatus.FILLED
        if failed and before.closed_at is not None and utcnow() - before.closed_at < _again_after(permits):
            return before.code, before.detail
        position.refresh_from_db(fields=["quantity"])
    quantity = _quantity(sweep, position, wall)
    if quantity <= 0:
        return "NOTHING_FREE", "Other orders on the same side rest on the position, or a unit is beyond the limit."
    number = (permits.aggregate(most=Max("number"))["most"] or 0) + 1
    permit = flatten_permit_give(
        sweep=sweep,
        account_id=account.pk,
        strategy_id=None if sweep.scope == EVERYTHING else UUID(sweep.scope),
        symbol=symbol,
        side=OrderSide.SELL if position.quantity > 0 else OrderSide.BUY,
        quantity=quantity,
        number=number,
    )
    return _send(permit, position)


def _again_after(permits: QuerySet[FlattenPermit]) -> timedelta:
    """Return how long to wait after the last of these closings, by how many of them came to nothing."""
    failed = Order.objects.filter(client_order_id__in=permits.values("client_order_id")).exclude(
        status__in=[*OPEN, OrderStatus.FILLED]
    )
    wait = AGAIN_AFTER
    for _ in range(failed.count() - 1):
        wait *= 2
        if wait >= AGAIN_AT_LEAST_EVERY:
            return AGAIN_AT_LEAST_EVERY
    return wait


def _send(permit: FlattenPermit, position: Position) -> tuple[str, str]:
    order = orders.order_place(
        actor=KILL,
        account=position.account,
        symbol=permit.symbol,
        side=permit.side,
        quantity=permit.quantity,
        client_order_id=permit.client_order_id,
        strategy_id=permit.strategy_id,
        # A market order needs no second day, and brokers take a fraction of a share for the day only.
        time_in_force=TimeInForce.DAY,
        mode=position.account.mode,
        source=position.source,
        timeframe=position.timeframe,
        adjustment=position.adjustment,
        purpose=OrderPurpose.CLOSE,
    )
    return order.code, order.detail


def _quantity(sweep: KillSweep, position: Position, wall: datetime) -> Decimal:
    """Return what one order may close: the share that nothing else is closing, and no more than one order may be worth.

    A position beyond the order limit is closed in parts, since the gate holds that limit for closings as well.
    """
    side = OrderSide.SELL if position.quantity > 0 else OrderSide.BUY
    resting = Order.objects.open().filter(account_id=position.account_id, instrument_id=position.instrument_id)
    taken = sum((order.remaining for order in resting.filter(side=side)), ZERO)
    free: Decimal = min(abs(_share(sweep, position)), abs(position.quantity) - taken)
    instrument = position.instrument
    point = mark_of(
        symbol=instrument.symbol,
        source=position.source,
        timeframe=position.timeframe,
        adjustment=position.adjustment,
        wall=wall,
    )
    if point is not None and point.price > 0:
        limit = _worth_at_most(sweep, instrument.symbol) / point.price
        if limit < free:
            # Down to whole lots; what cannot be closed whole is left to the gate to judge.
            free = (limit / instrument.lot_size).to_integral_value(ROUND_FLOOR) * instrument.lot_size
    return free


def _worth_at_most(sweep: KillSweep, symbol: str) -> Decimal:
    """Return what one closing may be worth: the desk's limit, or a stricter one of its strategy or its instrument."""
    strategy_id = None if sweep.scope == EVERYTHING else UUID(sweep.scope)
    narrower = safety.scoped_limits_of(strategy_id=strategy_id, symbol=symbol)
    limits = [safety.settings_get().order_notional_limit, *(row.order_notional_limit for row in narrower)]
    stated: list[Decimal] = [limit for limit in limits if limit is not None]
    return min(stated)
