"""What is sent for an order."""

from portfolio.brokers.protocol import OrderRequest
from portfolio.choices import OrderSide, OrderType, TimeInForce
from portfolio.models import Order


def request_for(order: Order) -> OrderRequest:
    """Return the order as its broker is asked for it."""
    return OrderRequest(
        client_order_id=order.client_order_id,
        symbol=order.instrument.symbol,
        side=OrderSide(order.side),
        order_type=OrderType(order.type),
        quantity=order.quantity,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        time_in_force=TimeInForce(order.time_in_force),
        source=order.source,
        timeframe=order.timeframe,
        adjustment=order.adjustment,
        market_time=order.submitted_market_time or order.created_at,
    )
