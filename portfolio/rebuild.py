"""Positions and cash, counted again from the fills, and from what cash moved without one."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from portfolio.choices import OrderSide
from portfolio.ledger import Holding, Trade, rebuild
from portfolio.models import Account, CashMovement, Fill, Position
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import decimal_string

_FIELDS = ("quantity", "cost", "realized_pnl", "fees")


@dataclass(frozen=True)
class Difference:
    """Where a stored figure is not what the fills add up to. `symbol` is empty for the account's cash."""

    account: str
    symbol: str
    field: str
    stored: Decimal
    rebuilt: Decimal

    def __str__(self) -> str:
        what = f"{self.symbol} {self.field}" if self.symbol else self.field
        return (
            f"{self.account}: {what} is {decimal_string(self.stored)}, the fills make it {decimal_string(self.rebuilt)}"
        )


def positions_check(*, account: Account) -> list[Difference]:
    """Return every figure of the account that its fills do not add up to; changes nothing."""
    with transaction.atomic():
        locked = Account.objects.locked(account.pk)
        holdings, cash = _rebuilt(locked)
        return list(_differences(locked, holdings, cash))


def positions_rebuild(*, actor: Actor, account: Account) -> list[Difference]:
    """Write what the fills add up to over the stored positions and cash; return what that changed."""
    with transaction.atomic():
        locked = Account.objects.locked(account.pk)
        holdings, cash = _rebuilt(locked)
        differences = list(_differences(locked, holdings, cash))
        if not differences:
            return []
        for position in Position.objects.select_for_update().filter(account=locked):
            position.holding = holdings.pop(position.instrument_id, Holding())
            position.save()
        for instrument_id, holding in holdings.items():
            order = Fill.objects.filter(account=locked, instrument_id=instrument_id).latest("sequence").order
            position = Position(
                account=locked,
                instrument_id=instrument_id,
                source=order.source,
                timeframe=order.timeframe,
                adjustment=order.adjustment,
            )
            position.holding = holding
            position.save()
        locked.cash = cash
        locked.save(update_fields=["cash"])
        audit.record(
            actor=actor,
            action="account.rebuild",
            target=locked,
            after={"differences": [str(difference) for difference in differences]},
        )
    return differences


def _rebuilt(account: Account) -> tuple[dict[UUID, Holding], Decimal]:
    fills = Fill.objects.filter(account=account).order_by("sequence")
    trades = ((f.instrument_id, Trade(OrderSide(f.side), f.quantity, f.price, f.fee)) for f in fills.iterator())
    moved = CashMovement.objects.filter(account=account).values_list("amount", flat=True)
    return rebuild(trades, account.starting_cash + sum(moved, Decimal(0)))


def _differences(account: Account, holdings: dict[UUID, Holding], cash: Decimal) -> Iterator[Difference]:
    positions = {p.instrument_id: p for p in Position.objects.filter(account=account).select_related("instrument")}
    if account.cash != cash:
        yield Difference(account.name, "", "cash", account.cash, cash)
    for instrument_id in holdings.keys() | positions.keys():
        position = positions.get(instrument_id)
        stored = position.holding if position else Holding()
        rebuilt = holdings.get(instrument_id, Holding())
        symbol = position.instrument.symbol if position else str(instrument_id)
        for field in _FIELDS:
            if getattr(stored, field) != getattr(rebuilt, field):
                yield Difference(account.name, symbol, field, getattr(stored, field), getattr(rebuilt, field))
