"""Brokers behind one protocol. Only the order service imports this package."""

from datetime import datetime

from portfolio.brokers.alpaca import alpaca_broker
from portfolio.brokers.paper import PaperBroker
from portfolio.brokers.protocol import (
    Broker,
    BrokerAccount,
    BrokerCash,
    BrokerFill,
    BrokerNotConfigured,
    BrokerOrder,
    BrokerPosition,
    BrokerThrottled,
    BrokerUncertain,
    DuplicateClientOrderId,
    OrderRequest,
)
from portfolio.brokers.requests import request_for
from portfolio.choices import BrokerKind
from portfolio.models import Account


def broker_for(account: Account, *, wall: datetime) -> Broker:
    """Return the broker that carries `account`.

    Args:
        wall: the moment by which a simulated broker knows prices.

    Raises:
        BrokerNotConfigured: when the settings do not say how to reach it.
    """
    match BrokerKind(account.broker):
        case BrokerKind.PAPER:
            return PaperBroker(account, wall=wall)
        case BrokerKind.ALPACA:
            return alpaca_broker(account)


__all__ = [
    "Broker",
    "BrokerAccount",
    "BrokerCash",
    "BrokerFill",
    "BrokerNotConfigured",
    "BrokerOrder",
    "BrokerPosition",
    "BrokerThrottled",
    "BrokerUncertain",
    "DuplicateClientOrderId",
    "OrderRequest",
    "broker_for",
    "request_for",
]
