"""The atomic day counters: a hundred orders at once against a limit of ten leave exactly ten.

`Counters.hold` locks the counters of an order before the gate looks at them, until the order's transaction ends: between looking
and counting nobody else counts. What rolls back was never counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, QuerySet

from safety.choices import CounterName
from safety.models import DayCounter
from tradingsite.common.clock import utcnow

WHOLE = ""
"""The scope of an account's own counter; the others are those of strategies and instruments."""


def trading_day() -> date:
    """Return today's date where the desk's trading day ends."""
    return utcnow().astimezone(ZoneInfo(settings.DESK_TIME_ZONE)).date()


@dataclass(frozen=True)
class Counters:
    """The counters of one limit in which an order of one account counts, on one day."""

    day: date
    account_id: UUID
    name: CounterName
    scopes: Sequence[str] = (WHOLE,)

    def used(self) -> dict[str, int]:
        """Return how much each scope has used."""
        return {**dict.fromkeys(self.scopes, 0), **dict(self._rows().values_list("scope", "value"))}

    def hold(self) -> dict[str, int]:
        """Lock the counters until the caller's transaction ends, and return how much each scope has used."""
        found = self._locked()
        if len(found) < len(self.scopes):
            # The rows must exist before they can be locked; the unique key lets any number of first orders try.
            key = {"day": self.day, "account_id": self.account_id, "name": self.name}
            rows = [DayCounter(**key, scope=scope) for scope in sorted(self.scopes)]
            DayCounter.objects.bulk_create(rows, ignore_conflicts=True)
            found = self._locked()
        return found

    def add(self) -> None:
        """Count one more in each scope; the caller holds them."""
        self._rows().update(value=F("value") + 1)

    def _locked(self) -> dict[str, int]:
        # Everybody locks in the same order, so that no two orders wait for each other.
        return dict(self._rows().order_by("scope").select_for_update().values_list("scope", "value"))

    def _rows(self) -> QuerySet[DayCounter]:
        return DayCounter.objects.filter(
            day=self.day, account_id=self.account_id, name=self.name, scope__in=self.scopes
        )
