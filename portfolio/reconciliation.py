"""Reconciliation: an account's books are held against its broker's, and what happened there alone is taken over.

Nothing is locked while the broker is asked. Its books count only when the desk's own did not move meanwhile: open orders
are settled before and after they are read, and whoever finds another ledger under the account's lock begins again.
What was taken over is marked (`origin` of an order, a cash movement) and has an id that follows from what it stands for,
so that two comparisons at once, or one after the other, write it once. Each kind of difference blocks the account until
a person has cleared it; a broker that cannot be read blocks it until it can.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from portfolio import blocking, comparing, reconciled
from portfolio.adopting import activities_since, adopt_activities, adopt_cash, adopt_order, adopt_position
from portfolio.brokers import (
    Broker,
    BrokerCash,
    BrokerNotConfigured,
    BrokerOrder,
    BrokerThrottled,
    BrokerUncertain,
    broker_for,
)
from portfolio.choices import (
    OPEN,
    BrokerKind,
    OrderStatus,
)
from portfolio.comparing import BrokerBook, DeskBook, Difference, Mismatch
from portfolio.errors import LOST_AT_BROKER, OF_ONE_ORDER
from portfolio.fills import fills_apply, order_move
from portfolio.models import Account, Order, Position
from portfolio.settling import account_settle
from safety.services import reconciliation_clear
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

logger = logging.getLogger(__name__)

CASH_TOLERANCE = Decimal(1)
"""In the account's currency: brokers round, and take small fees of exchanges, without a fill."""

TRIES = 3
LATE_FILLS_WITHIN = timedelta(days=2)
DESK = Actor.system("reconciliation")


@dataclass(frozen=True)
class Reconciliation:
    """What a comparison came to.

    Attributes:
        compared: False when the broker gave no certain answer, or the books never stood still.
        adopted: what was taken over, one line each.
        problem: why it was not compared.
    """

    account: str
    compared: bool
    differences: Sequence[Difference] = ()
    adopted: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True)
class _Found:
    broker: Broker
    book: BrokerBook
    orders: dict[str, BrokerOrder]
    prices: dict[str, Decimal | None]
    lost: tuple[str, ...]
    awaited: list[str]
    stamp: object
    activities: Sequence[BrokerCash] = ()


def account_reconcile(*, actor: Actor = DESK, account: Account, wall: datetime) -> Reconciliation:
    """Compare the account with its broker, take over what happened there, and block trading where they differed.

    A second run finds nothing and writes nothing. While the broker says of an order that more is filled than it has
    told the fills of, its positions and cash are ahead of any fill that could explain them, and are not compared: what
    was taken over now would be counted again with the fill.
    """
    late: tuple[str, ...] = ()
    before = Reconciliation(account.name, compared=False)
    try:
        for _ in range(TRIES):
            found = _ask(account, wall)
            differing = [each.what for each in comparing.compare_positions(_desk(account), found.book)]
            came, awaited = _late_fills(account, found.broker, differing)
            fresh = tuple(name for name in came if name not in late)
            found.awaited.extend(awaited)
            if fresh:
                late += fresh
                continue
            with transaction.atomic():
                locked = Account.objects.locked(account.pk)
                if _stamp(locked) != found.stamp:
                    continue
                result, again = _write(actor, locked, found, late, before, wall)
            _take_back(found, result)
            if again:
                before = result
                continue
            if result.compared:
                reconciled.mark(account)
            return result
    except BrokerThrottled as error:
        # It is there, and says when it answers again: that its books differ nobody has reason to think.
        return replace(before, problem=str(error))
    except (BrokerUncertain, BrokerNotConfigured, OSError) as error:
        logger.warning("account %s could not be reconciled: %s", account.name, error)
        blocking.account_block_unreachable(actor, account, str(error))
        return Reconciliation(account.name, compared=False, problem=str(error))
    return replace(before, problem="Its books did not stand still; it is tried again.")


def accounts_reconcile(*, actor: Actor = DESK, simulated: bool = True) -> list[Reconciliation]:
    """Reconcile every account; without `simulated` only those whose broker is elsewhere."""
    accounts = Account.objects.all() if simulated else Account.objects.exclude(broker=BrokerKind.PAPER)
    results = []
    for account in accounts:
        # One that cannot be compared must not keep the others from it.
        try:
            results.append(account_reconcile(actor=actor, account=account, wall=utcnow()))
        except OF_ONE_ORDER as error:
            logger.exception("account %s could not be reconciled", account.name)
            results.append(Reconciliation(account.name, compared=False, problem=str(error)))
    return results


def reconcile_at_start(account: Account) -> bool:
    """Compare an account before its first order in this process; say whether that was done."""
    return account_reconcile(account=account, wall=utcnow()).compared


# ----------------------------------------------------------------------------------------------------------- looking


def _ask(account: Account, wall: datetime) -> _Found:
    """Read the broker's books between two settlings, so that every fill in them is known here."""
    account_settle(account=account, wall=wall)
    here = Account.objects.get(pk=account.pk)
    stamp, broker = _stamp(here), broker_for(account, wall=wall)
    cash, positions, orders = broker.account().cash, broker.positions(), broker.open_orders()
    named = {order.client_order_id: order for order in orders}
    accepted = Order.objects.filter(
        account=account, status__in=(OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    ).exclude(client_order_id__in=named)
    lost = tuple(order.client_order_id for order in accepted if broker.order(order.client_order_id) is None)
    awaited = account_settle(account=account, wall=wall)
    return _Found(
        broker=broker,
        book=BrokerBook(cash, {each.symbol: each.quantity for each in positions}, tuple(named)),
        orders=named,
        prices={each.symbol: each.average_price for each in positions},
        lost=lost,
        awaited=awaited,
        stamp=stamp,
        activities=_activities(here, broker, cash - here.cash),
    )


def _activities(account: Account, broker: Broker, difference: Decimal) -> Sequence[BrokerCash]:
    """Return what the broker says of cash without fills, where the cash differs at all."""
    if not difference:
        return ()
    try:
        return broker.cash_activities(activities_since(account))
    except BrokerThrottled:
        raise
    except (BrokerUncertain, OSError) as error:
        if abs(difference) > CASH_TOLERANCE:
            raise
        logger.warning("what became of %s of account %s is not known: %s", difference, account.name, error)
        return ()


def _stamp(account: Account) -> object:
    """What changes whenever the ledger or an open order of the account does."""
    open_orders = Order.objects.filter(account=account, status__in=OPEN).values_list("pk", "status", "filled_quantity")
    return account.fill_sequence, account.cash, frozenset(open_orders)


def _desk(account: Account) -> DeskBook:
    held = Position.objects.filter(account=account).exclude(quantity=0).values_list("instrument__symbol", "quantity")
    return DeskBook(Account.objects.get(pk=account.pk).cash, dict(held), {})


def _late_fills(account: Account, broker: Broker, symbols: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ask again for orders of these symbols that ended lately.

    Returns:
        Those of which more was filled than was known, and those of which the broker says so without the fills.
    """
    closed = Order.objects.filter(
        account=account,
        instrument__symbol__in=symbols,
        sent_at__isnull=False,
        closed_at__gt=utcnow() - LATE_FILLS_WITHIN,
    ).exclude(status__in=OPEN)
    late, awaited = [], []
    for order in closed.order_by("closed_at"):
        state = broker.order(order.client_order_id)
        if state is None:
            continue
        after = fills_apply(order_id=order.pk, state=state) if state.fills else order
        if after.filled_quantity != order.filled_quantity:
            late.append(order.client_order_id)
        if state.filled_quantity is not None and state.filled_quantity > after.filled_quantity:
            awaited.append(order.client_order_id)
    return late, awaited


# ----------------------------------------------------------------------------------------------------------- writing


def _write(
    actor: Actor, account: Account, found: _Found, late: Sequence[str], before: Reconciliation, wall: datetime
) -> tuple[Reconciliation, bool]:
    """Take over what differs and block the account, under its lock.

    Args:
        before: what earlier rounds of this comparison came to; it is part of the result.

    Returns:
        The result, and whether another round is needed. An order that was taken over may be filled in part: its own
        fills are read first, since positions that were taken over beside it would hold them already.
    """
    known = Order.objects.filter(client_order_id__in=found.orders)
    orders = {order.client_order_id: order.is_open for order in known}
    told = [each.what for each in before.differences if each.kind is Mismatch.ORDER_FILLS_DIFFER]
    desk = replace(_desk(account), orders=orders, lost=found.lost, late=[name for name in late if name not in told])
    fresh, adopted = _write_orders(actor, account, found, desk, wall)
    again = Order.objects.filter(client_order_id__in=found.orders).count() > len(orders)
    if not found.awaited and not again:
        _write_books(actor, account, found, desk, wall, fresh, adopted)
    differences = tuple(dict.fromkeys((*before.differences, *fresh)))
    for kind in dict.fromkeys(each.kind for each in fresh):
        blocking.account_block(actor, account, kind, "; ".join(str(each) for each in differences if each.kind is kind))
    result = Reconciliation(account.name, False, differences, (*before.adopted, *adopted))
    if again:
        return result, True
    if found.awaited:
        problem = f"The broker has not told all fills yet of {', '.join(found.awaited)}; it is tried again."
        return replace(result, problem=problem), False
    reconciliation_clear(
        actor=actor, account_id=account.pk, codes=[comparing.UNREACHABLE], reason="The broker answered again."
    )
    return replace(result, compared=True), False


def _write_orders(
    actor: Actor, account: Account, found: _Found, desk: DeskBook, wall: datetime
) -> tuple[list[Difference], list[str]]:
    """Take over what differs of the orders; return the differences, and what was taken over."""
    adopted: list[str] = []
    differences = comparing.compare_orders(desk, found.book)
    for each in differences:
        if each.kind is Mismatch.ORDER_UNKNOWN_TO_DESK:
            adopted += adopt_order(actor, account, found.orders[each.what], wall)
        elif each.kind is Mismatch.ORDER_UNKNOWN_TO_BROKER:
            order = Order.objects.locked(Order.objects.only("pk").get(client_order_id=each.what).pk)
            detail = "The broker no longer knows it."
            order_move(actor=actor, order=order, status=OrderStatus.CANCELLED, code=LOST_AT_BROKER, detail=detail)
            adopted.append(f"order {each.what} is cancelled")
    return differences, adopted


def _write_books(
    actor: Actor,
    account: Account,
    found: _Found,
    desk: DeskBook,
    wall: datetime,
    differences: list[Difference],
    adopted: list[str],
) -> None:
    """Take over what differs of positions and cash, and add to the differences and to what was taken over."""
    for each in comparing.compare_positions(desk, found.book):
        differences.append(each)
        adopted += adopt_position(actor, account, each, found.prices.get(each.what), wall)
    account.refresh_from_db()
    adopted += adopt_activities(actor, account, found.activities, found.book.cash, CASH_TOLERANCE)
    for each in comparing.compare_cash(account.cash, found.book.cash, CASH_TOLERANCE):
        differences.append(each)
        adopted += adopt_cash(actor, account, found.book.cash)


def _take_back(found: _Found, result: Reconciliation) -> None:
    """Cancel at the broker what the desk holds for closed: it had been given up, and was sent all the same."""
    for each in result.differences:
        if each.kind is Mismatch.ORDER_OPEN_AT_BROKER:
            state = found.broker.cancel(each.what)
            if state is not None:
                fills_apply(order_id=_order_id(each.what), state=state)


def _order_id(client_order_id: str) -> UUID:
    return Order.objects.values_list("pk", flat=True).get(client_order_id=client_order_id)
