"""What differs between the desk's books of an account and its broker's. Pure: plain data in, differences out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import combinations

ZERO = Decimal(0)
CENT = Decimal("0.01")

TRIED_TOGETHER = 10
"""Of so many activities every selection is tried, which are a thousand; there is seldom more than one in a day."""


class Mismatch(StrEnum):
    """The kinds of difference. Each blocks the account by its own name, which is part of the API contract."""

    ORDER_UNKNOWN_TO_DESK = "ORDER_UNKNOWN_TO_DESK"
    ORDER_UNKNOWN_TO_BROKER = "ORDER_UNKNOWN_TO_BROKER"
    ORDER_OPEN_AT_BROKER = "ORDER_OPEN_AT_BROKER"
    ORDER_FILLS_DIFFER = "ORDER_FILLS_DIFFER"
    POSITION_DIFFERS = "POSITION_DIFFERS"
    CASH_DIFFERS = "CASH_DIFFERS"


UNREACHABLE = "BROKER_UNREACHABLE"
"""The broker gave no answer that could be read, so nobody knows whether the books agree."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        what: a client order id, a symbol, or empty for the cash.
        desk, broker: what either says; quantities and amounts of money as decimals, else words.
    """

    kind: Mismatch
    what: str
    desk: Decimal | str
    broker: Decimal | str

    def __str__(self) -> str:
        name = f"{self.what}: " if self.what else ""
        return f"{name}{_plain(self.desk)} here, {_plain(self.broker)} at the broker"


@dataclass(frozen=True)
class DeskBook:
    """The desk's books; `orders` are all of the account that the broker's may name, open or not, by client order id.

    Attributes:
        lost: open orders that the broker says it does not have, though it had accepted them.
        late: closed orders for which fills have come since.
    """

    cash: Decimal
    positions: Mapping[str, Decimal]
    orders: Mapping[str, bool]
    lost: Sequence[str] = ()
    late: Sequence[str] = ()


@dataclass(frozen=True)
class BrokerBook:
    """The broker's books: its cash, positions by symbol, and the client order ids that are open there."""

    cash: Decimal
    positions: Mapping[str, Decimal]
    open_orders: Sequence[str]


def compare_orders(desk: DeskBook, broker: BrokerBook) -> list[Difference]:
    """Return the orders that only one side has open."""
    found = []
    for name in broker.open_orders:
        if name not in desk.orders:
            found.append(Difference(Mismatch.ORDER_UNKNOWN_TO_DESK, name, "unknown", "open"))
        elif not desk.orders[name]:
            found.append(Difference(Mismatch.ORDER_OPEN_AT_BROKER, name, "closed", "open"))
    found += [Difference(Mismatch.ORDER_UNKNOWN_TO_BROKER, name, "open", "unknown") for name in desk.lost]
    found += [Difference(Mismatch.ORDER_FILLS_DIFFER, name, "closed", "filled since") for name in desk.late]
    return found


def compare_positions(desk: DeskBook, broker: BrokerBook) -> list[Difference]:
    """Return the symbols of which the two hold different quantities."""
    pairs = (
        (symbol, desk.positions.get(symbol, ZERO), broker.positions.get(symbol, ZERO))
        for symbol in sorted(desk.positions.keys() | broker.positions.keys())
    )
    return [
        Difference(Mismatch.POSITION_DIFFERS, symbol, here, there) for symbol, here, there in pairs if here != there
    ]


def compare_cash(here: Decimal, there: Decimal, tolerance: Decimal) -> list[Difference]:
    """Return the cash where it differs by more than `tolerance`."""
    return [Difference(Mismatch.CASH_DIFFERS, "", here, there)] if abs(here - there) > tolerance else []


@dataclass(frozen=True)
class Booked:
    """Cash that the broker explains and the desk has not taken yet: by its id, what it came to and when."""

    activity_id: str
    amount: Decimal
    day: date


def explaining(difference: Decimal, booked: Sequence[Booked], agreed_on: date, tolerance: Decimal) -> list[Booked]:
    """Return what explains a difference of the cash, there less here.

    The most of the newest ones that together come to it to the cent; else all since the books last agreed, so that what is left is what
    nobody explains. What was booked on the day of that agreement, or before it, may be in the books already: it counts
    only where it fits to the cent. A difference within the tolerance is never made larger.

    Args:
        booked: the oldest first.
        agreed_on: the day on which the cash was last known to agree.
        tolerance: up to which a difference blocks nothing.
    """
    newest = booked[-TRIED_TOGETHER:]
    for size in range(len(newest), 0, -1):
        for some in combinations(newest, size):
            if abs(difference - _sum(some)) < CENT:
                return list(some)
    since = [each for each in booked if each.day > agreed_on]
    nearer = abs(difference - _sum(since)) < abs(difference)
    return since if nearer or abs(difference) > tolerance else []


def _sum(booked: Sequence[Booked]) -> Decimal:
    return sum((each.amount for each in booked), ZERO)


def _plain(value: Decimal | str) -> str:
    return value if isinstance(value, str) else f"{value.normalize():f}"
