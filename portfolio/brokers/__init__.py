"""Brokers behind one protocol. Only the order service imports this package."""

from datetime import datetime

from portfolio.brokers.paper import PaperBroker
from portfolio.brokers.protocol import (
    Broker,
    BrokerAccount,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    BrokerUncertain,
    DuplicateClientOrderId,
    OrderRequest,
)
from portfolio.choices import BrokerKind
from portfolio.models import Account


def broker_for(account: Account, *, wall: datetime) -> Broker:
    """Return the broker that carries `account`.

    Args:
        wall: the moment by which a simulated broker knows prices.
    """
    match BrokerKind(account.broker):
        case BrokerKind.PAPER:
            return PaperBroker(account, wall=wall)


__all__ = [
    "Broker",
    "BrokerAccount",
    "BrokerFill",
    "BrokerOrder",
    "BrokerPosition",
    "BrokerUncertain",
    "DuplicateClientOrderId",
    "OrderRequest",
    "broker_for",
]
