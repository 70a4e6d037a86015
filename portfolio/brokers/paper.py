"""The paper broker: a book of its own, filled from the market's prices by the same rules as the backtest.

A market order fills at the first price at or after the moment it was handed in (for bars: the next open), with
slippage; a limit order fills at an open at or beyond its limit, or at the limit itself within a bar whose range reaches
it. An order fills whole. The fee is a fraction of the filled notional.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db import IntegrityError, transaction

from market import selectors as market
from market.bars import Bars
from market.errors import SeriesEmpty
from market.prices import price_decimal
from portfolio.brokers.protocol import (
    BrokerAccount,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    DuplicateClientOrderId,
    OrderRequest,
)
from portfolio.choices import OrderSide, OrderStatus, OrderType
from portfolio.ledger import Holding, Trade, fill_fee, rebuild, slipped_price
from portfolio.models import Account, PaperFill, PaperOrder
from tradingsite.common.errors import NotFound

_TICK = timedelta(microseconds=1)
_QUOTES_PER_LOOK = 2000


@dataclass(frozen=True)
class _Match:
    price: Decimal
    time: datetime


class PaperBroker:
    """The book of one account, as it stands at `wall`."""

    refuses_duplicates = True

    def __init__(self, account: Account, *, wall: datetime) -> None:
        self._account = account
        self._wall = wall

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
        return [BrokerPosition(symbol, held.quantity) for symbol, held in sorted(holdings.items()) if held.quantity]

    def account(self) -> BrokerAccount:
        """Return the starting cash and what the book's fills made of it."""
        return BrokerAccount(self._rebuilt()[1])

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
            match = self._market_match(row) if row.type == OrderType.MARKET else self._limit_match(row)
        except NotFound:
            # The series is gone or empty: no price, so the order rests until there is one again or it is cancelled.
            return
        if match is None:
            row.save(update_fields=["bars_seen_until", "quotes_seen_until"])
            return
        PaperFill.objects.create(
            venue_fill_id=f"paper-{row.id}-1",
            order=row,
            quantity=row.quantity,
            price=match.price,
            fee=fill_fee(match.price, row.quantity, row.fee_rate),
            occurred_at=match.time,
        )
        row.status = OrderStatus.FILLED
        row.save(update_fields=["status", "bars_seen_until", "quotes_seen_until"])

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

    def _limit_match(self, row: PaperOrder) -> _Match | None:
        """Look first at complete bars, whose range is known, then at quotes of the bar that is still forming."""
        bars = self._complete_bars(row)
        if bars is not None and len(bars):
            for index in range(len(bars)):
                match = _bar_match(row, bars, index)
                if match is not None:
                    return match
            row.bars_seen_until = bars.opened_at(-1) + _TICK
        row.quotes_seen_until = max(row.quotes_seen_until, row.bars_seen_until)
        for _ in range(_QUOTES_PER_LOOK):
            point = self._next_price(row, row.quotes_seen_until)
            if point is None:
                return None
            price = _price_at_open(row, point.price)
            if price is not None:
                return _Match(price, point.time)
            row.quotes_seen_until = point.time + _TICK
        return None


def _bar_match(row: PaperOrder, bars: Bars, index: int) -> _Match | None:
    values = (bars.open[index], bars.high[index], bars.low[index])
    if not all(np.isfinite(values)):
        return None
    opened, high, low = (price_decimal(float(value)) for value in values)
    price = _price_at_open(row, opened)
    limit = row.limit_price
    if price is None and limit is not None and (low <= limit if row.side == OrderSide.BUY else high >= limit):
        price = limit
    return None if price is None else _Match(price, bars.opened_at(index))


def _price_at_open(row: PaperOrder, price: Decimal) -> Decimal | None:
    """The fill price at a price that stands: with slippage, yet never worse than the limit; None beyond the limit."""
    side = OrderSide(row.side)
    limit: Decimal | None = row.limit_price
    if limit is None or side.sign * (limit - price) < 0:
        return None
    slipped = slipped_price(price, side, row.slippage)
    return min(slipped, limit) if side is OrderSide.BUY else max(slipped, limit)


def _view(row: PaperOrder) -> BrokerOrder:
    fills = tuple(
        BrokerFill(fill.venue_fill_id, fill.price, fill.quantity, fill.fee, fill.occurred_at)
        for fill in row.fills.all()
    )
    return BrokerOrder(
        client_order_id=row.client_order_id,
        venue_order_id=f"paper-{row.id}",
        status=OrderStatus(row.status),
        symbol=row.symbol,
        side=OrderSide(row.side),
        quantity=row.quantity,
        fills=fills,
    )
