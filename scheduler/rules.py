"""From a schedule's fields to the rule that says when it is due, and to the words that say it to people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cron_descriptor import ExpressionDescriptor, Options

from market.calendars import calendar
from market.errors import CalendarUnknown
from scheduler.choices import MarketEvent, ScheduleKind
from scheduler.cron import Cron, CronInvalid
from scheduler.models import Schedule
from scheduler.timing import Bounds, CronRule, Gap, IntervalRule, MarketRule, Repeat, Rule, jitter, upcoming
from tradingsite.common.errors import FieldError, ValidationFailed

DAY_S = 86_400
OFFSET_MAX_S = 12 * 3600
EVERY_MAX_S = 366 * DAY_S
JITTER_MAX_S = 3600


@dataclass(frozen=True)
class ExchangeSessions:
    """The opens or closes of an exchange, as far as its calendar is known."""

    code: str
    event: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        sessions = calendar(self.code)
        step = sessions.next_open if self.event == MarketEvent.OPEN else sessions.next_close
        while True:
            try:
                moment = step(moment)
            except ValueError:
                # Beyond the last session known; by then the calendar knows another year.
                return
            yield moment


def rule_of(schedule: Schedule) -> Rule:
    """Return when a (valid) schedule is due."""
    if schedule.kind == ScheduleKind.CRON:
        return CronRule(
            Cron.parse(schedule.cron), ZoneInfo(schedule.timezone), Gap(schedule.gap), Repeat(schedule.repeat)
        )
    if schedule.kind == ScheduleKind.INTERVAL:
        assert schedule.every_s is not None
        return IntervalRule(timedelta(seconds=schedule.every_s), schedule.start_at or schedule.created_at)
    return MarketRule(ExchangeSessions(schedule.market, schedule.event), timedelta(seconds=schedule.offset_s))


def bounds_of(schedule: Schedule) -> Bounds:
    return Bounds(schedule.start_at, schedule.end_at)


def next_times(schedule: Schedule, moment: datetime, count: int) -> list[datetime]:
    """Return the next `count` nominal times after `moment`; fewer at the end of the schedule."""
    return upcoming(rule_of(schedule), moment, count, bounds_of(schedule))


def due_time(schedule: Schedule, nominal: datetime) -> datetime:
    """Return when the fire of `nominal` really starts."""
    return nominal + jitter(str(schedule.pk), nominal, timedelta(seconds=schedule.jitter_s))


def plan(schedule: Schedule, moment: datetime) -> None:
    """Set the schedule's next times, the first after `moment`."""
    following = next_times(schedule, moment, 1)
    schedule.next_run_at = following[0] if following else None
    schedule.due_at = due_time(schedule, following[0]) if following else None


def plan_problems(fields: Mapping[str, Any], pointer: str = "schedule") -> list[FieldError]:
    """Return what is wrong with a rule's fields, each by the name under which the API takes it."""
    kind = fields["kind"]
    if kind == ScheduleKind.CRON:
        return [*_cron_problems(fields["cron"], pointer), *_zone_problems(fields["timezone"])]
    if kind == ScheduleKind.INTERVAL:
        return _between(fields["every_s"], 1, EVERY_MAX_S, f"{pointer}/every_s")
    errors = _between(fields["offset_s"], -OFFSET_MAX_S, OFFSET_MAX_S, f"{pointer}/offset_s")
    try:
        calendar(fields["market"])
    except CalendarUnknown as error:
        errors.append(FieldError(f"{pointer}/market", "unknown_calendar", error.detail))
    if fields["event"] not in MarketEvent.values:
        errors.append(FieldError(f"{pointer}/event", "invalid_choice", "Must be 'open' or 'close'."))
    return errors


def _cron_problems(text: str, pointer: str) -> list[FieldError]:
    try:
        Cron.parse(text)
    except CronInvalid as error:
        return [FieldError(pointer, "invalid_cron", error.reason)]
    return []


def _zone_problems(name: str) -> list[FieldError]:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        detail = f"{name[:64]!r} is no time zone of the IANA database; America/New_York and UTC are some."
        return [FieldError("timezone", "unknown_timezone", detail)]
    return []


def _between(value: object, least: int, most: int, pointer: str) -> list[FieldError]:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return []
    return [FieldError(pointer, "out_of_range", f"Must be a whole number from {least} to {most}.")]


def in_words(schedule: Schedule) -> str:
    """Say in plain English when a schedule is due.

    Raises:
        ValidationFailed: for a rule that cannot be read.
    """
    if schedule.kind == ScheduleKind.INTERVAL:
        return f"Every {_span(schedule.every_s or 0)}"
    if schedule.kind == ScheduleKind.MARKET:
        what = f"the {schedule.event} of {schedule.market}"
        if schedule.offset_s == 0:
            return f"At {what}"
        side = "before" if schedule.offset_s < 0 else "after"
        return f"{_span(abs(schedule.offset_s)).capitalize()} {side} {what}"
    try:
        cron = Cron.parse(schedule.cron)
    except CronInvalid as error:
        raise ValidationFailed(errors=[FieldError("schedule", "invalid_cron", error.reason)]) from None
    options = Options()
    options.use_24hour_time_format = True
    words = ExpressionDescriptor(cron.text, options).get_description()
    if not (cron.any_day or cron.any_weekday):
        # The library says "only", but a day that matches either field counts.
        words = words.replace(", only on", ", and on each")
    return f"{words}, {schedule.timezone}"


def _span(seconds: int) -> str:
    parts = []
    for size, noun in ((DAY_S, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {noun}{'s' if number > 1 else ''}")
    return " ".join(parts) or "0 seconds"
