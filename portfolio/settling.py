"""Bringing open orders up to what their brokers know. Nothing here sends an order.

One process at a time does an account's round. Where the broker's list says how much of each order is filled, one request
tells of all of them, and only what changed is asked for by itself. A cancel that was not confirmed is asked for again,
less and less often, and never given up.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from django.db.models import Q

from portfolio.brokers import BrokerOrder, BrokerThrottled, broker_for
from portfolio.choices import OrderStatus
from portfolio.errors import OF_ONE_ORDER, OrderNotOpen
from portfolio.fills import fills_apply
from portfolio.models import Account, BrokerRound, Order
from portfolio.orders import NOT_SENT_AFTER, cancel_ask, order_give_up
from safety import killswitch
from safety.errors import KillSwitchActive
from tradingsite.common.actor import Actor
from tradingsite.common.clock import CLOCKS_APART, utcnow
from tradingsite.common.errors import AppError

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
"""After which another process goes on with the round of one that died; a round that takes longer renews it."""

CANCEL_AGAIN_AT_LEAST = timedelta(seconds=0.5)
"""How long the rounds of two kills are apart for one order that both of them cancel."""

CANCEL_AGAIN_WITHIN = timedelta(seconds=30)
"""The longest wait before a cancel that was not confirmed is asked for again."""

ZERO = Decimal(0)
DESK = Actor.system("order desk")


def orders_settle(*, wall: datetime, at_most_every_s: float = 0) -> int:
    """Bring every open order up to what its broker knows; cancel what a kill switch stands over.

    Args:
        at_most_every_s: leave out accounts whose round began less than this ago, in whichever process.

    Returns:
        How many orders changed.
    """
    changed = 0
    for account in Account.objects.filter(pk__in=Order.objects.open().values("account_id")):
        lease = _taken(account, at_most_every_s)
        if lease is None:
            continue
        try:
            changed += _round(account, wall, lease)
        finally:
            lease.end()
    return changed


def account_settle(*, account: Account, wall: datetime) -> list[str]:
    """Bring the account's open orders up to what its broker knows, or say that nobody can.

    Returns:
        The client order ids of which the broker says that more is filled than it has told the fills of.

    Raises:
        BrokerUncertain: when the broker did not say how one stands.
    """
    found = []
    orders = _open(account)
    listed = _listed(account, orders, wall)
    for order in orders:
        after, stated = _settle(order=order, halted=_halted(order), wall=wall, listed=listed)
        if stated > after.filled_quantity:
            found.append(order.client_order_id)
    return found


def order_end(*, order: Order, reason: str, since: datetime, wall: datetime) -> bool:
    """Have an open order cancelled because of a kill; one whose cancel was asked for before is asked for again.

    Args:
        since: when the kill was, from which the waits between two cancels count: the first one is at once.

    Returns:
        Whether the broker was asked; False while the next cancel waits its time.

    Raises:
        BrokerUncertain, OSError: when the broker did not answer; the wish is kept.
    """
    if not _cancel_due(order, since=since, at_least=CANCEL_AGAIN_AT_LEAST):
        return False
    _cancel(order, reason, wall)
    return True


# ------------------------------------------------------------------------------------------------------------- rounds


def _open(account: Account) -> list[Order]:
    found = Order.objects.open().filter(account=account).select_related("account", "instrument")
    return list(found.order_by("created_at"))


class _Lease:
    """The right to do an account's round. Lost when a round took so long that another process went on with it."""

    def __init__(self, holder: UUID) -> None:
        self._rows, self._renewed = BrokerRound.objects.filter(holder=holder), time.monotonic()

    def held(self) -> bool:
        """Say whether it is still ours, and keep it."""
        if time.monotonic() - self._renewed < LEASE.total_seconds() / 3:
            return True
        self._renewed = time.monotonic()
        return bool(self._rows.update(lease_until=utcnow() + LEASE))

    def end(self) -> None:
        self._rows.update(lease_until=None, finished_at=utcnow())


def _round(account: Account, wall: datetime, lease: _Lease) -> int:
    """Settle the account's orders, those to be cancelled first: no list that is slow or refused must hold them up."""
    changed = 0
    orders = _open(account)
    halted = {strategy for strategy in {order.strategy_id for order in orders} if _switched_off(strategy)}
    ending = [each for each in orders if each.cancel_requested_at is not None or each.strategy_id in halted]
    listed: Mapping[str, BrokerOrder] = {}
    for group in (ending, [order for order in orders if order not in ending]):
        if group is not ending:
            try:
                listed = _listed(account, group, wall)
            except BrokerThrottled as error:
                logger.warning("the orders of %s cannot be settled for now: %s", account.name, error)
                return changed
            except (AppError, OSError) as error:
                # A list that nobody can read, for one order in it perhaps, must not keep the others from being settled.
                logger.warning("the broker of %s gave no list of its orders: %s", account.name, error)
        for order in group:
            if not lease.held():
                return changed
            before = (order.status, order.filled_quantity)
            # One order that cannot be settled must not keep the others from it.
            try:
                # The switch is read for each order: a kill may come while many are being settled.
                after, _ = _settle(order=order, halted=_halted(order), wall=wall, listed=listed)
            except OF_ONE_ORDER as error:
                logger.warning("order %s cannot be settled for now: %s", order.client_order_id, error)
                continue
            changed += (after.status, after.filled_quantity) != before
    return changed


def _listed(account: Account, orders: Iterable[Order], wall: datetime) -> Mapping[str, BrokerOrder]:
    """Return the broker's list by client order id where that is fewer requests than one for each order; else nothing."""
    asked = [order for order in orders if order.status != OrderStatus.PENDING]
    if len(asked) < 2:
        return {}
    broker = broker_for(account, wall=wall)
    return {each.client_order_id: each for each in broker.open_orders()} if broker.lists_filled else {}


def _taken(account: Account, at_most_every_s: float) -> _Lease | None:
    """Take the account's round unless another process has it, or it is not due."""
    now, holder = utcnow(), uuid4()
    # What no clock that is right can have written holds nobody up.
    free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_until__gt=now + LEASE + CLOCKS_APART)
    rows = BrokerRound.objects.filter(free, account=account)
    if at_most_every_s:
        rested = Q(began_at__lte=now - timedelta(seconds=at_most_every_s)) | Q(began_at__gt=now + CLOCKS_APART)
        rows = rows.filter(Q(began_at=None) | rested)
    claim = {"holder": holder, "lease_until": now + LEASE, "began_at": now}
    if not rows.update(**claim):
        if BrokerRound.objects.filter(account=account).exists():
            return None
        BrokerRound.objects.bulk_create([BrokerRound(account=account)], ignore_conflicts=True)
        if not rows.update(**claim):
            return None
    return _Lease(holder)


# ------------------------------------------------------------------------------------------------------------- orders


def _settle(
    *, order: Order, halted: str, wall: datetime, listed: Mapping[str, BrokerOrder] | None = None
) -> tuple[Order, Decimal]:
    """Return the order as it stands then, and how much of it the broker says is filled; 0 where it does not say."""
    if halted and order.cancel_requested_at is None:
        return _cancel(order, halted, wall)
    age = utcnow() - (order.sent_at or order.created_at)
    if order.status == OrderStatus.PENDING:
        return (order_give_up(order) if age > NOT_SENT_AFTER else order), ZERO
    if order.cancel_requested_at is not None and _cancel_due(order):
        return _cancel(order, halted, wall)
    known = (listed or {}).get(order.client_order_id)
    if known is not None and known.filled_quantity is not None and known.filled_quantity <= order.filled_quantity:
        if order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
            return order, known.filled_quantity
        return fills_apply(order_id=order.pk, state=known), known.filled_quantity
    state = broker_for(order.account, wall=wall).order(order.client_order_id)
    return _written(order, state, halted)


def _cancel(order: Order, halted: str, wall: datetime) -> tuple[Order, Decimal]:
    code = KillSwitchActive.code if halted else ""
    try:
        after, state, asked = cancel_ask(actor=DESK, order=order, code=code, reason=halted, once=True)
    except OrderNotOpen:
        return Order.objects.get(pk=order.pk), ZERO
    if not after.is_open or state is not None:
        return after, ZERO if state is None or state.filled_quantity is None else state.filled_quantity
    if not asked:
        # Somebody else asks for the cancel at this moment.
        state = broker_for(order.account, wall=wall).order(order.client_order_id)
    return _written(after, state, halted)


def _written(order: Order, state: BrokerOrder | None, halted: str) -> tuple[Order, Decimal]:
    if state is not None:
        if halted and state.status == OrderStatus.CANCELLED:
            state = replace(state, code=KillSwitchActive.code, detail=halted)
        return fills_apply(order_id=order.pk, state=state), state.filled_quantity or ZERO
    if order.status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN):
        age = utcnow() - (order.sent_at or order.created_at)
        return (order_give_up(order) if age > NOT_SENT_AFTER else order), ZERO
    logger.error("the broker no longer knows order %s, which it had accepted", order.client_order_id)
    return order, ZERO


def _cancel_due(order: Order, *, since: datetime | None = None, at_least: timedelta = timedelta(0)) -> bool:
    """Say whether a cancel is to be asked for: at once, and then after a quarter of the time that it has been wanted."""
    asked, tried = order.cancel_requested_at, order.cancel_tried_at
    if asked is None or tried is None:
        return True
    if since is not None:
        if tried < since:
            return True
        asked = max(asked, since)
    return cancel_again(asked, tried, at_least=at_least)


def cancel_again(asked: datetime, tried: datetime, *, at_least: timedelta = CANCEL_AGAIN_AT_LEAST) -> bool:
    """Say whether a cancel that was first asked for at `asked`, and last at `tried`, is to be asked for again."""
    wait = min(max((tried - asked) / 4, at_least), CANCEL_AGAIN_WITHIN)
    return not tried <= utcnow() < tried + wait


def _switched_off(strategy_id: UUID | None) -> bool:
    return bool({killswitch.DATABASE, killswitch.FILE} & set(killswitch.state(strategy_id=strategy_id).sources))


def _halted(order: Order) -> str:
    """Why an order must go, or nothing. A switch that cannot be read stops new orders, and no more.

    What closes a position for the kill itself stays.
    """
    found = killswitch.state(strategy_id=order.strategy_id)
    is_set = {killswitch.DATABASE, killswitch.FILE} & set(found.sources)
    if not is_set or killswitch.flatten_permit(order.client_order_id, found) is not None:
        return ""
    return found.detail
