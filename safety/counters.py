"""The atomic day counters: a hundred orders at once against a limit of ten leave exactly ten.

The database decides, in one conditional UPDATE. Reading first and writing after would let two orders see the same
free place.
"""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F

from safety.choices import CounterName
from safety.models import DayCounter
from tradingsite.common.clock import utcnow


def trading_day() -> date:
    """Return today's date where the desk's trading day ends."""
    return utcnow().astimezone(ZoneInfo(settings.DESK_TIME_ZONE)).date()


def used(*, account_id: UUID, name: CounterName) -> int:
    """Return how much of today's limit is used."""
    rows = DayCounter.objects.filter(day=trading_day(), account_id=account_id, name=name)
    return rows.values_list("value", flat=True).first() or 0


def take(*, account_id: UUID, name: CounterName, limit: int | None) -> bool:
    """Count one more, unless that would pass `limit`; None counts without a limit. Return whether it was counted.

    In the caller's transaction: what rolls back was never counted.
    """
    key = {"day": trading_day(), "account_id": account_id, "name": name}
    # The row must exist before it can be counted up; the unique key lets any number of first orders try.
    DayCounter.objects.bulk_create([DayCounter(**key, value=0)], ignore_conflicts=True)
    rows = DayCounter.objects.filter(**key)
    if limit is not None:
        rows = rows.filter(value__lt=limit)
    return rows.update(value=F("value") + 1) == 1
