"""What the order path refuses, and the codes of orders that ended without a fill."""

from django.db import DataError, IntegrityError

from tradingsite.common.errors import AppError, Conflict, NotFound

OF_ONE_ORDER = (AppError, OSError, DataError, IntegrityError, ArithmeticError)
"""What may go wrong with one order and must keep no other from being settled, cancelled or closed: the broker does not
answer for it, or tells of it what no column holds. A database that is away concerns them all, and is not among these."""

NOT_SENT = "NOT_SENT"
"""The order was never sent, or the broker does not know it after the time in which it would have arrived."""

ACCOUNT_MODE_MISMATCH = "ACCOUNT_MODE_MISMATCH"
"""A live order on a paper account, or the other way round."""

CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
"""The instrument is priced in another currency than the account's; the desk changes no money."""

PRICE_SERIES_MISMATCH = "PRICE_SERIES_MISMATCH"
"""The position was opened at the prices of another source or adjustment: the profit would be that of no trade."""

PRICES_GENERATED = "PRICES_GENERATED"
"""The order would open a position at a real broker, and the prices it was decided and measured by are invented."""

LOST_AT_BROKER = "LOST_AT_BROKER"
"""The broker had accepted the order and no longer knows it."""

TAKEN_OVER = "TAKEN_OVER"
"""Traded at the broker, outside the desk, and taken over by a reconciliation."""

BROKER_REJECTED = "BROKER_REJECTED"
"""The broker refused the order; the detail has its own words and code."""

BROKER_QUANTITY_PRECISION = "BROKER_QUANTITY_PRECISION"
BROKER_FRACTION_NEEDS_DAY = "BROKER_FRACTION_NEEDS_DAY"
BROKER_PRICE_INCREMENT = "BROKER_PRICE_INCREMENT"
"""The account's broker takes no such quantity or price; the desk denies the order instead of sending it."""

REPLACED_AT_BROKER = "REPLACED_AT_BROKER"
"""Somebody replaced the order at the broker, outside the desk."""

DAY_ENDED = "DAY_ENDED"
"""A day order whose session ended before it was filled to the last share."""

OVERFILLED = "OVERFILLED"
"""The broker filled more than was ordered. The fills stand, since the shares are there; somebody must look."""

FILL_CONFLICT = "FILL_CONFLICT"
"""The broker told of a fill that cannot be: without a quantity or price, or other than it told before. Not taken."""

POSITION_CHANGED = "POSITION_CHANGED"
"""The order was planned to open a position where there is one by now, or to close one that is no longer there."""


class AccountMissing(Conflict):
    code, title = "ACCOUNT_MISSING", "The desk has no account yet"


class AccountUnknown(NotFound):
    code, title = "ACCOUNT_UNKNOWN", "There is no such account"


class AccountInUse(Conflict):
    code, title = "ACCOUNT_IN_USE", "The account's ledger rests on this"


class BrokerTaken(Conflict):
    """Carries `account_id` and `account` of the one that has it, in the problem document."""

    code, title = "BROKER_TAKEN", "Another account of the desk has this account at the broker"


class OrderUnknown(NotFound):
    code, title = "ORDER_UNKNOWN", "There is no such order"


class ClientOrderIdReused(Conflict):
    code, title = "CLIENT_ORDER_ID_REUSED", "This client order id belongs to an order with another content"


class OrderNotOpen(Conflict):
    code, title = "ORDER_NOT_OPEN", "The order is no longer open"


class OrderTransitionRefused(AppError):
    """A programming error made visible: the table of transitions does not hold this step."""

    code, status, title = "ORDER_TRANSITION_REFUSED", 409, "An order cannot go from the one status to the other"


class GoalUnknown(NotFound):
    code, title = "GOAL_UNKNOWN", "There is no such goal"


class GoalNameTaken(Conflict):
    code, title = "GOAL_NAME_TAKEN", "Another goal has this name"


class GoalNotDeleted(Conflict):
    code, title = "GOAL_NOT_DELETED", "The goal is not deleted, so there is nothing to restore"


class EquityNotPositive(Conflict):
    code, title = "EQUITY_NOT_POSITIVE", "Without equity there are no weights"


class GoalDisabled(Conflict):
    code, title = "GOAL_DISABLED", "The goal is switched off"


class PricesMissing(Conflict):
    code, title = "PRICES_MISSING", "What is held cannot be valued"


class RebalanceUnknown(NotFound):
    code, title = "REBALANCE_UNKNOWN", "The goal has no such rebalance"


class RebalanceRunning(Conflict):
    """Carries `rebalance_id` and `goal_id` of the one that runs, in the problem document."""

    code, title = "REBALANCE_RUNNING", "A rebalance of this account is under way"


class DrillImpossible(Conflict):
    code, title = "DRILL_IMPOSSIBLE", "The kill switch cannot be tried now"
