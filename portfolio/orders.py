"""The order service: intent first, then send. Nothing else imports a broker.

1. One transaction locks the account, asks the gate, and commits the order as `pending` or `denied`.
2. The caller's last check runs; the order is claimed (`submitted`) by whoever is to send it; the kill switch is read
   again, last; then the broker is called.
3. What the broker says is written down. An answer that was lost makes the order `unknown`.

A process may die between any two of these. Calling `order_place` again with the same client order id goes on where it
stopped: a `pending` order was never sent and is sent now; a `submitted` one is looked up at the broker first, and sent
again only while it is young and only to a broker that refuses duplicates itself; an `unknown` one is only looked up.
What a dead process left and nobody asks for again, `settling` resolves by asking; it never sends.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from market import selectors as market
from portfolio import reconciled
from portfolio.brokers import (
    Broker,
    BrokerOrder,
    BrokerThrottled,
    BrokerUncertain,
    DuplicateClientOrderId,
    broker_for,
    request_for,
)
from portfolio.choices import OPEN, BrokerKind, OrderPurpose, OrderSide, OrderStatus
from portfolio.errors import NOT_SENT, OrderNotOpen
from portfolio.facts import series_facts
from portfolio.fills import fills_apply, order_locked, order_move
from portfolio.intents import existing_order, intent_commit, words_check
from portfolio.models import Account, Order, Position
from portfolio.urgency import urgently
from safety import killswitch
from safety.choices import GateCode
from safety.errors import KillSwitchActive
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import to_decimal

logger = logging.getLogger(__name__)

NOT_SENT_AFTER = timedelta(seconds=120)
"""Longer than any broker's time-out: a request that has not arrived by then never will."""

THROTTLED_TRIES = 3
THROTTLED_WAIT_S = 5.0
"""How often, and how long at most each time, an order waits for a broker that takes no more requests for now."""

ZERO = Decimal(0)
DESK = Actor.system("order desk")


def order_place(
    *,
    actor: Actor,
    account: Account,
    symbol: str,
    side: str,
    quantity: Decimal,
    order_type: str = "market",
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
    time_in_force: str = "gtc",
    client_order_id: str,
    strategy_id: UUID | None = None,
    execution_id: UUID | None = None,
    mode: str = "paper",
    source: str | None = None,
    timeframe: str = "1d",
    adjustment: str | None = None,
    purpose: OrderPurpose | None = None,
    before_send: Callable[[], None] | None = None,
) -> Order:
    """Put an order to the gate and, when it passes, to the broker. At most one broker order per `client_order_id`.

    Args:
        quantity: units of the instrument; what the gate does not allow is recorded as a denied order.
        time_in_force: `day` ends with the session that runs, or with the next one; `gtc` when somebody cancels.
        source, timeframe, adjustment: the series that prices it; the instrument's default source when None.
        purpose: for an order that was planned some time ago. It is denied when the position has changed meanwhile so
            that it would do something else: add to a position, or sell what another order has sold already.
        before_send: called when the intent is committed, before anything is sent; what it raises leaves the order
            `pending` and is passed on.

    Returns:
        The order as it stands then; `denied`, `rejected` and `unknown` are answers, not errors.

    Raises:
        InstrumentUnknown: when there is no such instrument.
        ClientOrderIdReused: when the id belongs to an order with another content.
        ValidationFailed: for words or numbers that no order can have.
        BrokerNotConfigured: when the account's broker cannot be reached by the settings; nothing is written then.
    """
    wall = utcnow()
    words_check(
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        mode=mode,
        client_order_id=client_order_id,
        limit_price=limit_price,
        stop_price=stop_price,
    )
    instrument = market.instrument_get(symbol)
    intent = Order(
        client_order_id=client_order_id,
        account=account,
        instrument=instrument,
        strategy_id=strategy_id,
        execution_id=execution_id,
        created_by_id=actor.user_id,
        mode=mode,
        side=side,
        type=order_type,
        quantity=to_decimal(quantity, "quantity"),
        limit_price=None if limit_price is None else to_decimal(limit_price, "limit_price"),
        stop_price=None if stop_price is None else to_decimal(stop_price, "stop_price"),
        time_in_force=time_in_force,
    )
    existing = existing_order(intent)
    if existing is None:
        facts = series_facts(
            instrument=instrument, source=source, timeframe=timeframe, adjustment=adjustment, wall=wall
        )
        intent.source, intent.timeframe, intent.adjustment = facts.source, facts.timeframe, facts.adjustment
        intent.reference_price, intent.submitted_market_time = facts.reference_price, facts.market_time
        refusal = broker_for(account, wall=wall).refusal(request_for(intent))
        if not reconciled.ensure(account):
            # Where the comparison failed the account is blocked, and the gate says so itself.
            refusal = GateCode.RECONCILIATION_PENDING.value, f"Account {account.name} is being held against its broker."
        existing = intent_commit(
            actor=actor, intent=intent, facts=facts, wall=wall, purpose=purpose, broker_refusal=refusal
        )
    return _carry_on(order=existing, before_send=before_send, wall=wall)


def order_cancel(*, actor: Actor, order: Order, code: str = "", reason: str = "") -> Order:
    """Cancel an open order: here when it was never sent, else at the broker.

    A fill that came first stands. When the broker's answer is lost, the wish is kept and tried again by
    `orders_settle`.

    Raises:
        OrderNotOpen: when the order is closed.
    """
    try:
        return cancel_ask(actor=actor, order=order, code=code, reason=reason)[0]
    except (BrokerUncertain, OSError) as error:
        logger.warning("cancel of %s was not confirmed: %s", order.client_order_id, error)
        return Order.objects.select_related("account", "instrument").get(pk=order.pk)


def cancel_ask(
    *, actor: Actor, order: Order, code: str = "", reason: str = "", once: bool = False
) -> tuple[Order, BrokerOrder | None, bool]:
    """Ask for a cancel; the wish is written down before anything is asked.

    Args:
        once: leave it when somebody else has asked since `order` was read.

    Returns:
        The order as it stands then, what the broker said of it, None when it does not know it, and whether it was asked.

    Raises:
        OrderNotOpen: when the order is closed.
        BrokerUncertain, OSError: when the broker did not answer; the wish is kept.
    """
    with transaction.atomic():
        locked, account = order_locked(order.pk)
        if not locked.is_open:
            raise OrderNotOpen(f"The order is {locked.status}.")
        if locked.status == OrderStatus.PENDING:
            order_move(actor=actor, order=locked, status=OrderStatus.CANCELLED, code=code, detail=reason)
            return locked, None, False
        if once and locked.cancel_tried_at != order.cancel_tried_at:
            return locked, None, False
        locked.cancel_tried_at = utcnow()
        if locked.cancel_requested_at is None:
            locked.cancel_requested_at = locked.cancel_tried_at
            audit.record(actor=actor, action="order.cancel_request", target=locked, reason=reason)
        locked.save(update_fields=["cancel_requested_at", "cancel_tried_at"])
    state = broker_for(account, wall=utcnow()).cancel(locked.client_order_id)
    if state is None:
        return locked, None, True
    if state.status == OrderStatus.CANCELLED:
        state = replace(state, code=code or state.code, detail=reason or state.detail)
    return fills_apply(order_id=locked.pk, state=state), state, True


def resting_at_broker(*, account: Account, wall: datetime) -> list[str]:
    """Return the client order ids of what rests in the broker's own book, whoever placed it.

    Raises:
        BrokerUncertain, OSError: when the broker did not answer.
    """
    return [each.client_order_id for each in broker_for(account, wall=wall).open_orders()]


def cancel_at_broker(*, account: Account, client_order_id: str, wall: datetime) -> bool:
    """Cancel what rests in the broker's book, whether the desk knows it or not; return whether it is closed then.

    One that it lists and says to know nothing of is not closed, for nobody knows. Writes nothing down: that also works while the database takes no writes. What the desk does know is brought up to
    it by the next settling.

    Raises:
        BrokerUncertain, OSError: when the broker did not answer.
    """
    state = broker_for(account, wall=wall).cancel(client_order_id)
    return state is not None and state.status not in OPEN


def held_at_broker(*, account: Account, wall: datetime) -> dict[str, Decimal]:
    """Return the broker's own positions by symbol, flat ones left out.

    Raises:
        BrokerUncertain, OSError: when the broker did not answer.
    """
    return {each.symbol: each.quantity for each in broker_for(account, wall=wall).positions() if each.quantity}


def _carry_on(*, order: Order, before_send: Callable[[], None] | None, wall: datetime) -> Order:
    broker = broker_for(order.account, wall=wall)
    match OrderStatus(order.status):
        case OrderStatus.PENDING:
            if utcnow() - order.created_at > NOT_SENT_AFTER:
                return order_give_up(order)
            return _send(order=order, broker=broker, before_send=before_send)
        case OrderStatus.SUBMITTED:
            return _resume(order=order, broker=broker, before_send=before_send)
        case OrderStatus.UNKNOWN:
            try:
                return _look_up(order=order, broker=broker) or order
            except (BrokerUncertain, OSError):
                return order
        case _:
            return order


def _send(*, order: Order, broker: Broker, before_send: Callable[[], None] | None) -> Order:
    if before_send is not None:
        before_send()
    with transaction.atomic(durable=True):
        order, _ = order_locked(order.pk)
        if order.status != OrderStatus.PENDING:
            return order
        order_move(actor=DESK, order=order, status=OrderStatus.SUBMITTED, sent_at=utcnow())
    try:
        killswitch.assert_open(strategy_id=order.strategy_id, client_order_id=order.client_order_id)
    except KillSwitchActive as error:
        return _move(order, OrderStatus.DENIED, error.code, error.detail)
    return _submit_patiently(order=order, broker=broker)


def _resume(*, order: Order, broker: Broker, before_send: Callable[[], None] | None) -> Order:
    """Go on with an order that another process claimed: it may have been sent, or be just about to be."""
    try:
        known = _look_up(order=order, broker=broker)
    except (BrokerUncertain, OSError):
        return order
    if known is not None:
        return known
    age = utcnow() - (order.sent_at or order.created_at)
    if age > NOT_SENT_AFTER:
        return order_give_up(order)
    if not broker.refuses_duplicates:
        return order
    if before_send is not None:
        before_send()
    try:
        # The first sender may have got through all the same, so an order that must not leave is left to be looked up.
        if _cancel_wanted(order):
            return order
        killswitch.assert_open(strategy_id=order.strategy_id, client_order_id=order.client_order_id)
    except KillSwitchActive:
        return order
    try:
        return _submit(order=order, broker=broker)
    except BrokerThrottled:
        return order


def _submit_patiently(*, order: Order, broker: Broker) -> Order:
    """Send, and send again when the broker did not look at it for there were too many requests.

    Only for an order that nobody else sends: that the broker did not look at this request then says that it never had
    the order.
    """
    for left in reversed(range(THROTTLED_TRIES)):
        try:
            return _submit(order=order, broker=broker)
        except BrokerThrottled as error:
            detail = error.detail
            if not left or error.retry_after_s > THROTTLED_WAIT_S:
                break
            time.sleep(error.retry_after_s)
        if _cancel_wanted(order):
            return _move(order, OrderStatus.CANCELLED, NOT_SENT, "Its cancel was asked for before it was sent.")
        try:
            # A kill may have come while we waited.
            killswitch.assert_open(strategy_id=order.strategy_id, client_order_id=order.client_order_id)
        except KillSwitchActive as error:
            return _move(order, OrderStatus.DENIED, error.code, error.detail)
    return _move(order, OrderStatus.REJECTED, BrokerThrottled.code, detail)


def _cancel_wanted(order: Order) -> bool:
    """Say whether somebody has asked for a cancel by now: what the broker did not know then must not reach it later."""
    return bool(Order.objects.filter(pk=order.pk, cancel_requested_at__isnull=False).exists())


def _submit(*, order: Order, broker: Broker) -> Order:
    """Send once.

    Raises:
        BrokerThrottled: when the broker did not look at it.
    """
    try:
        with urgently() if _makes_smaller(order) else nullcontext():
            state = broker.submit(request_for(order))
    except BrokerThrottled:
        raise
    except DuplicateClientOrderId:
        try:
            return _look_up(order=order, broker=broker) or order
        except (BrokerUncertain, OSError) as error:
            return _lost(order, error)
    except (BrokerUncertain, OSError) as error:
        return _lost(order, error)
    after = fills_apply(order_id=order.pk, state=state)
    if not after.is_open and state.status in OPEN:
        return _withdraw(order=after, broker=broker)
    return after


def _makes_smaller(order: Order) -> bool:
    """Say whether the order closes what is held and no more: too many requests must not hold it up for long."""
    if order.account.broker == BrokerKind.PAPER:
        return False
    held = Position.objects.filter(account_id=order.account_id, instrument_id=order.instrument_id).first()
    if held is None or held.quantity * OrderSide(order.side).sign >= 0:
        return False
    return bool(order.quantity <= abs(held.quantity))


def _lost(order: Order, error: Exception) -> Order:
    logger.warning("the answer for %s was lost: %s", order.client_order_id, error)
    return _move(order, OrderStatus.UNKNOWN, BrokerUncertain.code, str(error))


def _withdraw(*, order: Order, broker: Broker) -> Order:
    """Take back an order that was given up while its sender stood still, and sent all the same when it woke."""
    logger.warning("order %s was sent after it had been given up; it is taken back", order.client_order_id)
    try:
        state = broker.cancel(order.client_order_id)
    except (BrokerUncertain, OSError):
        logger.exception("order %s rests at the broker and could not be taken back", order.client_order_id)
        return order
    return order if state is None else fills_apply(order_id=order.pk, state=state)


def _look_up(*, order: Order, broker: Broker) -> Order | None:
    """Ask the broker for the order and write down what it says; None when it does not know it."""
    state = broker.order(order.client_order_id)
    return None if state is None else fills_apply(order_id=order.pk, state=state)


def order_give_up(order: Order) -> Order:
    """Cancel here what can no longer be on its way and the broker does not know."""
    return _move(order, OrderStatus.CANCELLED, NOT_SENT, "It never reached the broker.")


def _move(order: Order, status: OrderStatus, code: str, detail: str) -> Order:
    """Move an order unless another process has taken it further in the meantime."""
    with transaction.atomic():
        locked, _ = order_locked(order.pk)
        if locked.status == order.status:
            order_move(actor=DESK, order=locked, status=status, code=code, detail=detail)
    return locked
