"""Reading the time of a bar from a cell, in whatever form a file has it, without guessing a time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from market.bars import to_ns
from market.calendars import TradingCalendar
from market.timeframes import DAILY, length_ns

_EPOCH = re.compile(r"\d{10}(\d{3})?")
_COMPACT = re.compile(r"\d{8}")


class BadMoment(Exception):
    """A cell that gives no usable time: `code` and `detail` say why."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True)
class MomentReader:
    """Turns cells into the open time of a bar in nanoseconds UTC.

    Attributes:
        calendar: the exchange whose sessions the bars belong to.
        zone: of times without an offset; None refuses them.
        date_format: `strptime` format, for files that do not use ISO 8601.
        now_ns: bars that open later are refused.
    """

    calendar: TradingCalendar
    timeframe: str
    zone: ZoneInfo | None
    date_format: str | None
    now_ns: int

    def read(self, cell: object) -> int:
        """Return the bar's open time.

        Raises:
            BadMoment: with the reason.
        """
        value = self._parse(cell)
        opened = self._daily(value) if self.timeframe == DAILY else self._intraday(value)
        if opened > self.now_ns:
            raise BadMoment("in_the_future", f"{cell} lies in the future.")
        return opened

    def _parse(self, cell: object) -> date | datetime:
        if isinstance(cell, date):
            return cell
        text = str(cell).strip() if isinstance(cell, str | int) and not isinstance(cell, bool) else ""
        if not text:
            raise BadMoment("missing", "There is no time.")
        try:
            if self.date_format:
                parsed = datetime.strptime(text, self.date_format)  # noqa: DTZ007  # the zone is settled below
                has_time = re.search(r"%[HIMSpfXcTR]", self.date_format) is not None
                return parsed if has_time else parsed.date()
            if _EPOCH.fullmatch(text):
                return datetime.fromtimestamp(int(text[:10]), UTC)
            if _COMPACT.fullmatch(text) or len(text) == 10:
                return date.fromisoformat(text)
            return datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            expected = self.date_format or "ISO 8601, such as 2024-03-08 or 2024-03-08T14:30:00Z"
            raise BadMoment("not_a_time", f"{text[:40]!r} is not a time in the form {expected}.") from None

    def _daily(self, value: date | datetime) -> int:
        day = value
        if isinstance(value, datetime):
            if value.tzinfo is not None:
                index = self.calendar.session_at(_checked_ns(value))
                if index is not None and self.calendar.opens[index] == to_ns(value):
                    return to_ns(value)
            # The day as the file writes it: midnight in the file's own zone stands for the whole day.
            day = value.date()
        if not self.calendar.first_day <= day <= self.calendar.last_day:
            known = f"{self.calendar.first_day} to {self.calendar.last_day}"
            raise BadMoment("outside_calendar", f"{day} lies outside the calendar {self.calendar.code} ({known}).")
        if not self.calendar.is_session(day):
            raise BadMoment("not_a_session", f"{day} is no trading day of {self.calendar.code}.")
        return to_ns(self.calendar.session_open(day))

    def _intraday(self, value: date | datetime) -> int:
        if not isinstance(value, datetime):
            raise BadMoment("no_time_of_day", f"{value} has no time of day, which {self.timeframe} bars need.")
        if value.tzinfo is None:
            value = self._localised(value)
        opened = _checked_ns(value)
        index = self.calendar.session_at(opened)
        if index is None:
            raise BadMoment("outside_session", f"{value.isoformat()} lies in no session of {self.calendar.code}.")
        length = length_ns(self.timeframe)
        if (opened - int(self.calendar.opens[index])) % length and opened % length:
            raise BadMoment("not_aligned", f"{value.isoformat()} is not where a {self.timeframe} bar opens.")
        return opened

    def _localised(self, value: datetime) -> datetime:
        if self.zone is None:
            raise BadMoment("no_time_zone", f"{value.isoformat()} has no UTC offset: say its time zone with tz.")
        early, late = (value.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        if early.utcoffset() != late.utcoffset():
            there = early.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) == value
            if not there:
                raise BadMoment(
                    "no_such_time", f"{value.isoformat()} does not exist in {self.zone.key} (clocks go forward)."
                )
            raise BadMoment(
                "ambiguous_time", f"{value.isoformat()} happens twice in {self.zone.key}: give the UTC offset."
            )
        return early


def _checked_ns(value: datetime) -> int:
    try:
        return to_ns(value.astimezone(UTC))
    except OverflowError:
        raise BadMoment("not_a_time", f"{value.isoformat()} is beyond the range of times.") from None
