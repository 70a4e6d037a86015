"""Cron expressions: five fields, what each may hold, and which wall-clock times they name. Knows no time zone.

The grammar is that of crontab(5): `*`, numbers, names of months and weekdays, ranges `a-b`, steps `/n`, lists with
commas, and Sunday as 0 or 7. A day counts when it matches the day of the month or the weekday, if both are restricted.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Final

_MONTHS: Final = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
)}  # fmt: skip
_WEEKDAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_PART: Final = re.compile(r"(?P<first>\*|[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?(?:/(?P<step>[0-9]+))?", re.ASCII)
# The longest month of each kind, leap years included: a day beyond it never comes.
_LONGEST: Final = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
MAX_LENGTH: Final = 200


class CronInvalid(ValueError):
    """An expression that cannot be read; `field` is the part at fault, empty for the whole."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int]

    def read(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part))
        return frozenset(found)

    def _part(self, text: str) -> range:
        match = _PART.fullmatch(text)
        if match is None:
            raise CronInvalid(self.name, f"{self.name}: {text!r} is not a number, a range, a list or a step.")
        first, last, step = match["first"], match["last"], match["step"]
        if first == "*":
            if last is not None:
                raise CronInvalid(self.name, f"{self.name}: a range begins with a number, not with '*'.")
            low, high = self.least, self.most
        else:
            low = self._number(first)
            high = self._number(last) if last is not None else self.most if step is not None else low
        if step is not None and not 1 <= int(step[:6]) <= self.most:
            raise CronInvalid(self.name, f"{self.name}: the step must be from 1 to {self.most}, not {step[:20]}.")
        if low > high:
            raise CronInvalid(self.name, f"{self.name}: the range {text!r} ends before it begins.")
        return range(low, high + 1, int(step or 1))

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names[text]
        if not text.isdecimal():
            known = f" or one of {', '.join(self.names)}" if self.names else ""
            raise CronInvalid(
                self.name, f"{self.name}: {text[:20]!r} is not a number from {self.least} to {self.most}{known}."
            )
        number = int(text[:6])
        if not self.least <= number <= self.most:
            raise CronInvalid(self.name, f"{self.name}: {text[:20]} is not from {self.least} to {self.most}.")
        return number


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)
_EVERY_HOUR: Final = frozenset(range(24))


@dataclass(frozen=True)
class Cron:
    """A parsed expression."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read an expression.

        Raises:
            CronInvalid: naming the field and what is wrong with it; also for days that never come.
        """
        if len(text) > MAX_LENGTH:
            raise CronInvalid("", f"It has {len(text)} characters; an expression has at most {MAX_LENGTH}.")
        words = _NICKNAMES.get(text.strip().lower(), text).lower().split()
        if words and words[0].startswith("@"):
            raise CronInvalid("", f"{words[0][:20]!r} is not known; there are {', '.join(_NICKNAMES)}.")
        if len(words) != len(_FIELDS):
            raise CronInvalid(
                "", f"It has {len(words)} fields; it needs 5: minute, hour, day of month, month, day of week."
            )
        minutes, hours, days, months, weekdays = (field.read(word) for field, word in zip(_FIELDS, words, strict=True))
        cron = cls(
            text=" ".join(words),
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=days,
            months=months,
            weekdays=frozenset(number % 7 for number in weekdays),
            # As in crontab(5): a field that begins with '*' does not restrict the day.
            any_day=words[2].startswith("*"),
            any_weekday=words[4].startswith("*"),
        )
        if cron.any_weekday and not any(min(days) <= _LONGEST[month] for month in months):
            raise CronInvalid("day of month", "day of month: none of these months is that long, so it never fires.")
        return cron

    @property
    def by_elapsed_time(self) -> bool:
        """Whether it names every hour of its days, and so means a rhythm rather than times of day."""
        return frozenset(self.hours) == _EVERY_HOUR

    def names_day(self, day: date) -> bool:
        """Say whether it fires on `day`."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return in_month and in_week
        return in_month or in_week

    def days_from(self, first: date, *, until: date) -> Iterator[date]:
        """Yield the days on which it fires, from `first` to `until`, both included."""
        day = first
        while day <= until:
            if day.month not in self.months:
                # A month at a time: a rare one is a year away.
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self.names_day(day):
                yield day
            day += timedelta(days=1)

    def times(self) -> Iterator[time]:
        """Yield the wall-clock times of such a day, in order."""
        for hour in self.hours:
            for minute in self.minutes:
                yield time(hour, minute)
