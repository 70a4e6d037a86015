"""What adds up, and what is said of the sum."""

import json
import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.metrics import Tally
from workflows.metrics_days import Span, day_of, day_span, day_start, days_between, whole_days
from workflows.metrics_sketch import ALPHA, DurationSketch, bucket_of

ZONES = [
    "America/New_York",
    "Asia/Tokyo",
    "UTC",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
]


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Return moments from the beginning of one year to that of another."""
    bounds = [datetime.fromisoformat(f"{year}-01-01") for year in (first, last)]
    return st.datetimes(*bounds, timezones=st.just(UTC))


# From no time at all to a year.
micros = st.integers(0, 365 * 86_400 * 1_000_000)


def sketch_of(durations: list[int]) -> DurationSketch:
    sketch = DurationSketch()
    for each in durations:
        sketch.put(bucket=bucket_of(each), count=1, total=each, least=each, greatest=each)
    return sketch


def nearest_rank(durations: list[int], fraction: float) -> float:
    return sorted(durations)[max(math.ceil(fraction * len(durations)), 1) - 1] / 1_000_000


@given(st.lists(micros, min_size=1, max_size=60), st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 1.0]))
def test_a_percentile_is_within_one_percent_of_the_true_one(durations: list[int], fraction: float) -> None:
    true = nearest_rank(durations, fraction)
    assert sketch_of(durations).percentile(fraction) == pytest.approx(true, rel=ALPHA * (1 + 1e-9), abs=1e-12)


@given(st.lists(st.lists(micros, max_size=20), max_size=6))
def test_sketches_added_are_the_sketch_of_all_durations(parts: list[list[int]]) -> None:
    added = DurationSketch()
    for part in parts:
        added.add(DurationSketch.from_json(json.loads(json.dumps(sketch_of(part).to_json()))))
    assert added == sketch_of([each for part in parts for each in part])


def test_percentiles_of_one_duration_are_that_duration() -> None:
    sketch = sketch_of([12_345_678])
    assert (sketch.percentile(0.5), sketch.percentile(0.95), sketch.average) == (12.345678, 12.345678, 12.345678)


def test_without_durations_nothing_is_said_of_them() -> None:
    assert (DurationSketch().percentile(0.5), DurationSketch().average, DurationSketch().to_json()) == (None, None, {})


tallies = st.builds(
    Tally,
    by_status=st.dictionaries(st.sampled_from(["completed", "failed", "cancelled"]), st.integers(1, 9), max_size=3).map(
        Counter
    ),
    durations=st.lists(micros, max_size=5).map(sketch_of),
    decisions=st.dictionaries(st.sampled_from(["BUY", "SELL", "HOLD"]), st.integers(1, 9)).map(Counter),
    orders_placed=st.integers(0, 9),
    r_sum=st.integers(-40, 40).map(lambda quarters: quarters / 4),
    r_count=st.integers(0, 9),
    trades=st.integers(5, 9),
    wins=st.integers(0, 5),
)


@given(st.lists(tallies, max_size=5))
def test_tallies_add_up_through_the_table_in_any_order(parts: list[Tally]) -> None:
    forth, back = Tally(), Tally()
    for part in parts:
        forth.add(Tally.from_json(json.loads(json.dumps(part.to_json()))))
    for part in reversed(parts):
        back.add(part)
    assert forth.summary() == back.summary()
    assert forth.differences(back) == {}


def test_rates_come_from_the_sum_and_not_from_rates() -> None:
    many = Tally(by_status=Counter(completed=98, failed=2), trades=10, wins=1, r_sum=30.0, r_count=10)
    few = Tally(by_status=Counter(completed=1, failed=1, cancelled=7), trades=1, wins=1, r_sum=1.0, r_count=1)
    many.add(few)
    said = many.summary()
    assert said["total_executions"] == 109
    assert said["success_rate"] == 99 / 102, "the cancelled ones neither succeeded nor failed"
    assert said["win_rate"] == 2 / 11
    assert said["average_r_coefficient"] == 31 / 11


def test_of_no_runs_nothing_is_said_but_zero_counts() -> None:
    said = Tally().summary()
    assert said["total_executions"] == said["orders_placed"] == said["completed_trades"] == 0
    assert said["by_status"] == {"pending": 0, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert said["decisions_breakdown"] == {"BUY": 0, "SELL": 0, "HOLD": 0}
    unknown = "success_rate average_duration duration_p50 duration_p95 average_r_coefficient win_rate"
    assert [said[name] for name in unknown.split()] == [None] * 6


def test_a_row_that_differs_says_in_what() -> None:
    assert Tally(orders_placed=2).differences(Tally(orders_placed=3)) == {"orders_placed": (2, 3)}
    assert Tally(r_sum=0.1 + 0.2).differences(Tally(r_sum=0.3)) == {}, "the last digits depend on the order of adding"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        # The clocks jump from midnight to one.
        ("Asia/Beirut", date(2026, 3, 29), 23),
        # They go back at midnight, to eleven in the evening.
        ("America/Sao_Paulo", date(2018, 2, 17), 25),
        ("Asia/Tokyo", date(2026, 3, 8), 24),
    ],
)
def test_a_day_has_the_hours_that_its_clocks_give_it(zone: str, day: date, hours: float) -> None:
    span = day_span(day, ZoneInfo(zone))
    assert span.start is not None
    assert span.end is not None
    assert span.end - span.start == timedelta(hours=hours)


@given(
    moments(2015, 2030),
    st.sampled_from(ZONES).map(ZoneInfo),
)
def test_each_moment_lies_in_exactly_the_day_whose_name_it_has(moment: datetime, zone: ZoneInfo) -> None:
    span = day_span(day_of(moment, zone), zone)
    assert span.start is not None
    assert span.end is not None
    assert span.start <= moment < span.end


@given(
    moments(2026, 2027) | st.none(),
    moments(2026, 2027) | st.none(),
    st.booleans(),
    st.sampled_from(ZONES).map(ZoneInfo),
)
def test_the_whole_days_of_a_span_are_those_that_lie_inside_it(
    start: datetime | None, end: datetime | None, at_midnight: bool, zone: ZoneInfo
) -> None:
    if at_midnight:
        start = start and day_start(day_of(start, zone), zone)
        end = end and day_start(day_of(end, zone), zone)
    known = (date(2026, 3, 1), date(2026, 5, 1))
    first, last = whole_days(Span(start, end), zone, first=known[0], end=known[1])
    inside = []
    for day in days_between(*known):
        span = day_span(day, zone)
        assert span.start is not None
        assert span.end is not None
        if (start is None or start <= span.start) and (end is None or span.end <= end):
            inside.append(day)
    assert list(days_between(first, last)) == inside
