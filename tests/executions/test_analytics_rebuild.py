"""The table of figures made anew from the runs, and held against them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions import rollup
from executions.models import WorkflowExecution
from tests.executions.analytics_desk import Desk, make_desk, note
from workflows.models import MetricsCoverage, WorkflowMetrics, WorkflowMetricsMonth

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)
DAY = timedelta(days=1)
Rebuild = Callable[..., str]


@pytest.fixture
def desk(frozen_clock: Any) -> Desk:
    frozen_clock(NOON)
    desk = make_desk()
    for days in (0, 1, 2, 5, 9):
        for workflow in (0, 1):
            desk.run(NOON - days * DAY, workflow=workflow, orders_placed=days, r_sum=0.1, r_count=1)
    return desk


@pytest.fixture
def rebuild() -> Rebuild:
    def call(*args: str) -> str:
        out = StringIO()
        call_command("rebuild_metrics", *args, stdout=out)
        return out.getvalue()

    return call


def rows() -> list[tuple[Any, ...]]:
    return sorted(
        WorkflowMetrics.objects.values_list(
            "zone", "workflow__name", "date", "version_number", "metrics__orders_placed"
        )
    )


def test_a_rebuild_covers_every_day_that_is_over(desk: Desk, rebuild: Rebuild) -> None:
    rebuild()
    assert MetricsCoverage.objects.get().through == date(2026, 3, 10)
    assert [row[2:] for row in rows()] == 2 * [
        (date(2026, 3, 1), 1, 9), (date(2026, 3, 5), 1, 5), (date(2026, 3, 8), 1, 2), (date(2026, 3, 9), 1, 1),
    ]  # fmt: skip
    assert "adds up" in rebuild("--check")


def test_a_check_names_each_figure_that_differs_and_changes_nothing(desk: Desk, rebuild: Rebuild) -> None:
    rebuild()
    row = WorkflowMetrics.objects.filter(workflow=desk.workflows[0]).earliest("date")
    row.metrics["orders_placed"] = 8
    row.save()
    before = rows()
    out = StringIO()
    with pytest.raises(CommandError, match="1 figures differ"):
        call_command("rebuild_metrics", "--check", stdout=out)
    said = f"workflow {desk.workflows[0].pk} version 1, day of 2026-03-01: orders_placed is 8, it should be 9"
    assert out.getvalue().strip() == said
    assert rows() == before
    rebuild()
    assert "adds up" in rebuild("--check")


def test_a_row_that_is_missing_or_has_no_runs_is_found_and_mended(desk: Desk, rebuild: Rebuild) -> None:
    rebuild()
    right = rows()
    WorkflowMetrics.objects.filter(workflow=desk.workflows[0], date=date(2026, 3, 9)).delete()
    row = WorkflowMetrics.objects.earliest("date")
    for day in (date(2026, 2, 1), date(2026, 3, 3)):
        row.pk, row.date = None, day
        row.save()
    with pytest.raises(CommandError, match="figures differ"):
        rebuild("--check")
    rebuild()
    assert rows() == right


def test_only_the_workflow_and_the_days_asked_for_are_counted_again(desk: Desk, rebuild: Rebuild) -> None:
    rebuild()
    WorkflowMetrics.objects.all().delete()
    rebuild("--workflow", "Measured 0", "--since", "2026-03-06")
    assert [row[1:3] for row in rows()] == [("Measured 0", date(2026, 3, 8)), ("Measured 0", date(2026, 3, 9))]
    assert "adds up" in rebuild("--check", "--workflow", str(desk.workflows[0].pk), "--since", "2026-03-06")
    with pytest.raises(CommandError, match="differ"):
        rebuild("--check", "--workflow", str(desk.workflows[0].pk))


def test_a_day_that_is_read_from_its_runs_for_now_does_not_differ(desk: Desk, rebuild: Rebuild) -> None:
    rebuild()
    run = WorkflowExecution.objects.filter(workflow=desk.workflows[0]).earliest("created_at")
    run.status = "failed"
    run.save()
    with pytest.raises(CommandError, match="differ"):
        rebuild("--check")
    note(run)
    assert "adds up" in rebuild("--check")


def test_rows_of_a_zone_that_the_desk_has_left_go(desk: Desk, rebuild: Rebuild, settings: Any) -> None:
    rebuild()
    settings.DESK_TIME_ZONE = "Asia/Tokyo"
    rebuild("--since", "2026-03-01")
    assert {row[0] for row in rows()} == {"America/New_York", "Asia/Tokyo"}
    rebuild()
    assert {row[0] for row in rows()} == {"Asia/Tokyo"}
    assert MetricsCoverage.objects.get().zone == "Asia/Tokyo"
    assert "adds up" in rebuild("--check")


def test_without_runs_there_is_nothing_to_count(db: None, rebuild: Rebuild) -> None:
    assert "0 days" in rebuild()
    assert "adds up" in rebuild("--check")


@pytest.mark.parametrize(
    ("args", "said"), [(("--since", "yesterday"), "no date"), (("--workflow", "Nobody"), "no workflow named 'Nobody'")]
)
def test_what_cannot_be_counted_is_refused(db: None, rebuild: Rebuild, args: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        rebuild(*args)


# --- months ------------------------------------------------------------------------------------------------------


def months() -> list[tuple[Any, ...]]:
    figures = ("date", "version_number", "metrics__total_executions")
    return sorted(WorkflowMetricsMonth.objects.values_list("workflow__name", *figures))


def test_a_month_is_written_when_its_last_day_is_over(frozen_clock: Any) -> None:
    frozen_clock(NOON)
    desk = make_desk()
    for at, version in ((NOON - 20 * DAY, 1), (NOON - 11 * DAY, 1), (NOON - 10 * DAY, 2), (NOON, 1)):
        desk.run(at, version=version)
    rollup.close_days()
    february = [("Measured 0", date(2026, 2, 1), 1, 2), ("Measured 0", date(2026, 2, 1), 2, 1)]
    assert months() == february
    frozen_clock(NOON + 21 * DAY)
    rollup.close_days()
    assert months() == february, "it is the last of March"
    frozen_clock(NOON + 22 * DAY)
    rollup.close_days()
    assert months() == [*february, ("Measured 0", date(2026, 3, 1), 1, 1)]


def test_a_month_follows_its_days(frozen_clock: Any, rebuild: Rebuild) -> None:
    frozen_clock(NOON)
    desk = make_desk()
    run = desk.run(NOON - 20 * DAY, version=2)
    rollup.close_days()
    rollup.roll_up([note(desk.run(NOON - 19 * DAY))])
    assert [row[2:] for row in months()] == [(1, 1), (2, 1)]
    ending = note(run)
    run.delete()
    rollup.roll_up([ending])
    assert [row[2:] for row in months()] == [(1, 1)]
    rollup.roll_up([note(desk.run(NOON))])
    assert [row[1] for row in months()] == [date(2026, 2, 1)], "March is not over"


def test_a_month_that_differs_from_its_days_is_named_and_mended(frozen_clock: Any, rebuild: Rebuild) -> None:
    frozen_clock(NOON)
    desk = make_desk()
    desk.run(NOON - 20 * DAY, orders_placed=3)
    rebuild()
    row = WorkflowMetricsMonth.objects.get()
    row.metrics["orders_placed"] = 5
    row.save()
    out = StringIO()
    with pytest.raises(CommandError, match="1 figures differ"):
        call_command("rebuild_metrics", "--check", stdout=out)
    assert "month of 2026-02-01: orders_placed is 5, it should be 3" in out.getvalue()
    rebuild("--workflow", "Measured 0")
    assert "adds up" in rebuild("--check")
    WorkflowMetricsMonth.objects.all().delete()
    rebuild()
    assert "adds up" in rebuild("--check")


# --- the days that are over --------------------------------------------------------------------------------------


def test_a_day_is_closed_when_it_is_over_and_only_then(frozen_clock: Any) -> None:
    frozen_clock(NOON)
    desk = make_desk()
    desk.run(NOON)
    rollup.close_days()
    assert not WorkflowMetrics.objects.exists()
    frozen_clock(datetime(2026, 3, 11, 3, 59, 59, tzinfo=UTC))
    assert rollup.close_days() == 0
    frozen_clock(datetime(2026, 3, 11, 4, 0, tzinfo=UTC))
    assert rollup.close_days() == 1
    assert WorkflowMetrics.objects.get().date == date(2026, 3, 10)


def test_years_without_runs_are_passed_over_at_once(frozen_clock: Any) -> None:
    frozen_clock(NOON)
    desk = make_desk()
    desk.run(NOON - 900 * DAY)
    desk.run(NOON - 3 * DAY)
    assert rollup.close_days() == 3, "two days with runs, and the way to today"
    assert MetricsCoverage.objects.get().through == date(2026, 3, 10)
    assert WorkflowMetrics.objects.count() == 2


def test_of_a_busy_day_that_is_not_over_the_row_is_written_seldom(
    frozen_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "BUSY", 2)
    frozen_clock(NOON)
    desk = make_desk()
    counted = []
    for _ in range(5):
        rollup.roll_up([note(desk.run(NOON))])
        counted.append(WorkflowMetrics.objects.get().metrics["total_executions"])
    assert counted == [1, 2, 3, 3, 3]
    frozen_clock(NOON + rollup.BUSY_PAUSE)
    rollup.roll_up([note(desk.run(NOON))])
    assert WorkflowMetrics.objects.get().metrics["total_executions"] == 6


def test_of_a_busy_day_that_is_over_no_end_is_passed_over(frozen_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "BUSY", 0)
    frozen_clock(NOON)
    desk = make_desk()
    desk.run(NOON - DAY)
    rollup.close_days()
    rollup.roll_up([note(desk.run(NOON - DAY))])
    assert WorkflowMetrics.objects.get().metrics["total_executions"] == 2


def test_a_run_without_a_workflow_is_in_no_row(frozen_clock: Any) -> None:
    frozen_clock(NOON)
    run = make_desk().run(NOON - DAY)
    WorkflowExecution.objects.update(workflow=None)
    run.refresh_from_db()
    rollup.roll_up([note(run)])
    rollup.close_days()
    assert not WorkflowMetrics.objects.exists()
