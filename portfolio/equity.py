"""What an account is worth: marks, valuation and the points of the equity curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from market import selectors as market
from portfolio.choices import CashKind
from portfolio.ledger import amount
from portfolio.models import Account, CashMovement, EquitySnapshot, Position
from safety import selectors as safety
from tradingsite.common.errors import NotFound

ZERO = Decimal(0)


@dataclass(frozen=True)
class PositionValue:
    """A position at a price. Without a mark it is held at its average price, and `mark` is None."""

    position: Position
    mark: Decimal | None
    mark_time: datetime | None

    @property
    def price(self) -> Decimal:
        return self.position.average_price if self.mark is None else self.mark

    @property
    def value(self) -> Decimal:
        """Signed: negative for a short position."""
        return amount(self.position.quantity, self.price)

    @property
    def unrealized_pnl(self) -> Decimal:
        return ZERO if self.mark is None else self.value - self.position.cost


@dataclass(frozen=True)
class Valuation:
    """An account at a moment; `complete` says whether every position had a price."""

    cash: Decimal
    holdings: Sequence[PositionValue]

    @property
    def positions_value(self) -> Decimal:
        return sum((holding.value for holding in self.holdings), ZERO)

    @property
    def equity(self) -> Decimal:
        return self.cash + self.positions_value

    @property
    def gross_exposure(self) -> Decimal:
        return sum((abs(holding.value) for holding in self.holdings), ZERO)

    @property
    def unrealized_pnl(self) -> Decimal:
        return sum((holding.unrealized_pnl for holding in self.holdings), ZERO)

    @property
    def complete(self) -> bool:
        return all(holding.mark is not None for holding in self.holdings)


def mark_of(
    *, symbol: str, source: str | None, timeframe: str, adjustment: str | None, wall: datetime
) -> market.PricePoint | None:
    """Return the last price of a series known at `wall`; None when the series is gone, empty or has none yet."""
    try:
        return market.mark_price(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment, wall=wall)
    except NotFound:
        return None


def valuation(*, account: Account, wall: datetime) -> Valuation:
    """Return the account's cash and its open positions at their marks. Two queries, however many positions."""
    positions = list(Position.objects.filter(account=account).exclude(quantity=0).select_related("instrument"))
    names = {position.pk: _series_of(position) for position in positions}
    marks = market.mark_prices(set(names.values()), wall=wall)
    holdings = []
    for position in positions:
        point = marks.get(names[position.pk])
        holdings.append(
            PositionValue(position, None if point is None else point.price, None if point is None else point.time)
        )
    return Valuation(account.cash, tuple(holdings))


def equity_at_day_start(account: Account) -> Decimal:
    """Return what the account was worth when this trading day began: its last point before midnight, desk time.

    Cash that came or went since is in it, since it was neither won nor lost.
    """
    before = EquitySnapshot.objects.filter(account=account, at__lt=safety.day_start()).order_by("-at").first()
    if before is None:
        return paid_in(account)
    worth: Decimal = before.equity
    return worth + _moved(account.cash_movements.filter(recorded_at__gt=before.at))


def paid_in(account: Account) -> Decimal:
    """Return what the account began with and what has come or gone since without being won or lost."""
    began_with: Decimal = account.starting_cash
    return began_with + _moved(account.cash_movements.all())


def peak_of(account: Account, equity: Decimal) -> Decimal:
    """Return the equity from which a drawdown of the account is measured, on the page, by alert rules and at the gate."""
    breaker = safety.breaker_of(account.pk)
    return max(paid_in(account) if breaker is None else breaker.smoothed_peak, equity)


def _moved(movements: QuerySet[CashMovement]) -> Decimal:
    """Return what came or went without being won or lost: fees, dividends and interest are."""
    return sum(movements.filter(kind=CashKind.MOVED).values_list("amount", flat=True), ZERO)


def _series_of(position: Position) -> market.SeriesName:
    return market.SeriesName(position.instrument.symbol, position.source, position.timeframe, position.adjustment)


def equity_record(*, account: Account, wall: datetime, at_most_every_s: float = 60) -> EquitySnapshot | None:
    """Add a point to the account's equity curve.

    Args:
        at_most_every_s: adds nothing when the newest point is younger than this.

    Returns:
        The point, or None when there was one already or a position has no price: a curve holds no guesses.
    """
    if at_most_every_s:
        newest = EquitySnapshot.objects.filter(account=account).order_by("-at").values_list("at", flat=True).first()
        if newest is not None and wall - newest < timedelta(seconds=at_most_every_s):
            return None
    worth = valuation(account=account, wall=wall)
    if not worth.complete:
        return None
    with transaction.atomic():
        snapshot, _ = EquitySnapshot.objects.update_or_create(
            account=account,
            at=wall,
            defaults={"cash": worth.cash, "positions_value": worth.positions_value, "equity": worth.equity},
        )
    return snapshot
