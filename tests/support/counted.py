"""What the day's counters hold."""

from uuid import UUID

from safety import counters
from safety.choices import CounterName


def trades_counted(account_id: UUID) -> int:
    """Return how many orders of the account took a place in this trading day's count."""
    return counters.Counters(counters.trading_day(), account_id, CounterName.TRADES).used()[counters.WHOLE]
