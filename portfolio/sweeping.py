"""What a kill does to orders and positions: cancel all that rests, close what is held, and look twice.

A round cancels the desk's own orders, each once, and then looks into the broker's book, since what matters is what can
still fill, whoever placed it: what it finds there beyond them it cancels too, and what is not closed then rests. After a
resume a round goes on with the orders of before it, whatever has become of their strategy.
"""

import logging
import time
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from portfolio import orders
from portfolio.errors import OF_ONE_ORDER
from portfolio.flattening import positions_close
from portfolio.models import Account, Order
from portfolio.settling import cancel_again, order_end
from portfolio.urgency import urgently
from safety.models import EVERYTHING, FlattenPermit, KillSweep
from safety.services import Remaining, sweep_report, sweep_take
from tradingsite.common.clock import parse_rfc3339, rfc3339, utcnow
from tradingsite.common.errors import AppError

logger = logging.getLogger(__name__)

Tries = dict[str, tuple[datetime, datetime]]
"""By client order id, of what the desk does not know: when its cancel was first asked for, and when last."""

AT_ONCE_S = 0.5
"""How long a kill that waits for the first round lets it take; brokers that answer slowly get the rest later."""


def sweeps_work(*, within_s: float | None = None) -> int:
    """Do a round of every sweep that is due; return how many there were.

    Args:
        within_s: begin no further call to a broker after this long.
    """
    until = None if within_s is None else time.monotonic() + within_s
    taken = sweep_take(wall=utcnow())
    for sweep in taken:
        remaining = _round(sweep, wall=utcnow(), until=until)
        sweep_report(sweep=sweep, remaining=remaining, wall=utcnow())
    return len(taken)


def brokers_clear(*, scope: str, within_s: float) -> None:
    """Cancel what rests at the brokers without writing anything: for a kill whose database takes no writes."""
    until = time.monotonic() + within_s
    with urgently():
        for account in Account.objects.all():
            if not _late(until):
                _clear_book(account, scope=scope, only=None, asked=(), tries={}, wall=utcnow(), until=until)


def _round(sweep: KillSweep, *, wall: datetime, until: float | None) -> Remaining:
    with urgently():
        asked = _cancel_orders(sweep, wall=wall, until=until)
        only = None if sweep.resumed_at is None else _foreign(sweep)
        accounts = list(Account.objects.all())
        unreachable: set[str] = set()
        books: list[tuple[Account, list[str]]] = []
        tries = _tries(sweep)
        for account in accounts:
            # An account for which no time was left counts as one that could not be asked: nobody has looked at it.
            late = _late(until)
            book = (
                None
                if late
                else _clear_book(
                    account, scope=sweep.scope, only=only, asked=asked, tries=tries, wall=wall, until=until
                )
            )
            if book is None:
                unreachable.add(account.name)
            else:
                books.append((account, book))
        resting = _resting(sweep, books, tries)
        positions: list[dict[str, Any]] = []
        if sweep.flatten and sweep.resumed_at is None:
            for account in accounts:
                if account.name not in unreachable and not _late(until):
                    positions += positions_close(sweep=sweep, account=account, wall=wall)
        return Remaining(resting, positions, sorted(unreachable))


def _cancel_orders(sweep: KillSweep, *, wall: datetime, until: float | None) -> set[str]:
    """Cancel the desk's own orders of the sweep; return those that this round has had its say about."""
    asked = set()
    for order in _open_orders(sweep):
        if _late(until):
            break
        asked.add(order.client_order_id)
        try:
            order_end(order=order, reason=_reason(sweep), since=sweep.killed_at, wall=wall)
        except OF_ONE_ORDER as error:
            logger.warning("the cancel of %s is not confirmed: %s", order.client_order_id, error)
    return asked


def _open_orders(sweep: KillSweep) -> list[Order]:
    """Return what the sweep has to cancel, the oldest first: of before the resume, and no closing of its own."""
    found: QuerySet[Order] = Order.objects.open().select_related("account", "instrument").order_by("created_at")
    if sweep.scope != EVERYTHING:
        found = found.filter(strategy_id=UUID(sweep.scope))
    if sweep.resumed_at is not None:
        found = found.filter(created_at__lt=sweep.resumed_at)
        return list(found)
    closings = _closings(found.values_list("client_order_id", flat=True))
    return [order for order in found if order.client_order_id not in closings]


def _closings(client_order_ids: Iterable[str]) -> set[str]:
    """Return those of these ids that close a position for a kill that still stands."""
    permits = FlattenPermit.objects.filter(
        client_order_id__in=list(client_order_ids), sweep__flatten=True, sweep__resumed_at__isnull=True
    )
    return set(permits.values_list("client_order_id", flat=True))


def _clear_book(
    account: Account,
    *,
    scope: str,
    only: set[str] | None,
    asked: Collection[str],
    tries: Tries,
    wall: datetime,
    until: float | None,
) -> list[str] | None:
    """Cancel what rests in the broker's book and should not; the list is the sample as well.

    Args:
        only: after a resume: the ids that had been found before it; what came to rest since is nobody's business.
        asked: the ids that this round has asked to be cancelled already.
        tries: of earlier rounds; what this one asks for is noted in it.

    Returns:
        What rests there still, or nobody can say; None when the broker gave no list.
    """
    try:
        book = _book(account, scope=scope, only=only, wall=wall)
    except (AppError, OSError) as error:
        logger.warning("the broker of %s cannot be asked for now: %s", account.name, error)
        return None
    resting = []
    for client_order_id in book:
        closed = False
        first, last = tries.get(client_order_id, (None, None))
        due = first is None or last is None or cancel_again(first, last)
        if client_order_id not in asked and due and not _late(until):
            tries[client_order_id] = (first or utcnow(), utcnow())
            try:
                closed = orders.cancel_at_broker(account=account, client_order_id=client_order_id, wall=wall)
            except (AppError, OSError) as error:
                # It counts as resting, and the next round finds it again.
                logger.warning("the cancel of %s is not confirmed: %s", client_order_id, error)
        if not closed:
            resting.append(client_order_id)
    return resting


def _book(account: Account, *, scope: str, only: set[str] | None, wall: datetime) -> list[str]:
    """Return what rests in the broker's book and should not."""
    resting = orders.resting_at_broker(account=account, wall=wall)
    known = dict(Order.objects.filter(client_order_id__in=resting).values_list("client_order_id", "strategy_id"))
    closings = _closings(resting) if only is None else set()
    return [
        client_order_id
        for client_order_id in resting
        if client_order_id not in closings
        and (only is None or client_order_id in only)
        and (scope == EVERYTHING or str(known.get(client_order_id)) == scope)
    ]


def _resting(sweep: KillSweep, books: Iterable[tuple[Account, list[str]]], tries: Tries) -> list[dict[str, Any]]:
    """Return everything that still rests, by the desk's rows as they are now and by the brokers' books."""
    found = {
        order.client_order_id: {
            "account_id": str(order.account_id),
            "client_order_id": order.client_order_id,
            "known": True,
        }
        for order in _open_orders(sweep)
    }
    for account, book in books:
        for client_order_id in book:
            found.setdefault(
                client_order_id,
                {"account_id": str(account.pk), "client_order_id": client_order_id, "known": False},
            )
            if client_order_id in tries:
                asked_at, tried_at = (rfc3339(each) for each in tries[client_order_id])
                found[client_order_id] |= {"asked_at": asked_at, "tried_at": tried_at}
    return list(found.values())


def _tries(sweep: KillSweep) -> Tries:
    """Return what the newest round has left of cancels of orders that the desk has no row for."""
    return {
        each["client_order_id"]: (parse_rfc3339(each["asked_at"]), parse_rfc3339(each["tried_at"]))
        for each in sweep.remaining.get("orders", [])
        if "tried_at" in each
    }


def _foreign(sweep: KillSweep) -> set[str]:
    return {each["client_order_id"] for each in sweep.remaining.get("orders", [])}


def _reason(sweep: KillSweep) -> str:
    what = "everything" if sweep.scope == EVERYTHING else f"strategy {sweep.scope}"
    return f"{sweep.by} stopped {what}."


def _late(until: float | None) -> bool:
    return until is not None and time.monotonic() > until
