"""The paper broker: a book of its own, filled from the market's prices by the same rules as the backtest.

An order is held against every price from the moment it was handed in: the open of each later bar, its range once it is
complete, and the quotes of a market that has them; `matching` says at which it fills. An order fills whole. The fee is a
fraction of the filled notional. A day order that no price of its session filled expires with the session.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db import IntegrityError, transaction

from market import selectors as market
from market.bars import Bars, from_ns
from market.calendars import calendar
from market.errors import SeriesEmpty
from market.prices import price_decimal
from market.timeframes import bar_ends
from portfolio.brokers.matching import Terms, price_at, price_within
from portfolio.brokers.protocol import (
    BrokerAccount,
    BrokerCash,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    DuplicateClientOrderId,
    OrderRequest,
)
from portfolio.choices import OrderSide, OrderStatus, OrderType, TimeInForce
from portfolio.errors import DAY_ENDED
from portfolio.ledger import Holding, Trade, fill_fee, rebuild, slipped_price
from portfolio.models import Account, PaperFill, PaperOrder
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import NotFound

_TICK = timedelta(microseconds=1)
_QUOTES_PER_LOOK = 2000
_PRICES_LATE_BY = timedelta(days=1)


@dataclass(frozen=True)
class _Match:
    price: Decimal
    time: datetime


class PaperBroker:
    """The book of one account, as it stands at `wall`."""

    refuses_duplicates = True
    lists_filled = False  # an order is filled when it is looked at

    def __init__(self, account: Account, *, wall: datetime) -> None:
        self._account = account
        self._wall = wall

    def refusal(self, request: OrderRequest) -> tuple[str, str] | None:
        """Return None: the gate has looked at everything that this book would mind."""
        return None

    def submit(self, request: OrderRequest) -> BrokerOrder:
        """Take the order into the book, and fill it when its price is there already.

        Raises:
            DuplicateClientOrderId: when the book has an order of this id.
        """
        try:
            with transaction.atomic():
                PaperOrder.objects.create(
                    client_order_id=request.client_order_id,
                    account=self._account,
                    symbol=request.symbol,
                    side=request.side,
                    type=request.order_type,
                    quantity=request.quantity,
                    limit_price=request.limit_price,
                    stop_price=request.stop_price,
                    time_in_force=request.time_in_force,
                    expires_at=self._expiry(request),
                    fee_rate=self._account.fee_rate,
                    slippage=self._account.slippage,
                    source=request.source,
                    timeframe=request.timeframe,
                    adjustment=request.adjustment,
                    market_time=request.market_time,
                    bars_seen_until=request.market_time,
                    quotes_seen_until=request.market_time,
                )
        except IntegrityError:
            if self._row(request.client_order_id) is None:
                raise
            raise DuplicateClientOrderId(f"The book has {request.client_order_id} already.") from None
        return self._worked(request.client_order_id)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, filled first when its price has come; None when the book does not have it."""
        return None if self._row(client_order_id) is None else self._worked(client_order_id)

    def cancel(self, client_order_id: str) -> BrokerOrder | None:
        """Take the order out of the book unless it is filled; None when the book does not have it."""
        with transaction.atomic():
            row = PaperOrder.objects.select_for_update().filter(client_order_id=client_order_id).first()
            if row is None:
                return None
            if row.status == OrderStatus.ACCEPTED:
                row.status = OrderStatus.CANCELLED
                row.save(update_fields=["status"])
        return _view(row)

    def open_orders(self) -> list[BrokerOrder]:
        """Return what rests in the book."""
        rows = PaperOrder.objects.filter(account=self._account, status=OrderStatus.ACCEPTED)
        return [_view(row) for row in rows.order_by("created_at").prefetch_related("fills")]

    def positions(self) -> list[BrokerPosition]:
        """Return what the book's fills add up to, flat positions left out."""
        holdings, _ = self._rebuilt()
        return [
            BrokerPosition(symbol, held.quantity, held.average_price)
            for symbol, held in sorted(holdings.items())
            if held.quantity
        ]

    def account(self) -> BrokerAccount:
        """Return the starting cash and what the book's fills made of it."""
        return BrokerAccount(self._rebuilt()[1])

    def cash_activities(self, since: date) -> list[BrokerCash]:
        """Return nothing: the fees of this book stand in its fills, and it pays no dividends."""
        return []

    def _rebuilt(self) -> tuple[dict[str, Holding], Decimal]:
        fills = PaperFill.objects.filter(order__account=self._account).select_related("order").order_by("id")
        trades = ((f.order.symbol, Trade(OrderSide(f.order.side), f.quantity, f.price, f.fee)) for f in fills)
        return rebuild(trades, self._account.starting_cash)

    def _row(self, client_order_id: str) -> PaperOrder | None:
        return PaperOrder.objects.filter(client_order_id=client_order_id).first()

    def _worked(self, client_order_id: str) -> BrokerOrder:
        with transaction.atomic():
            row = PaperOrder.objects.select_for_update().get(client_order_id=client_order_id)
            if row.status == OrderStatus.ACCEPTED:
                self._work(row)
        return _view(row)

    def _work(self, row: PaperOrder) -> None:
        try:
            match = self._market_match(row) if row.type == OrderType.MARKET else self._priced_match(row)
            if match is not None and row.expires_at is not None and match.time >= row.expires_at:
                match = None
            over = match is None and self._is_over(row)
        except NotFound:
            # The series is gone or empty: no price, so the order rests until there is one again or it is cancelled.
            match, over = None, False
        if match is not None:
            PaperFill.objects.create(
                venue_fill_id=f"paper-{row.id}-1",
                order=row,
                quantity=row.quantity,
                price=match.price,
                fee=fill_fee(match.price, row.quantity, row.fee_rate),
                occurred_at=match.time,
            )
            row.status = OrderStatus.FILLED
        elif over:
            row.status = OrderStatus.EXPIRED
        row.save(update_fields=["status", "bars_seen_until", "quotes_seen_until"])

    def _is_over(self, row: PaperOrder) -> bool:
        """Say whether nothing can fill a day order any more: its session is over, and its prices are known.

        Where prices are imported they may come hours after the session. They are waited for, for a day of the market.
        """
        if row.expires_at is None:
            return False
        named = {name: getattr(row, name) for name in ("symbol", "source", "timeframe", "adjustment")}
        now = market.market_now(series=market.series_get(**named), wall=self._wall)
        if now >= row.expires_at + _PRICES_LATE_BY:
            return True
        bars = market.complete_bars(**named, wall=self._wall, limit=1)
        exchange = calendar(market.instrument_get(row.symbol).exchange)
        return from_ns(int(bar_ends(bars.time[-1:], row.timeframe, exchange)[0])) >= row.expires_at

    def _expiry(self, request: OrderRequest) -> datetime | None:
        """Return the end of the session that runs, or of the next one, by the calendar of the exchange."""
        if request.time_in_force is not TimeInForce.DAY:
            return None
        return calendar(market.instrument_get(request.symbol).exchange).next_close(request.market_time)

    def _next_price(self, row: PaperOrder, after: datetime) -> market.PricePoint | None:
        return market.next_price(
            symbol=row.symbol,
            source=row.source,
            timeframe=row.timeframe,
            adjustment=row.adjustment,
            after=after,
            wall=self._wall,
        )

    def _complete_bars(self, row: PaperOrder) -> Bars | None:
        try:
            bars = market.complete_bars(
                symbol=row.symbol,
                source=row.source,
                timeframe=row.timeframe,
                adjustment=row.adjustment,
                wall=self._wall,
            )
        except SeriesEmpty:
            return None
        return bars.since(row.bars_seen_until)

    def _market_match(self, row: PaperOrder) -> _Match | None:
        point = self._next_price(row, row.market_time)
        if point is None:
            return None
        return _Match(slipped_price(point.price, OrderSide(row.side), row.slippage), point.time)

    def _priced_match(self, row: PaperOrder) -> _Match | None:
        """Look first at complete bars, whose range is known, then at quotes of the bar that is still forming."""
        terms = Terms(OrderSide(row.side), OrderType(row.type), row.limit_price, row.stop_price, row.slippage)
        bars = self._complete_bars(row)
        if bars is not None and len(bars):
            for index in range(len(bars)):
                match = _bar_match(terms, bars, index)
                if match is not None:
                    return match
            row.bars_seen_until = bars.opened_at(-1) + _TICK
        row.quotes_seen_until = max(row.quotes_seen_until, row.bars_seen_until)
        for _ in range(_QUOTES_PER_LOOK):
            point = self._next_price(row, row.quotes_seen_until)
            if point is None:
                return None
            price = price_at(terms, point.price)
            if price is not None:
                return _Match(price, point.time)
            row.quotes_seen_until = point.time + _TICK
        return None


def _bar_match(terms: Terms, bars: Bars, index: int) -> _Match | None:
    values = (bars.open[index], bars.high[index], bars.low[index])
    if not all(np.isfinite(values)):
        return None
    opened, high, low = (price_decimal(float(value)) for value in values)
    price = price_within(terms, opened=opened, high=high, low=low)
    return None if price is None else _Match(price, bars.opened_at(index))


def _view(row: PaperOrder) -> BrokerOrder:
    fills = tuple(
        BrokerFill(fill.venue_fill_id, fill.price, fill.quantity, fill.fee, fill.occurred_at)
        for fill in row.fills.all()
    )
    expired = row.status == OrderStatus.EXPIRED
    return BrokerOrder(
        client_order_id=row.client_order_id,
        venue_order_id=f"paper-{row.id}",
        status=OrderStatus(row.status),
        symbol=row.symbol,
        side=OrderSide(row.side),
        quantity=row.quantity,
        code=DAY_ENDED if expired else "",
        detail=f"Its session ended at {rfc3339(row.expires_at)}." if expired and row.expires_at else "",
        fills=fills,
    )
