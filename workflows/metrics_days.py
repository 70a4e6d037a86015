"""The days of the desk: when each begins, and which of them a span of time holds whole.

Borders come from here alone, never from the database: its own table of time zones may be of another year.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """From a moment up to and without another; None is without end."""

    start: datetime | None = None
    end: datetime | None = None

    def __bool__(self) -> bool:
        """Whether there is any time in it."""
        return self.start is None or self.end is None or self.start < self.end


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day in whose 23 to 25 hours the moment lies."""
    return moment.astimezone(zone).date()


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """Return when the day begins, in UTC. Where the clocks jump over midnight that is the moment of the jump."""
    return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)


def day_span(day: date, zone: ZoneInfo) -> Span:
    """Return the span of one day."""
    return Span(day_start(day, zone), day_start(day + ONE_DAY, zone))


def days_between(first: date, end: date) -> Iterator[date]:
    """Yield the days from `first` up to and without `end`."""
    while first < end:
        yield first
        first += ONE_DAY


def month_of(day: date) -> date:
    """Return the first day of the day's month."""
    return day.replace(day=1)


def month_after(day: date) -> date:
    """Return the first day of the next month."""
    return month_of(month_of(day) + timedelta(days=31))


def months_between(first: date, end: date) -> Iterator[date]:
    """Yield the first day of each month that lies whole from `first` up to and without `end`."""
    month = first if first.day == 1 else month_after(first)
    while month_after(month) <= end:
        yield month
        month = month_after(month)


def whole_days(span: Span, zone: ZoneInfo, *, first: date, end: date) -> tuple[date, date]:
    """Return which of the days from `first` up to and without `end` the span holds whole: from, and up to without."""
    if span.start is not None:
        day = day_of(span.start, zone)
        first = max(first, day if day_start(day, zone) >= span.start else day + ONE_DAY)
    if span.end is not None:
        end = min(end, day_of(span.end, zone))
    return first, max(first, end)
