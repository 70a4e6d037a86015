"""When a schedule is due: pure functions from a rule and a moment to the moments that follow.

The policy for changed clocks, which the tests hold over ten years and thirty zones:

* A rule that names times of day (`30 2 * * *`) fires once per named time and day. A time that the clock leaps over
  (`Gap`) fires at the first moment after the leap, or not at all. A time that comes twice (`Repeat`) fires at the
  first, the second, or both.
* A rule that names every hour (`*/30 * * * *`) is a rhythm: it fires whenever the clock shows a named minute. Nothing
  is missing after a leap, and in an hour that comes twice it goes on without a pause.
* An interval counts elapsed seconds from its anchor, whatever clocks show.
* A market rule follows the sessions of an exchange, holidays and half days included.

Two named times that lead to the same moment are one.
"""

import enum
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from scheduler.cron import Cron

# Far enough for ten fires of what comes on 29 February.
HORIZON = timedelta(days=366 * 50)
_SECOND = timedelta(seconds=1)


class Gap(enum.StrEnum):
    """What becomes of a time of day that does not exist because the clock leapt over it."""

    NEXT = "next"
    SKIP = "skip"


class Repeat(enum.StrEnum):
    """Which of a time of day that comes twice is meant."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class Rule(Protocol):
    """When something is due."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due moments later than `moment`, in UTC and in order."""


class Sessions(Protocol):
    """What a market rule needs to know of an exchange: its opens or closes, in UTC and in order."""

    def after(self, moment: datetime) -> Iterator[datetime]: ...


@dataclass(frozen=True)
class CronRule:
    """A cron expression on the clocks of one zone."""

    cron: Cron
    zone: ZoneInfo
    gap: Gap = Gap.NEXT
    repeat: Repeat = Repeat.FIRST

    def after(self, moment: datetime) -> Iterator[datetime]:
        # A day early: what the clock leaps over may be due on the day after the one that names it.
        first = moment.astimezone(self.zone).date() - timedelta(days=1)
        held: set[datetime] = set()
        for day in self.cron.days_from(first, until=_day_after(moment, HORIZON)):
            # A clock set back across midnight shows the end of a day again after the next day has begun.
            begins = _begin(day, self.zone)
            yield from sorted(due for due in held if due < begins)
            held = {due for due in held if due >= begins}
            held.update(due for due in self._on(day) if due > moment)
        yield from sorted(held)

    def _on(self, day: date) -> Iterator[datetime]:
        gap, repeat = (Gap.SKIP, Repeat.BOTH) if self.cron.by_elapsed_time else (self.gap, self.repeat)
        for time_of_day in self.cron.times():
            yield from _moments(datetime.combine(day, time_of_day, self.zone), gap, repeat)


def _moments(wall: datetime, gap: Gap, repeat: Repeat) -> Sequence[datetime]:
    """Return the moments at which the clock of `wall`'s zone shows it, by policy where those are none or two."""
    early, late = wall.replace(fold=0), wall.replace(fold=1)
    before, after = early.utcoffset(), late.utcoffset()
    assert before is not None
    assert after is not None
    if before == after:
        return [early.astimezone(UTC)]
    if before > after:
        twice = [early.astimezone(UTC), late.astimezone(UTC)]
        return {Repeat.FIRST: twice[:1], Repeat.SECOND: twice[1:], Repeat.BOTH: twice}[repeat]
    return [] if gap is Gap.SKIP else [_leap(late.astimezone(UTC), early.astimezone(UTC), wall.tzinfo)]


def _leap(low: datetime, high: datetime, zone: object) -> datetime:
    """Return the moment between `low` and `high` at which the clock leaps: the first with the new offset."""
    assert isinstance(zone, ZoneInfo)
    old = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high


def _begin(day: date, zone: ZoneInfo) -> datetime:
    """Return the earliest moment at which a clock of `zone` shows `day`."""
    midnight = datetime.combine(day, time.min, zone)
    return min(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _day_after(moment: datetime, span: timedelta) -> date:
    return date.max if moment.year > 9900 else (moment + span).date()


@dataclass(frozen=True)
class IntervalRule:
    """Every `every` of elapsed time, counted from `anchor`; the anchor itself is due."""

    every: timedelta
    anchor: datetime

    def after(self, moment: datetime) -> Iterator[datetime]:
        passed = (moment - self.anchor) // self.every + 1 if moment >= self.anchor else 0
        for number in itertools.count(passed):
            yield self.anchor + number * self.every


@dataclass(frozen=True)
class MarketRule:
    """A while before (negative) or after the sessions' opens or closes."""

    sessions: Sessions
    offset: timedelta

    def after(self, moment: datetime) -> Iterator[datetime]:
        for event in self.sessions.after(moment - self.offset):
            yield event + self.offset


@dataclass(frozen=True)
class Bounds:
    """From when to when a rule holds; both ends included, None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def after(self, rule: Rule, moment: datetime) -> Iterator[datetime]:
        """Yield what is due later than `moment` within the bounds."""
        if self.start is not None and moment < self.start:
            # The start itself may be due.
            moment = self.start - timedelta(microseconds=1)
        for due in rule.after(moment):
            if self.end is not None and due > self.end:
                return
            yield due


def upcoming(rule: Rule, moment: datetime, count: int, bounds: Bounds | None = None) -> list[datetime]:
    """Return the next `count` due moments after `moment`; fewer when there are no more."""
    return list(itertools.islice((bounds or Bounds()).after(rule, moment), count))


def jitter(schedule_id: str, nominal: datetime, most: timedelta) -> timedelta:
    """Return how much later than `nominal` to start: 0 to `most`, and the same for everybody who asks.

    Taken from a hash, so that any number of clocks agree on when a fire is due without a word between them.
    """
    if not most:
        return timedelta(0)
    digest = hashlib.sha256(f"{schedule_id} {nominal.timestamp()}".encode()).digest()
    return most * (int.from_bytes(digest[:8]) / 2**64)
