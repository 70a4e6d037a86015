"""Round trips: a position from flat to flat, and what it brought. Written with the fills that open and close it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from portfolio.choices import OrderSide
from portfolio.ledger import Holding, Trade, apply_fill
from portfolio.models import ZERO, Order, RoundTrip


def closes(before: Holding, after: Holding) -> bool:
    """Say whether a fill brought a position back to flat, or beyond."""
    return before.quantity != 0 and before.quantity * after.quantity <= 0


def opens(before: Holding, after: Holding) -> bool:
    """Say whether a fill took a position away from flat."""
    return after.quantity != 0 and before.quantity * after.quantity <= 0


def realized_at_opening(before: Holding, after: Holding) -> Any:
    """Return the realised profit from which the new trip counts: the fee of opening is its own, that of closing not."""
    return after.realized_pnl if before.quantity else before.realized_pnl


def trip_follow(*, order: Order, occurred_at: datetime, before: Holding, after: Holding) -> None:
    """Close and open the round trips that a fill of the order closes and opens; the caller holds the account's lock."""
    if closes(before, after):
        trip = RoundTrip.objects.filter(
            account_id=order.account_id, instrument_id=order.instrument_id, closed_at__isnull=True
        ).first()
        if trip is not None:
            trip.closed_at, trip.profit = occurred_at, after.realized_pnl - trip.realized_before
            trip.save(update_fields=["closed_at", "profit"])
    if opens(before, after):
        RoundTrip.objects.create(
            account_id=order.account_id,
            instrument_id=order.instrument_id,
            opening_order=order,
            execution_id=order.execution_id,
            opened_at=occurred_at,
            realized_before=realized_at_opening(before, after),
        )


class FillRow(Protocol):
    """A fill with its order, of today's model or of a migration's."""

    account_id: UUID
    instrument_id: UUID
    order_id: UUID
    order: Any
    side: str
    quantity: Any
    price: Any
    fee: Any
    occurred_at: datetime


def trips_replayed(fills: Iterable[FillRow]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of the round trips that fills made, given in the ledger's order: closed ones, then open ones."""
    held: dict[tuple[UUID, UUID], Holding] = {}
    open_: dict[tuple[UUID, UUID], dict[str, Any]] = {}
    for fill in fills:
        key = (fill.account_id, fill.instrument_id)
        before = held.get(key, Holding())
        trade = Trade(OrderSide(fill.side), fill.quantity, fill.price, fill.fee)
        held[key], _ = apply_fill(before, ZERO, trade)
        after = held[key]
        if closes(before, after) and key in open_:
            trip = open_.pop(key)
            yield {**trip, "closed_at": fill.occurred_at, "profit": after.realized_pnl - trip["realized_before"]}
        if opens(before, after):
            open_[key] = {
                "account_id": fill.account_id,
                "instrument_id": fill.instrument_id,
                "opening_order_id": fill.order_id,
                "execution_id": fill.order.execution_id,
                "opened_at": fill.occurred_at,
                "realized_before": realized_at_opening(before, after),
            }
    yield from open_.values()
