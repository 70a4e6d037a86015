"""The words of the order path, and which status may follow which."""

from collections.abc import Mapping

from django.db.models import TextChoices


class OrderSide(TextChoices):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is OrderSide.BUY else -1


class OrderType(TextChoices):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class TimeInForce(TextChoices):
    """How long an order rests: to the end of the session of its exchange, or until somebody cancels it."""

    DAY = "day"
    GTC = "gtc", "Good till cancelled"


class OrderOrigin(TextChoices):
    """Who made an order: the desk, or somebody at the broker whose doing the reconciliation took over."""

    DESK = "desk"
    BROKER = "broker"


class OrderPurpose(TextChoices):
    """What a plan meant an order to do. It is held against the position at the moment of the order."""

    OPEN = "open", "Open a position where there is none"
    CLOSE = "close", "Make a position smaller"


class TradingMode(TextChoices):
    PAPER = "paper"
    LIVE = "live"


class BrokerKind(TextChoices):
    PAPER = "paper"
    ALPACA = "alpaca"


class CashKind(TextChoices):
    """Why cash came or went without a fill. What the broker explains is won or lost; what it does not was moved."""

    MOVED = "moved", "Moved, unexplained"
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"


class OrderStatus(TextChoices):
    """Where an order stands. *Denied* is ours, *rejected* is the broker's; both carry a code."""

    PENDING = "pending"
    DENIED = "denied"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


S = OrderStatus

# pending: intent committed, never sent. submitted: claimed by the one process that may send it, so it may have reached
# the broker. unknown: sent, and the answer was lost. Whatever may have been sent leaves its state only on the broker's
# word, but for two: the claimer itself denies when the kill switch closes before the call, and an order that the broker
# does not know after `NOT_SENT_AFTER` is cancelled. A cancelled or expired order may still be filled by a fill that was
# under way.
TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    S.PENDING: frozenset({S.SUBMITTED, S.CANCELLED}),
    S.SUBMITTED: frozenset(
        {S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELLED, S.EXPIRED, S.DENIED, S.UNKNOWN}
    ),
    S.UNKNOWN: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELLED, S.EXPIRED}),
    S.ACCEPTED: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELLED, S.EXPIRED}),
    S.PARTIALLY_FILLED: frozenset({S.FILLED, S.REJECTED, S.CANCELLED, S.EXPIRED}),
    S.CANCELLED: frozenset({S.FILLED}),
    S.DENIED: frozenset(),
    S.FILLED: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset({S.FILLED}),
}

OPEN = frozenset({S.PENDING, S.SUBMITTED, S.UNKNOWN, S.ACCEPTED, S.PARTIALLY_FILLED})
"""Statuses in which an order may still be filled, and so holds cash or quantity back."""


def may_follow(old: str, new: str) -> bool:
    """Say whether an order may go from `old` to `new`; staying where it is is no change."""
    return old == new or OrderStatus(new) in TRANSITIONS[OrderStatus(old)]


class SizingMethod(TextChoices):
    EQUITY_FRACTION = "equity_fraction"
    NOTIONAL = "notional"
    QUANTITY = "quantity"
    ALL_IN = "all_in"


class RebalanceStatus(TextChoices):
    """Whether a rebalance has legs left to send. What became of its orders is theirs to tell."""

    RUNNING = "running"
    COMPLETED = "completed"
