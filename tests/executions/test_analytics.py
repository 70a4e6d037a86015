"""How workflows did: always what counting every run one by one comes to, wherever it is read from."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executions import analytics, rollup
from executions.models import RunEnding, WorkflowExecution
from portfolio.models import RoundTrip
from tests.executions.analytics_desk import Desk, assert_same, by_hand, make_desk, note
from tradingsite.common import clock
from workflows.metrics_days import Span, day_of, day_start
from workflows.models import MetricsCoverage, WorkflowMetrics, WorkflowMetricsMonth

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture
def desk(frozen_clock: Any) -> Desk:
    """A desk in New York, two days after its clocks went forward."""
    frozen_clock(NOON)
    return make_desk()


def settle() -> None:
    """Do what follows the ends that were noted."""
    with transaction.atomic():
        endings = list(RunEnding.objects.all())
        rollup.roll_up(endings)
        RunEnding.objects.all().delete()


def figures(desk: Desk, workflow: int = 0, span: Span = analytics.ALWAYS, version: int | None = None) -> dict[str, Any]:
    pk = desk.workflows[workflow].pk
    return analytics.tallies([pk], span, version=version)[pk].summary()


# --- where it is read from ---------------------------------------------------------------------------------------


def test_a_covered_day_is_read_from_its_row_and_today_from_the_runs(desk: Desk) -> None:
    desk.run(NOON - 3 * DAY)
    desk.run(NOON)
    rollup.close_days()
    WorkflowMetrics.objects.all().update(metrics={**WorkflowMetrics.objects.get().metrics, "orders_placed": 40})
    assert figures(desk)["orders_placed"] == 40, "the row was asked for the day that is over"
    assert figures(desk)["total_executions"] == 2, "and the runs for today"


def test_a_whole_month_is_read_from_its_row_unless_a_day_of_it_is_changing(desk: Desk) -> None:
    for days in (70, 20, 15, 3):
        desk.run(NOON - days * DAY)
    rollup.close_days()
    for month in WorkflowMetricsMonth.objects.all():
        month.metrics["orders_placed"] = 10 * month.date.month + (month.date.year - 2026) * 110
        month.save()
    # December and February have rows of months; March is not over.
    assert figures(desk)["orders_placed"] == 30
    assert figures(desk)["total_executions"] == 4
    note(desk.run(NOON - 14 * DAY))
    assert figures(desk)["orders_placed"] == 10, "February is read by the day"
    assert figures(desk)["total_executions"] == 5
    whole = Span(day_start(date(2026, 2, 1), rollup.desk_zone()), day_start(date(2026, 3, 1), rollup.desk_zone()))
    assert figures(desk, span=whole)["total_executions"] == 3
    assert figures(desk, workflow=1)["orders_placed"] == 0


def test_a_day_with_a_run_that_goes_on_is_read_from_its_runs(desk: Desk) -> None:
    desk.run(NOON - 3 * DAY, status="failed")
    rollup.close_days()
    run = WorkflowExecution.objects.get()
    run.status, run.completed_at = "pending", None
    run.save()
    assert figures(desk)["by_status"] == {"pending": 1, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}


def test_a_run_that_ended_a_moment_ago_counts_before_its_row_is_written(desk: Desk) -> None:
    run = desk.run(NOON - 3 * DAY, status="running")
    rollup.close_days()
    desk.end(run)
    assert figures(desk)["by_status"]["completed"] == 1
    assert not WorkflowMetrics.objects.exists()
    settle()
    assert WorkflowMetrics.objects.get().date == date(2026, 3, 7)
    assert figures(desk)["by_status"]["completed"] == 1


def test_of_a_day_in_two_of_utcs_hours_both_sides_are_read_again(desk: Desk, settings: Any) -> None:
    settings.DESK_TIME_ZONE = "Asia/Kolkata"
    midnight = day_start(date(2026, 3, 5), ZoneInfo("Asia/Kolkata"))
    before, after = desk.run(midnight - SECOND, status="failed"), desk.run(midnight, status="failed")
    rollup.close_days()
    for run in (before, after):
        run.status, run.completed_at = "pending", None
        run.save()
    assert figures(desk)["by_status"]["pending"] == 2
    assert figures(desk, span=Span(midnight, None))["by_status"]["pending"] == 1


def test_before_anything_was_covered_everything_is_read_from_the_runs(desk: Desk) -> None:
    desk.run(NOON - 30 * DAY)
    assert not MetricsCoverage.objects.exists()
    assert figures(desk)["total_executions"] == 1


def test_another_zone_asks_for_no_row_of_the_old_one(desk: Desk, settings: Any) -> None:
    midnight = day_start(date(2026, 3, 5), ZoneInfo("America/New_York"))
    desk.run(midnight)
    rollup.close_days()
    settings.DESK_TIME_ZONE = "Asia/Tokyo"
    tokyo = Span(midnight - HOUR, midnight + HOUR)
    assert figures(desk, span=tokyo)["total_executions"] == 1
    rollup.close_days()
    assert figures(desk, span=tokyo)["total_executions"] == 1
    assert sorted(MetricsCoverage.objects.values_list("zone", flat=True)) == ["America/New_York", "Asia/Tokyo"]


def test_the_statements_are_as_many_for_a_year_of_ten_workflows_as_for_a_day_of_one(frozen_clock: Any) -> None:
    frozen_clock(NOON)
    desk = make_desk(workflows=10)
    for number in range(10):
        for days in (1, 3, 90, 400):
            desk.run(NOON - days * DAY, workflow=number)
    rollup.close_days()
    with CaptureQueriesContext(connection) as few:
        analytics.tallies([desk.workflows[0].pk], Span(NOON - 3 * DAY, NOON))
    for number in range(10):
        desk.run(NOON - number * DAY, workflow=number, status="pending")
        note(desk.run(NOON - 40 * DAY, workflow=number))
    with CaptureQueriesContext(connection) as many:
        analytics.tallies([each.pk for each in desk.workflows])
    assert (len(few), len(many)) == (4, 5), "one more for the months, of which three days hold none"


# --- what it is --------------------------------------------------------------------------------------------------


def test_a_run_that_was_retried_counts_but_its_duration_does_not(desk: Desk) -> None:
    desk.run(NOON, took=timedelta(minutes=2))
    desk.retry(desk.run(NOON, took=timedelta(days=4)))
    found = figures(desk)
    assert found["by_status"]["completed"] == 2
    assert found["average_duration"] == 120.0


def test_only_completed_runs_have_a_duration(desk: Desk) -> None:
    for status in ("failed", "cancelled", "running"):
        desk.run(NOON, status=status, took=timedelta(hours=1))
    assert figures(desk)["average_duration"] is None


def test_a_clock_that_went_back_makes_no_negative_duration(desk: Desk) -> None:
    desk.run(NOON, took=timedelta(seconds=-5))
    assert (figures(desk)["average_duration"], figures(desk)["duration_p95"]) == (0.0, 0.0)


def test_versions_are_told_apart_on_both_ways(desk: Desk) -> None:
    for version, runs in ((1, 2), (2, 3)):
        for number in range(runs):
            desk.run(NOON - number * DAY, version=version)
    rollup.close_days()
    assert [figures(desk, version=version)["total_executions"] for version in (1, 2, 3, None)] == [2, 3, 0, 5]
    told = analytics.version_tallies(desk.workflows[0].pk, analytics.ALWAYS, (1, 2))
    assert {version: tally.runs for version, tally in told.items()} == {1: 2, 2: 3}


def test_a_trade_counts_where_the_run_counts_whose_order_opened_it(desk: Desk) -> None:
    opener = desk.run(NOON - 9 * DAY)
    desk.run(NOON - DAY)
    for profit in (12, 0, -3, None):
        desk.trade(opener, profit)
    told = figures(desk)
    assert (told["completed_trades"], told["win_rate"]) == (3, pytest.approx(1 / 3)), (
        "even is no win, open is no trade yet"
    )
    of_its_day = figures(desk, span=Span(opener.created_at, opener.created_at + SECOND))
    assert of_its_day["completed_trades"] == 3, "though it was closed days later"
    assert figures(desk, span=Span(NOON - 2 * DAY, None))["completed_trades"] == 0
    assert figures(desk, workflow=1)["win_rate"] is None


def test_a_trade_that_is_over_long_after_its_run_counts_at_once_and_is_written_to_its_day(desk: Desk) -> None:
    run = desk.run(NOON - 9 * DAY)
    rollup.close_days()
    desk.trade(run, 5)
    assert WorkflowMetrics.objects.get().metrics["completed_trades"] == 0
    assert figures(desk)["completed_trades"] == 1
    assert rollup.count_trades() == 1
    assert WorkflowMetrics.objects.get().metrics["completed_trades"] == 1
    assert figures(desk)["completed_trades"] == 1
    assert rollup.count_trades() == 0


def test_a_trade_of_nobodys_run_keeps_nobody_busy(desk: Desk) -> None:
    run = desk.run(NOON - 9 * DAY)
    trip = desk.trade(run, 5)
    trip.execution_id = None
    trip.save()
    assert rollup.count_trades() == 0


# --- against counting by hand ------------------------------------------------------------------------------------

ZONES = ("America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Beirut")
# Around the clocks' change in New York, Beirut and Lord Howe.
BORDERS = st.sampled_from(
    [
        date(2026, 2, 1),
        date(2026, 3, 1),
        date(2026, 4, 1),
        date(2026, 3, 7),
        date(2026, 3, 8),
        date(2026, 3, 9),
        date(2026, 3, 29),
        date(2026, 4, 5),
    ]
)
NUDGES = st.sampled_from([timedelta(0), -timedelta.resolution, timedelta.resolution, -HOUR, HOUR, 5 * HOUR])


@st.composite
def moments(draw: st.DrawFn, zone: str) -> datetime:
    """A moment at or next to a midnight of the desk or of UTC, or anywhere."""
    if draw(st.booleans()):
        return draw(st.datetimes(datetime.fromisoformat("2026-01-20"), datetime.fromisoformat("2026-04-20"))).replace(
            tzinfo=UTC
        )
    return day_start(draw(BORDERS), ZoneInfo(draw(st.sampled_from([zone, "UTC"])))) + draw(NUDGES)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Any]:
    zone = draw(st.sampled_from(ZONES))
    run = st.fixed_dictionaries(
        {
            "created_at": moments(zone),
            "workflow": st.integers(0, 1),
            "version": st.integers(1, 2),
            "status": st.sampled_from(
                ["completed", "completed", "completed", "failed", "cancelled", "pending", "running"]
            ),
            "took": st.timedeltas(timedelta(0), timedelta(hours=3)),
            "orders_placed": st.integers(0, 3),
            "buys": st.integers(0, 3),
            "sells": st.integers(0, 3),
            "holds": st.integers(0, 3),
            "r_sum": st.floats(-5, 5),
            "r_count": st.integers(0, 3),
        }
    )
    return {
        "zone": zone,
        "runs": draw(st.lists(run, min_size=1, max_size=12)),
        "retried": draw(st.sets(st.integers(0, 11))),
        # What happens after the days were closed: runs end, are retried, are accounted for or not.
        "ended": draw(st.sets(st.integers(0, 11))),
        "again": draw(st.sets(st.integers(0, 11))),
        "trades": draw(st.lists(st.tuples(st.integers(0, 11), st.integers(-2, 2) | st.none()), max_size=4)),
        "trades_counted": draw(st.booleans()),
        "settled": draw(st.booleans()),
        "closed": draw(st.integers(0, 2)),
        "now": draw(moments(zone)),
        "spans": draw(
            st.lists(st.tuples(moments(zone) | st.none(), moments(zone) | st.none()), min_size=2, max_size=2)
        ),
    }


def live_through(desk: Desk, history: dict[str, Any]) -> None:
    """Write the runs, close the days before, between or after them, and let some of them change afterwards."""
    half = len(history["runs"]) // 2
    runs = [desk.run(**each) for each in history["runs"][:half]]
    if history["closed"]:
        rollup.close_days()
    for each in history["runs"][half:]:
        runs.append(desk.run(**each))
        if runs[-1].completed_at:
            note(runs[-1])
    if history["closed"] == 2:
        rollup.close_days()
    for number, run in enumerate(runs):
        if number in history["retried"] and run.status != "pending":
            desk.retry(run)
            if run.completed_at:
                note(run)
        if number in history["ended"] and run.completed_at is None:
            desk.end(run)
        elif number in history["again"] and run.status in ("failed", "cancelled"):
            desk.retry(run)
            run.status, run.completed_at = "pending", None
            run.save()
    for number, profit in history["trades"]:
        if number < len(runs):
            desk.trade(runs[number], profit)
    if history["trades_counted"]:
        rollup.count_trades()
    if history["settled"]:
        settle()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories())
def test_every_answer_is_what_counting_by_hand_comes_to(settings: Any, history: dict[str, Any]) -> None:
    settings.DESK_TIME_ZONE = history["zone"]
    zone = ZoneInfo(history["zone"])
    with transaction.atomic(), clock.frozen(history["now"]):
        desk = make_desk()
        live_through(desk, history)
        everything = list(
            WorkflowExecution.objects.select_related("workflow_version").prefetch_related("earlier_tasks")
        )
        trips = list(RoundTrip.objects.all())
        for start, end in [(None, None), *history["spans"]]:
            for workflow, version in ((0, None), (1, None), (0, 2)):
                runs = [
                    run
                    for run in everything
                    if run.workflow_id == desk.workflows[workflow].pk
                    and (start is None or start <= run.created_at)
                    and (end is None or run.created_at < end)
                    and (version is None or run.workflow_version.version_number == version)  # type: ignore[union-attr]
                ]
                assert_same(figures(desk, workflow, Span(start, end), version), by_hand(runs, trips))
        pk = desk.workflows[0].pk
        for day, tally in analytics.daily_tallies(pk, date(2026, 1, 18), date(2026, 4, 22)).items():
            runs = [run for run in everything if run.workflow_id == pk and day_of(run.created_at, zone) == day]
            assert_same(tally.summary(), by_hand(runs, trips))
        transaction.set_rollback(True)
