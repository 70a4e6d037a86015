"""Reading accounts, positions, orders and the equity curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from market.models import DataSource
from portfolio.equity import PositionValue, Valuation, equity_at_day_start, paid_in, peak_of, valuation
from portfolio.errors import AccountMissing, AccountUnknown, OrderUnknown
from portfolio.facts import cash_reserved
from portfolio.ledger import divide
from portfolio.models import Account, EquitySnapshot, Fill, Order, Position

ZERO = Decimal(0)
CURVE_LIMIT = 2000


def account_default() -> Account:
    """Return the account that the desk trades in.

    Raises:
        AccountMissing: before the first set-up.
    """
    account = Account.objects.filter(is_default=True).first()
    if account is None:
        raise AccountMissing("There is no default account: run manage.py demo, or make one in the admin.")
    return account


def account_get(account_id: UUID) -> Account:
    """Return one account.

    Raises:
        AccountUnknown: when there is no such account.
    """
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        raise AccountUnknown
    return account


def accounts_traded() -> QuerySet[Account]:
    """Return the accounts that ever had a fill."""
    return Account.objects.filter(Exists(Fill.objects.filter(account=OuterRef("pk"))))


def position_quantity(account: Account, symbol: str) -> Decimal:
    """Return the signed quantity held; zero when flat."""
    held = Position.objects.filter(account=account, instrument__symbol=symbol).values_list("quantity", flat=True)
    return held.first() or ZERO


def orders_visible() -> QuerySet[Order]:
    """Return all orders with what a list of them shows, newest first."""
    return Order.objects.select_related("instrument").order_by("-created_at", "-pk")


def order_get(order_id: UUID) -> Order:
    """Return an order with its fills.

    Raises:
        OrderUnknown: when there is no such order.
    """
    order = orders_visible().select_related("account").prefetch_related("fills__instrument").filter(pk=order_id).first()
    if order is None:
        raise OrderUnknown
    return order


def fills_visible() -> QuerySet[Fill]:
    """Return all fills with what a list of them shows, newest first."""
    return Fill.objects.select_related("instrument").order_by("-pk")


def equity_curve(account: Account, *, start: datetime | None = None, limit: int = CURVE_LIMIT) -> list[EquitySnapshot]:
    """Return the newest `limit` points of the equity curve, oldest first."""
    points = EquitySnapshot.objects.filter(account=account)
    if start is not None:
        points = points.filter(at__gte=start)
    return list(reversed(points.order_by("-at")[:limit]))


def equity_history(account: Account, *, points: int) -> list[EquitySnapshot]:
    """Return the whole equity curve in at most `points` points (two at least), oldest first.

    A longer curve is thinned evenly in time: its first point, and the newest one of each of equally long stretches. That
    takes one look into the index for each of them, however long the curve is.
    """
    curve = EquitySnapshot.objects.filter(account=account)
    newest_first = list(curve.order_by("-at")[: points + 1])
    if len(newest_first) <= points:
        return newest_first[::-1]
    newest, oldest = newest_first[0], curve.earliest("at")
    count = points - 1
    step = (newest.at - oldest.at) / count
    ends = [oldest.at + step * place for place in range(count)] + [newest.at]
    kept = _newest_between(account, list(pairwise(ends)))
    return [oldest, *curve.filter(pk__in=kept).order_by("at")]


def _newest_between(account: Account, stretches: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """Return the ids of the newest points after the start and up to the end of each stretch, where it has one."""
    moment = connection.ops.adapt_datetimefield_value
    cast = "::timestamptz" if connection.vendor == "postgresql" else ""
    rows = ", ".join([f"(%s{cast}, %s{cast})"] * len(stretches))
    text = (
        f"WITH stretch (start, stop) AS (VALUES {rows}) SELECT (SELECT id FROM equity_snapshot WHERE account_id = %s "
        "AND at > stretch.start AND at <= stretch.stop ORDER BY at DESC LIMIT 1) FROM stretch"
    )
    key = EquitySnapshot._meta.get_field("account").get_db_prep_value(account.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(text, [*(moment(each) for stretch in stretches for each in stretch), key])
        return [found for (found,) in cursor.fetchall() if found is not None]


def positions(account: Account, wall: datetime) -> list[dict[str, Any]]:
    """Return the open positions at their marks, ordered by symbol; see `account_summary` for the shape."""
    return _positions(valuation(account=account, wall=wall))


def account_summary(account: Account, wall: datetime) -> dict[str, Any]:
    """Return what the account is worth at `wall`.

    Returns:
        Money as Decimal in the account's currency: `cash`, `cash_reserved` (held back by open buys), `equity`,
        `positions_value`, `gross_exposure`, `realized_pnl` (after all fees), `unrealized_pnl`, `fees`, `day_pnl`
        (against the last point before midnight, site time), `total_pnl` (against the starting cash and what was paid in
        or out since), `total_return` and `drawdown` (fractions, float; the drawdown positive, from the peak that the
        gate goes by; None where nothing is left that they could be parts of), `valued` (whether every position had a
        price) and `positions`: one mapping each with `symbol, name, quantity, average_price, cost, mark_price, mark_time, value,
        weight, unrealized_pnl, realized_pnl, fees, source, source_title, timeframe, adjustment, generated,
        historical`.
    """
    worth = valuation(account=account, wall=wall)
    equity = worth.equity
    booked = list(Position.objects.filter(account=account).values_list("realized_pnl", "fees"))
    began_with, peak = paid_in(account), peak_of(account, equity)
    return {
        "account_id": account.pk,
        "name": account.name,
        "currency": account.currency,
        "mode": account.mode,
        "as_of": wall,
        "starting_cash": account.starting_cash,
        "cash": account.cash,
        "cash_reserved": cash_reserved(account=account),
        "equity": equity,
        "positions_value": worth.positions_value,
        "gross_exposure": worth.gross_exposure,
        "realized_pnl": sum((realized for realized, _ in booked), ZERO),
        "unrealized_pnl": worth.unrealized_pnl,
        "fees": sum((fees for _, fees in booked), ZERO),
        "day_pnl": equity - equity_at_day_start(account),
        "total_pnl": equity - began_with,
        "total_return": float(equity / began_with - 1) if began_with > 0 else None,
        "drawdown": float(1 - equity / peak) if peak > 0 else None,
        "valued": worth.complete,
        "positions": _positions(worth),
    }


@dataclass(frozen=True)
class Standing:
    """What an account is worth beside what it was: at the start of the trading day, and at its highest.

    Attributes:
        complete: whether every position had a price.
    """

    equity: Decimal
    gross_exposure: Decimal
    day_began_with: Decimal
    peak: Decimal
    complete: bool

    @property
    def day_pnl(self) -> Decimal:
        return self.equity - self.day_began_with


def account_standing(account: Account, wall: datetime) -> Standing:
    """Return where an account stands at `wall`, in its currency, by the same rules as `account_summary`."""
    worth = valuation(account=account, wall=wall)
    return Standing(
        worth.equity, worth.gross_exposure, equity_at_day_start(account), peak_of(account, worth.equity), worth.complete
    )


def _positions(worth: Valuation) -> list[dict[str, Any]]:
    slugs = {holding.position.source for holding in worth.holdings}
    sources = {source.slug: source for source in DataSource.objects.filter(slug__in=slugs)} if slugs else {}
    rows = [_position(holding, worth, sources.get(holding.position.source)) for holding in worth.holdings]
    return sorted(rows, key=lambda row: str(row["symbol"]))


def _position(holding: PositionValue, worth: Valuation, source: DataSource | None) -> dict[str, Any]:
    position = holding.position
    return {
        "symbol": position.instrument.symbol,
        "name": position.instrument.name,
        "quantity": position.quantity,
        "average_price": position.average_price,
        "cost": position.cost,
        "mark_price": holding.mark,
        "mark_time": holding.mark_time,
        "value": holding.value,
        "weight": float(divide(holding.value, worth.equity)) if worth.equity > 0 else None,
        "unrealized_pnl": holding.unrealized_pnl,
        "realized_pnl": position.realized_pnl,
        "fees": position.fees,
        "source": position.source,
        "source_title": source.title if source else position.source,
        "timeframe": position.timeframe,
        "adjustment": position.adjustment,
        "generated": bool(source and source.generated),
        "historical": bool(source and source.clock == "historical"),
    }
