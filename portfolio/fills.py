"""The one place where an order's status changes, and where fills reach positions and cash.

Every change is made under the account's lock, then the order's; it writes its audit row and its live event in the same
transaction. The table in `choices` says which changes there are.
"""

import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction

from portfolio.brokers.protocol import BrokerFill, BrokerOrder
from portfolio.choices import OPEN, OrderSide, OrderStatus, may_follow
from portfolio.equity import equity_record
from portfolio.errors import FILL_CONFLICT, OVERFILLED, OrderTransitionRefused
from portfolio.ledger import Trade, apply_fill, divide, multiply
from portfolio.models import Account, Fill, Order, Position
from portfolio.trips import trip_follow
from portfolio.webhooks import order_told
from safety.choices import OutcomeKind
from safety.services import alert_raise, decision_outcome
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import PLACES, decimal_string
from tradingsite.common.live import publish

logger = logging.getLogger(__name__)

ZERO = Decimal(0)
BROKER = Actor.system("broker")

# An order that the gate denies begins as denied; one that becomes it was let pass, and stopped by the last look.
_AGAINST_THE_VERDICT = {OrderStatus.DENIED: OutcomeKind.STOPPED, OrderStatus.REJECTED: OutcomeKind.REJECTED}


def order_move(
    *, actor: Actor, order: Order, status: OrderStatus, code: str = "", detail: str = "", **changes: Any
) -> None:
    """Bring a locked order to `status`, with its audit row and live event.

    Args:
        changes: further fields to write with it.

    Raises:
        OrderTransitionRefused: when the table of transitions does not hold this step.
    """
    before = order.status
    if not may_follow(before, status):
        raise OrderTransitionRefused(f"{order.client_order_id} is {before} and cannot become {status}.")
    order.status, order.code, order.detail = status, code, detail[:500]
    for name, value in changes.items():
        setattr(order, name, value)
    if status not in OPEN and order.closed_at is None:
        order.closed_at = utcnow()
    order.save(update_fields=["status", "code", "detail", "closed_at", *changes])
    if order.decision_id is not None and status != before and (kind := _AGAINST_THE_VERDICT.get(status)) is not None:
        decision_outcome(decision_id=order.decision_id, kind=kind, code=code, detail=detail)
    audit.record(
        actor=actor,
        action=f"order.{status}",
        target=order,
        before={"status": before},
        after={"status": status, "code": code, "filled_quantity": decimal_string(order.filled_quantity)},
        reason=detail,
    )
    order_announce(order, news=status != before)


def order_announce(order: Order, *, news: bool) -> None:
    """Tell the sockets of the order's run, if it has one, how the order stands, and webhooks if its status is new."""
    facts = order_facts(order)
    if order.execution_id is not None:
        publish(f"execution:{order.execution_id}", "order", {"execution_id": str(order.execution_id), **facts})
    if news:
        order_told(order, facts)


def order_facts(order: Order) -> dict[str, Any]:
    """Return an order as a JSON-able mapping: what a step's output and a socket message hold."""
    average = order.average_price
    return {
        "order_id": str(order.id),
        "client_order_id": order.client_order_id,
        "symbol": order.instrument.symbol,
        "side": order.side,
        "quantity": decimal_string(order.quantity),
        "status": order.status,
        "code": order.code,
        "detail": order.detail,
        "filled_quantity": decimal_string(order.filled_quantity),
        "average_price": None if average is None else decimal_string(average),
        "fees": decimal_string(order.fees),
    }


def fills_apply(*, order_id: UUID, state: BrokerOrder) -> Order:
    """Write down what the broker says of an order: new fills, each once by its venue id, then the status.

    An answer that is older than what is known already changes nothing. A fill that cannot be is told of and not taken;
    one fill too many is taken, since the shares are there, and the order says OVERFILLED.

    Returns:
        The order as it stands then.
    """
    with transaction.atomic():
        order, account = order_locked(order_id)
        fresh = _fresh(order, state.fills)
        changes: dict[str, Any] = {}
        if state.venue_order_id and state.venue_order_id != order.venue_order_id:
            changes["venue_order_id"] = state.venue_order_id
        if fresh:
            _take(account, order, fresh)
            changes |= _filled(order)
        filled = changes.get("filled_quantity", order.filled_quantity)
        target = _status_after(state, filled, order.quantity)
        if not may_follow(order.status, target):
            logger.info("order %s is %s; a late %s is not news", order.client_order_id, order.status, target)
            target = OrderStatus(order.status)
        if changes or target != order.status:
            # Without news of the status, its code stays as it is.
            said = (state.code, state.detail) if target != order.status else (order.code, order.detail)
            if fresh and filled > order.quantity:
                said = (OVERFILLED, _tell_overfilled(order, filled))
            order_move(actor=BROKER, order=order, status=target, code=said[0], detail=said[1], **changes)
        if fresh:
            equity_record(account=account, wall=utcnow(), at_most_every_s=0)
    return order


def order_locked(order_id: UUID) -> tuple[Order, Account]:
    """Lock an order with its account, in the order that every change takes them in."""
    account_id = Order.objects.values_list("account_id", flat=True).get(pk=order_id)
    account = Account.objects.locked(account_id)
    order = Order.objects.locked(order_id)
    return order, account


def _fresh(order: Order, told: Iterable[BrokerFill]) -> list[BrokerFill]:
    """Return the fills that are new, each once; what contradicts an earlier one is told of and left out."""
    told = list(told)
    known = {
        fill.venue_fill_id: (fill.order_id, fill.quantity, fill.price)
        for fill in Fill.objects.filter(venue_fill_id__in=[fill.venue_fill_id for fill in told])
    }
    fresh = []
    for fill in told:
        if not (fill.quantity.is_finite() and fill.price.is_finite() and fill.quantity > 0 and fill.price > 0):
            _tell_conflict(order, fill, "it has no quantity or no price")
            continue
        content = (order.pk, _stored(fill.quantity), _stored(fill.price))
        earlier = known.setdefault(fill.venue_fill_id, content)
        if earlier is content:
            fresh.append(fill)
        elif earlier != content:
            _tell_conflict(order, fill, "the broker told of it before, with another content")
    return fresh


def _stored(number: Decimal) -> Decimal:
    """As a column of the database holds it."""
    return number.quantize(Decimal(1).scaleb(-PLACES))


def _tell_conflict(order: Order, fill: BrokerFill, why: str) -> None:
    alert_raise(
        kind="execution_failed",
        name=FILL_CONFLICT,
        severity="critical",
        message=f"Fill {fill.venue_fill_id} of order {order.client_order_id} ({fill.quantity} at {fill.price}) was not "
        f"taken: {why}. Compare the account with the broker's statement.",
        symbol=order.instrument.symbol,
        event_id=uuid5(order.pk, f"{FILL_CONFLICT}:{fill.venue_fill_id}"),
        actor=BROKER,
    )


def _tell_overfilled(order: Order, filled: Decimal) -> str:
    said = f"{decimal_string(filled)} were filled where {decimal_string(order.quantity)} were ordered."
    alert_raise(
        kind="execution_failed",
        name=OVERFILLED,
        severity="critical",
        message=f"Order {order.client_order_id}: {said}",
        symbol=order.instrument.symbol,
        event_id=uuid5(order.pk, f"{OVERFILLED}:{decimal_string(filled)}"),
        actor=BROKER,
    )
    return said


def _take(account: Account, order: Order, fills: Iterable[BrokerFill]) -> None:
    side = OrderSide(order.side)
    series = {"source": order.source, "timeframe": order.timeframe, "adjustment": order.adjustment}
    position, _ = Position.objects.get_or_create(account=account, instrument_id=order.instrument_id, defaults=series)
    before: Mapping[str, Any] = {"cash": decimal_string(account.cash), "quantity": decimal_string(position.quantity)}
    for fill in fills:
        account.fill_sequence += 1
        Fill.objects.create(
            venue_fill_id=fill.venue_fill_id,
            account=account,
            order=order,
            instrument_id=order.instrument_id,
            sequence=account.fill_sequence,
            side=side,
            quantity=fill.quantity,
            price=fill.price,
            fee=fill.fee,
            occurred_at=fill.occurred_at,
        )
        trade = Trade(side, fill.quantity, fill.price, fill.fee)
        held = position.holding
        position.holding, account.cash = apply_fill(held, account.cash, trade)
        trip_follow(order=order, occurred_at=fill.occurred_at, before=held, after=position.holding)
    position.source, position.timeframe, position.adjustment = order.source, order.timeframe, order.adjustment
    position.save()
    account.save(update_fields=["cash", "fill_sequence"])
    audit.record(
        actor=BROKER,
        action="account.fill",
        target=account,
        before=before,
        after={"cash": decimal_string(account.cash), "quantity": decimal_string(position.quantity)},
        reason=f"{order.client_order_id}",
    )


def _filled(order: Order) -> dict[str, Any]:
    quantity = fees = notional = ZERO
    for fill in Fill.objects.filter(order=order):
        quantity += fill.quantity
        fees += fill.fee
        notional += multiply(fill.price, fill.quantity)
    return {"filled_quantity": quantity, "fees": fees, "average_price": divide(notional, quantity)}


def _status_after(state: BrokerOrder, filled: Decimal, quantity: Decimal) -> OrderStatus:
    """Fills speak louder than the status beside them; an open order is one that the broker has accepted.

    While fills that the broker speaks of have not come, the order is not over: it is asked for them again.
    """
    if filled >= quantity:
        return OrderStatus.FILLED
    outstanding = state.status == OrderStatus.FILLED or filled < (state.filled_quantity or ZERO)
    if state.status not in OPEN and not outstanding:
        return state.status
    return OrderStatus.PARTIALLY_FILLED if filled > 0 else OrderStatus.ACCEPTED
