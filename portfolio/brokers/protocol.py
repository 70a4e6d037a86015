"""What the order service asks of a broker, whichever it is.

A broker answers from its own book. `accepted` and `rejected` are only said on definitive evidence: an adapter raises
`BrokerUncertain` for a time-out, a disconnect, a 5xx or an answer it cannot read, and the order becomes `unknown`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from portfolio.choices import CashKind, OrderSide, OrderStatus, OrderType, TimeInForce
from tradingsite.common.errors import Conflict, Unavailable


class BrokerUncertain(Unavailable):
    """Nobody can say whether the broker took the request."""

    code, title = "BROKER_UNCERTAIN", "The broker's answer was lost"


class BrokerThrottled(BrokerUncertain):
    """The broker did not look at the request, for there were too many, and says when to come back."""

    code, title = "BROKER_RATE_LIMITED", "The broker takes no more requests for now"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too many requests; the broker takes some again in {retry_after_s:.1f} s.")
        self.retry_after_s = retry_after_s


class BrokerNotConfigured(Unavailable):
    """What the adapter needs is missing or unsafe; nothing was asked of the broker."""

    code, title = "BROKER_NOT_CONFIGURED", "The account's broker is not set up"


class DuplicateClientOrderId(Conflict):
    """The broker has an order of this id already and did not take another."""

    code, title = "BROKER_DUPLICATE_ORDER", "The broker has an order of this id already"


@dataclass(frozen=True)
class OrderRequest:
    """What is sent. `source`, `timeframe` and `adjustment` name the series a simulated broker fills from."""

    client_order_id: str
    symbol: str
    side: OrderSide
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    time_in_force: TimeInForce
    source: str
    timeframe: str
    adjustment: str
    market_time: datetime


@dataclass(frozen=True)
class BrokerFill:
    """One fill in the broker's book. `occurred_at` is the market's time, `fee` an amount of money."""

    venue_fill_id: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    occurred_at: datetime


@dataclass(frozen=True)
class BrokerOrder:
    """An order as the broker sees it now, with all its fills so far.

    Attributes:
        symbol, side, quantity: empty, None and 0 where it has none: legs of several symbols, or a sum of money. The desk
            makes no such order.
        filled_quantity: how much the broker says is filled, where it says so apart from the fills: those may come
            later, and until they have the order is not over. None when the fills say it all.
        order_type, time_in_force, limit_price, stop_price: in the broker's words; for orders that the desk did not make.
    """

    client_order_id: str
    venue_order_id: str
    status: OrderStatus
    symbol: str
    side: OrderSide | None
    quantity: Decimal
    code: str = ""
    detail: str = ""
    fills: tuple[BrokerFill, ...] = ()
    filled_quantity: Decimal | None = None
    order_type: str = ""
    time_in_force: str = ""
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True)
class BrokerPosition:
    """What the broker holds; `average_price` is what a unit cost when it was opened, where the broker says so."""

    symbol: str
    quantity: Decimal
    average_price: Decimal | None = None


@dataclass(frozen=True)
class BrokerAccount:
    cash: Decimal


@dataclass(frozen=True)
class BrokerCash:
    """Cash that came or went without a fill, as the broker explains it.

    Attributes:
        activity_id: the broker's own, the same each time it is told.
        amount: above zero for what came in.
        day: on which the broker booked it.
    """

    activity_id: str
    kind: CashKind
    amount: Decimal
    day: date
    detail: str


class Broker(Protocol):
    """Every method may raise BrokerUncertain."""

    refuses_duplicates: bool
    """Whether a second order of a known client id is refused by the broker itself."""

    lists_filled: bool
    """Whether `open_orders` says of each how much is filled, so that one that stands as before need not be asked for."""

    def refusal(self, request: OrderRequest) -> tuple[str, str] | None:
        """Return what the broker is known not to take, as code and detail, without asking it; None when nothing."""

    def submit(self, request: OrderRequest) -> BrokerOrder:
        """Hand an order in.

        Raises:
            DuplicateClientOrderId: where duplicates are refused.
            BrokerThrottled: when the broker did not look at it.
        """

    def cancel(self, client_order_id: str) -> BrokerOrder | None:
        """Ask for a cancel and return how the order stands then; None when the broker does not know it."""

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order as it stands now, or None when the broker does not know it."""

    def open_orders(self) -> list[BrokerOrder]:
        """Return what rests at the broker; the fills of each may be left out."""

    def positions(self) -> list[BrokerPosition]: ...

    def account(self) -> BrokerAccount: ...

    def cash_activities(self, since: date) -> list[BrokerCash]:
        """Return the fees, dividends and interest of this day and later ones, the oldest first."""
