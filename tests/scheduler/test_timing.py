"""When schedules are due: ten years of thirty zones against the written policy, read off the clocks themselves."""

import functools
import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cron import Cron
from scheduler.timing import Bounds, CronRule, Gap, IntervalRule, MarketRule, Repeat, jitter, upcoming

ZONES = (
    "UTC", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix",
    "America/Sao_Paulo", "America/Santiago", "America/St_Johns", "America/Havana", "America/Asuncion",
    "America/Caracas", "Europe/London", "Europe/Berlin", "Europe/Moscow", "Europe/Istanbul", "Europe/Chisinau",
    "Africa/Cairo", "Africa/Casablanca", "Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Tehran", "Asia/Beirut",
    "Asia/Gaza", "Asia/Pyongyang", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
)  # fmt: skip
START, END = datetime(2010, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Whole seconds of the years from `first` up to `last`, in UTC."""
    bounds = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first, last)]
    return st.integers(*bounds).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@functools.cache
def changes(zone: ZoneInfo) -> list[datetime]:
    """Return the minutes between START and END at which the clock is set, found by looking at it."""
    found = []
    moment = START
    while moment < END:
        later = moment + timedelta(hours=12)
        if moment.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            low, high = moment, later
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        moment = later
    return found


def fires(zone: str, cron: str, *, gap: Gap = Gap.NEXT, repeat: Repeat = Repeat.FIRST) -> Iterator[datetime]:
    moment = START - MINUTE
    rule = CronRule(Cron.parse(cron), ZoneInfo(zone), gap, repeat)
    # Asked in bites, as a clock does that knows only its last fire.
    while True:
        due = upcoming(rule, moment, 50)
        for moment in due:
            if moment >= END:
                return
            yield moment


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def test_the_zones_and_years_hold_every_kind_of_change() -> None:
    assert len(ZONES) == 30
    shifts = {
        (change.astimezone(zone).utcoffset() or timedelta())
        - ((change - MINUTE).astimezone(zone).utcoffset() or timedelta())
        for zone in map(ZoneInfo, ZONES)
        for change in changes(zone)
    }
    # Forward and back by an hour, by half an hour, and once over a whole day.
    assert {timedelta(hours=1), timedelta(hours=-1), timedelta(minutes=30), timedelta(minutes=-30)} <= shifts
    assert timedelta(hours=24) in shifts


@pytest.mark.parametrize("zone_name", ZONES)
@pytest.mark.parametrize("time_of_day", ["30 2", "0 0", "45 1"])
def test_a_time_of_day_fires_once_a_day_whatever_the_clocks_do(zone_name: str, time_of_day: str) -> None:
    zone = ZoneInfo(zone_name)
    minute, hour = map(int, time_of_day.split())
    set_at = set(changes(zone))
    on_time: set[date] = set()
    leapt: list[date] = []
    for due in fires(zone_name, f"{time_of_day} * * *"):
        wall, earlier = shown(due, zone), shown(due - MINUTE, zone)
        if (wall.hour, wall.minute) == (hour, minute):
            # The first of two: for two hours before, the clock did not show the same.
            assert all(shown(due - n * 30 * MINUTE, zone) != wall for n in range(1, 5)), due
            assert wall.date() not in on_time, due
            on_time.add(wall.date())
        else:
            # Leapt over: it fires as the clock is set, from before the named time to after it.
            named = earlier.replace(hour=hour, minute=minute)
            named += timedelta(days=named < earlier)
            assert due in set_at, due
            assert earlier < named < wall, due
            leapt.append(named.date())
    days = {(START + n * timedelta(days=1)).astimezone(zone).date() for n in range(1, (END - START).days - 1)}
    missing = days - on_time
    if zone_name == "Pacific/Apia":
        # The day that never came: at midnight it is one with the day after, else it is leapt over as a whole.
        assert date(2011, 12, 30) not in days
        missing |= {date(2011, 12, 30)} if hour else set()
    assert sorted(missing) == leapt


def between(text: str, zone: ZoneInfo, first: datetime, last: datetime, gap: Gap, repeat: Repeat) -> list[datetime]:
    rule = CronRule(Cron.parse(text), zone, gap, repeat)
    return [moment for moment in upcoming(rule, first, 5) if moment <= last]


@pytest.mark.parametrize("zone_name", ZONES)
def test_around_each_change_exactly_the_minutes_of_the_policy_fire(zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    for change in changes(zone):
        first, last = change - timedelta(hours=3), change + timedelta(hours=3)
        minutes = [first + n * MINUTE for n in range(1, 361)]
        walls = [shown(moment, zone) for moment in minutes]
        before, after = shown(change - MINUTE, zone) + MINUTE, shown(change, zone)
        for hour, minute in {(before.hour, before.minute), (before.hour, (before.minute + 15) % 60), (0, 0), (23, 59)}:
            named = [
                moment
                for moment, wall in zip(minutes, walls, strict=True)
                if (wall.hour, wall.minute) == (hour, minute)
            ]
            leapt = []
            wall = before
            while wall < after and not leapt:
                leapt = [change] if (wall.hour, wall.minute) == (hour, minute) else []
                wall += MINUTE

            due = functools.partial(between, f"{minute} {hour} * * *", zone, first, last)
            assert due(Gap.NEXT, Repeat.BOTH) == sorted({*named, *leapt}), (zone_name, change, hour, minute)
            assert due(Gap.SKIP, Repeat.BOTH) == named
            same_day = len(named) == 2 and shown(named[0], zone) == shown(named[1], zone)
            assert due(Gap.SKIP, Repeat.FIRST) == (named[:1] if same_day else named)
            assert due(Gap.SKIP, Repeat.SECOND) == (named[1:] if same_day else named)


@pytest.mark.parametrize("zone_name", ZONES)
def test_a_rhythm_never_pauses_and_never_doubles(zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    for change in changes(zone):
        minutes = [change + n * MINUTE for n in range(-239, 241)]
        expected = [moment for moment in minutes if shown(moment, zone).minute % 15 == 0]
        rule = CronRule(Cron.parse("*/15 * * * *"), zone, Gap.SKIP, Repeat.FIRST)
        found = [due for due in upcoming(rule, change - 240 * MINUTE, 60) if due <= change + 240 * MINUTE]
        assert found == expected, change
        assert max(b - a for a, b in itertools.pairwise(found)) <= timedelta(minutes=15), change


@settings(max_examples=60, deadline=None)
@given(
    moment=moments(2000, 2037),
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(
        ["*/7 * * * *", "5,35 1-3 * * *", "0 2 1 * *", "30 9 * * mon-fri", "0 0 29 2 *", "15 3 13 * 5"]
    ),
)
def test_what_is_due_next_is_later_and_does_not_depend_on_when_one_asks(moment: datetime, zone: str, cron: str) -> None:
    rule = CronRule(Cron.parse(cron), ZoneInfo(zone))
    one, two, three = upcoming(rule, moment, 3)
    assert moment < one < two < three
    assert upcoming(rule, one, 2) == [two, three]
    assert upcoming(rule, two - MINUTE / 2, 1) == [two]


@given(
    every=st.integers(1, 100_000), anchor=moments(2000, 2030),
    moment=moments(2000, 2030),
)  # fmt: skip
def test_an_interval_counts_elapsed_time_from_its_anchor(every: int, anchor: datetime, moment: datetime) -> None:
    step = timedelta(seconds=every)
    one, two = upcoming(IntervalRule(step, anchor), moment, 2)
    assert two - one == step
    assert (one - anchor) % step == timedelta(0)
    assert one == anchor if moment < anchor else moment < one <= moment + step


class _Closes:
    def __init__(self, *moments: datetime) -> None:
        self._moments = moments

    def after(self, moment: datetime) -> Iterator[datetime]:
        return (close for close in self._moments if close > moment)


def test_a_market_rule_keeps_its_distance_from_the_sessions() -> None:
    friday, half_day = datetime(2025, 11, 26, 21, tzinfo=UTC), datetime(2025, 11, 28, 18, tzinfo=UTC)
    rule = MarketRule(_Closes(friday, half_day), timedelta(minutes=-10))
    assert upcoming(rule, friday - timedelta(hours=1), 5) == [friday - 10 * MINUTE, half_day - 10 * MINUTE]
    assert upcoming(rule, friday - 10 * MINUTE, 1) == [half_day - 10 * MINUTE]


def test_bounds_include_both_ends() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rule = IntervalRule(timedelta(hours=1), start)
    bounds = Bounds(start + timedelta(hours=2), start + timedelta(hours=4))
    assert upcoming(rule, start - timedelta(days=1), 9, bounds) == [start + n * timedelta(hours=1) for n in (2, 3, 4)]
    assert upcoming(rule, start + timedelta(hours=4), 9, bounds) == []


def test_the_jitter_is_the_same_for_every_clock_and_within_its_bound() -> None:
    moments = [START + n * timedelta(minutes=1) for n in range(500)]
    shifts = [jitter("one", moment, timedelta(seconds=30)) for moment in moments]
    assert shifts == [jitter("one", moment, timedelta(seconds=30)) for moment in moments]
    assert all(timedelta(0) <= shift < timedelta(seconds=30) for shift in shifts)
    assert max(shifts) - min(shifts) > timedelta(seconds=25)
    assert jitter("one", START, timedelta(0)) == timedelta(0)
