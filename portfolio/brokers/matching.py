"""At which price an order fills, by the rules of the backtest. Pure: prices in, a price or nothing out.

A market order fills at the price that stands. A limit order fills at a price at or beyond its limit, never worse than
it. A stop order becomes a market order once the market trades at its stop or beyond. Slippage is against the trader.
"""

from dataclasses import dataclass
from decimal import Decimal

from portfolio.choices import OrderSide, OrderType
from portfolio.ledger import slipped_price


@dataclass(frozen=True)
class Terms:
    """What an order asks for; `slippage` is a fraction of the price."""

    side: OrderSide
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    slippage: Decimal


def price_at(terms: Terms, price: Decimal) -> Decimal | None:
    """Return what the order fills at while the market trades at `price`; None when it does not."""
    slipped = slipped_price(price, terms.side, terms.slippage)
    limit, stop = terms.limit_price, terms.stop_price
    if terms.order_type is OrderType.LIMIT:
        if limit is None or terms.side.sign * (limit - price) < 0:
            return None
        return min(slipped, limit) if terms.side is OrderSide.BUY else max(slipped, limit)
    if terms.order_type is OrderType.STOP and (stop is None or terms.side.sign * (price - stop) < 0):
        return None
    return slipped


def price_within(terms: Terms, *, opened: Decimal, high: Decimal, low: Decimal) -> Decimal | None:
    """Return what the order fills at within a bar whose range is known; None when the range does not reach it.

    At the open where that is good enough already. Else at the limit itself; or at the stop, with slippage.
    """
    found = price_at(terms, opened)
    if found is not None:
        return found
    if terms.order_type is OrderType.LIMIT and terms.limit_price is not None:
        reached = low <= terms.limit_price if terms.side is OrderSide.BUY else high >= terms.limit_price
        return terms.limit_price if reached else None
    if terms.order_type is OrderType.STOP and terms.stop_price is not None:
        reached = high >= terms.stop_price if terms.side is OrderSide.BUY else low <= terms.stop_price
        return slipped_price(terms.stop_price, terms.side, terms.slippage) if reached else None
    return None
