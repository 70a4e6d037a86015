"""Reading what an adaptation has seen: the regimes of its bars, and what is or was watched."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from optimize.adaptation.models import AdaptationWatch, LiveAdaptation, RegimePoint


def regimes_of(
    adaptation: LiveAdaptation, *, limit: int = 1_000, start: datetime | None = None, end: datetime | None = None
) -> Sequence[RegimePoint]:
    """Return what was told of the newest `limit` bars that opened from `start` to `end`, both included, the oldest first."""
    rows = RegimePoint.objects.filter(adaptation=adaptation)
    if start is not None:
        rows = rows.filter(bar_time__gte=start)
    if end is not None:
        rows = rows.filter(bar_time__lte=end)
    return list(rows.order_by("-bar_time")[:limit])[::-1]


def regime_now(adaptation: LiveAdaptation) -> RegimePoint | None:
    """Return what was told of the newest bar; None before the first look."""
    return RegimePoint.objects.filter(adaptation=adaptation).order_by("-bar_time").first()


def changes_of(adaptation: LiveAdaptation, *, limit: int = 100) -> Sequence[RegimePoint]:
    """Return the newest `limit` bars that confirmed another regime, the newest first."""
    return list(
        RegimePoint.objects.filter(adaptation=adaptation).exclude(changed_from="").order_by("-bar_time")[:limit]
    )


def watches_of(adaptation: LiveAdaptation) -> QuerySet[AdaptationWatch]:
    """Return what is and was watched, the newest first."""
    rows: QuerySet[AdaptationWatch] = AdaptationWatch.objects.filter(adaptation=adaptation)
    return rows.order_by("-event_number")
