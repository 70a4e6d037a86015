"""When a failed delivery is tried again: the pauses that Standard Webhooks recommends."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Receivers that went down together are not to be met again by everybody at once.
SPREAD = 0.2
RETRY_AFTER_MAX = timedelta(hours=24)
# Longer than the pauses of one delivery together.
DISABLED_AFTER = timedelta(days=5)
# After a rotation everything is signed with the old secret too, so that receivers can change theirs without a gap.
OLD_SECRET_KEPT = timedelta(hours=24)


def next_attempt(failures: int, now: datetime, retry_after: timedelta | None = None) -> datetime | None:
    """Return when to try again after the given number of failures (1 or more); None when that was the last attempt.

    Args:
        retry_after: how long the receiver asked to be left alone; makes a pause longer, never shorter.
    """
    if failures > len(PAUSES):
        return None
    pause = PAUSES[failures - 1] * (1 + SPREAD * random.random())
    return now + max(pause, min(retry_after or timedelta(0), RETRY_AFTER_MAX))


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read `Retry-After`, in seconds or as a date; None where there is none that can be understood."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), int(RETRY_AFTER_MAX.total_seconds())))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        # Whatever a stranger writes there.
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now, timedelta(0))
