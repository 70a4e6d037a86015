"""Exchange calendars: when each session opens and closes, half days and holidays included.

A thin layer over `exchange_calendars` that answers from int64 arrays, since its own lookups cost a pandas call each.
"""

import functools
import threading
import warnings
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
from exchange_calendars.errors import InvalidCalendarName

from market.bars import TimeArray, from_ns, to_ns
from market.errors import CalendarUnknown
from tradingsite.common.clock import utcnow

FIRST_YEAR = 1970
ALWAYS = "24/7"
_DAY_NS = 86_400_000_000_000
_SECOND_NS = 1_000_000_000

_build_lock = threading.Lock()


class TradingCalendar:
    """The sessions of one exchange.

    Attributes:
        code: such as `XNYS`, or `24/7`.
        zone: the exchange's time zone.
        opens, closes: int64 nanoseconds UTC, one each per session, increasing.
        days: the session's dates as int64 days since 1970.
    """

    def __init__(self, code: str, last_year: int) -> None:
        raw = _raw(code, last_year)
        self.code = code
        self.zone = ZoneInfo(str(raw.tz))
        self.opens: TimeArray = np.asarray(raw.opens_nanos, dtype=np.int64)
        self.closes: TimeArray = np.asarray(raw.closes_nanos, dtype=np.int64)
        self.days: TimeArray = np.asarray(raw.sessions_nanos, dtype=np.int64) // _DAY_NS
        breaks = raw.schedule[["break_start", "break_end"]]
        self._breaks: list[tuple[int, int]] | None = None
        if raw.has_break:
            self._breaks = [
                (start.value, end.value) if start == start else (0, 0)  # NaT is unlike itself
                for start, end in zip(breaks["break_start"], breaks["break_end"], strict=True)
            ]

    @property
    def first_day(self) -> date:
        return _date(int(self.days[0]))

    @property
    def last_day(self) -> date:
        return _date(int(self.days[-1]))

    def _index(self, day: date) -> int | None:
        number = _number(day)
        index = int(np.searchsorted(self.days, number))
        return index if index < len(self.days) and self.days[index] == number else None

    def is_session(self, day: date) -> bool:
        return self._index(day) is not None

    def session_open(self, day: date) -> datetime:
        """Return when the session of `day` opens, in UTC.

        Raises:
            ValueError: when there is no session on that day.
        """
        return from_ns(int(self.opens[self._session(day)]))

    def session_close(self, day: date) -> datetime:
        """Return when the session of `day` closes, in UTC; earlier on half days.

        Raises:
            ValueError: when there is no session on that day.
        """
        return from_ns(int(self.closes[self._session(day)]))

    def _session(self, day: date) -> int:
        index = self._index(day)
        if index is None:
            raise ValueError(f"{self.code} has no session on {day}")
        return index

    def session_at(self, nanoseconds: int) -> int | None:
        """Return the index of the session with open <= time < close, or None."""
        index = int(np.searchsorted(self.opens, nanoseconds, side="right")) - 1
        return index if index >= 0 and nanoseconds < self.closes[index] else None

    def is_open(self, moment: datetime) -> bool:
        """Say whether one can trade at `moment`: inside a session and not in its midday break."""
        nanoseconds = to_ns(moment)
        index = self.session_at(nanoseconds)
        if index is None:
            return False
        if self._breaks is None:
            return True
        start, end = self._breaks[index]
        return not start <= nanoseconds < end

    def seconds_to_open(self, moment: datetime) -> int:
        """Return how long until one can trade again, rounded up; 0 when one can at `moment`.

        Raises:
            ValueError: beyond the last session known.
        """
        if self.is_open(moment):
            return 0
        nanoseconds = to_ns(moment)
        index = self.session_at(nanoseconds)
        if index is not None and self._breaks is not None:
            opens = self._breaks[index][1]
        else:
            opens = to_ns(self.next_open(moment))
        return -((nanoseconds - opens) // _SECOND_NS)

    def open_seconds(self, start: datetime, end: datetime) -> int:
        """Return for how many whole seconds one could trade between two moments; 0 when `end` is not later."""
        first, last = to_ns(start), to_ns(end)
        low = int(np.searchsorted(self.closes, first, side="right"))
        high = int(np.searchsorted(self.opens, last, side="left"))
        spans = list(zip(self.opens[low:high].tolist(), self.closes[low:high].tolist(), strict=True))
        total = sum(_overlap(first, last, *span) for span in spans)
        if self._breaks is not None:
            total -= sum(_overlap(first, last, *span) for span in self._breaks[low:high])
        return int(total // _SECOND_NS)

    def session_date(self, moment: datetime) -> date | None:
        """Return the date of the session that `moment` lies in, or None."""
        index = self.session_at(to_ns(moment))
        return None if index is None else _date(int(self.days[index]))

    def sessions_between(self, first: date, last: date) -> list[date]:
        """Return the dates of all sessions from `first` to `last`, both included."""
        start = int(np.searchsorted(self.days, _number(first)))
        stop = int(np.searchsorted(self.days, _number(last), side="right"))
        return [_date(int(number)) for number in self.days[start:stop]]

    def sessions_per_year(self) -> float:
        """Return the mean number of sessions in a year, over the whole years known."""
        years = (self.days[-1] - self.days[0]) / 365.25
        return float(len(self.days) / years)

    def next_open(self, moment: datetime) -> datetime:
        """Return the first session open after `moment`.

        Raises:
            ValueError: beyond the last session known.
        """
        return self._first_after(self.opens, moment)

    def next_close(self, moment: datetime) -> datetime:
        """Return the first session close after `moment`.

        Raises:
            ValueError: beyond the last session known.
        """
        return self._first_after(self.closes, moment)

    def _first_after(self, times: TimeArray, moment: datetime) -> datetime:
        index = int(np.searchsorted(times, to_ns(moment), side="right"))
        if index == len(times):
            raise ValueError(f"{self.code} is known to {self.last_day} only")
        return from_ns(int(times[index]))


def _overlap(first: int, last: int, start: int, end: int) -> int:
    return max(min(last, end) - max(first, start), 0)


def calendar(code: str) -> TradingCalendar:
    """Return the calendar called `code`, known to the end of next year.

    Raises:
        CalendarUnknown: for a code that is no calendar.
    """
    return _calendar(code, utcnow().year + 1)


@functools.lru_cache(maxsize=32)
def _calendar(code: str, last_year: int) -> TradingCalendar:
    # One thread builds (a third of a second); the others wait for it instead of building the same again.
    with _build_lock:
        return TradingCalendar(code, last_year)


def _raw(code: str, last_year: int) -> exchange_calendars.ExchangeCalendar:
    with warnings.catch_warnings():
        # The library reads pandas in a way that a later pandas will change; nothing of it reaches us.
        warnings.filterwarnings("ignore", message="Series.values returning", category=DeprecationWarning)
        return _get(code, last_year)


def _get(code: str, last_year: int) -> exchange_calendars.ExchangeCalendar:
    start, end = f"{FIRST_YEAR}-01-01", f"{last_year}-12-31"
    try:
        if code == ALWAYS:
            return exchange_calendars.get_calendar(code, start=start, end=end)
        known = exchange_calendars.get_calendar(code)
    except InvalidCalendarName:
        raise CalendarUnknown(f"{code!r} is no exchange calendar; XNYS, XLON, XETR and 24/7 are some.") from None
    # Some calendars are only recorded from a later year on, or to an earlier one.
    earliest, latest = known.bound_min(), known.bound_max()
    if earliest is not None and earliest.year >= FIRST_YEAR:
        start = str(earliest.date())
    if latest is not None and latest.year <= last_year:
        end = str(latest.date())
    return exchange_calendars.get_calendar(code, start=start, end=end)


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
