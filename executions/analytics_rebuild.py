"""`workflow_metrics` made anew from the runs, or held against them: a day at a time, each in its own transaction."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Min, Q

from executions import rollup
from executions.analytics import changing_days
from executions.models import WorkflowExecution
from executions.rollup_rows import Key, month_count, month_write, months_stored
from workflows.metrics import Tally
from workflows.metrics_days import ONE_DAY, day_of, day_span, days_between, month_after, month_of
from workflows.models import MetricsCoverage, WorkflowMetrics, WorkflowMetricsMonth


@dataclass(frozen=True)
class Difference:
    """A figure of a row that is not what the runs, or for a month the days, come to. A missing row counts as zeros."""

    key: Key
    span: str
    figure: str
    stored: Any
    counted: Any

    @property
    def workflow_id(self) -> UUID:
        return self.key.workflow_id

    def __str__(self) -> str:
        what = f"workflow {self.workflow_id} version {self.key.version_number}, {self.span} of {self.key.day}"
        return f"{what}: {self.figure} is {self.stored}, it should be {self.counted}"


def metrics_rebuild(*, workflow_ids: Collection[UUID] | None = None, since: date | None = None) -> int:
    """Write the rows of every covered day anew and cover the days that are over; return how many days those were.

    What the table holds is right at every moment meanwhile, where it was right before. Rows of another zone than the
    desk's go, unless only some days or workflows are wanted.
    """
    zone = rollup.desk_zone()
    rollup.close_days()
    done = 0
    for day in _days(since):
        with transaction.atomic():
            rollup.coverage_locked()
            if workflow_ids is None:
                rollup.day_write(zone, day)
                if month_after(day) == day + ONE_DAY:
                    month_write(zone, month_of(day), None)
            else:
                rollup.days_write(zone, {workflow_id: {day} for workflow_id in workflow_ids})
        done += 1
    if workflow_ids is None and since is None:
        with transaction.atomic():
            rollup.coverage_locked()
            MetricsCoverage.objects.exclude(zone=zone.key).delete()
            WorkflowMetrics.objects.exclude(zone=zone.key).delete()
            WorkflowMetricsMonth.objects.exclude(zone=zone.key).delete()
    return done


def metrics_check(*, workflow_ids: Collection[UUID] | None = None, since: date | None = None) -> Iterator[Difference]:
    """Yield where covered days differ from their runs; a day that is read from its runs for now does not count."""
    for day in _days(since):
        yield from _day_check(day, workflow_ids)
        if month_after(day) == day + ONE_DAY:
            yield from _month_check(month_of(day), workflow_ids)


@transaction.atomic
def _day_check(day: date, workflow_ids: Collection[UUID] | None) -> list[Difference]:
    zone = rollup.desk_zone()
    rollup.coverage_locked()
    where, rows = rollup.created_in(day_span(day, zone)), WorkflowMetrics.objects.filter(zone=zone.key, date=day)
    if workflow_ids is not None:
        where, rows = where & Q(workflow_id__in=workflow_ids), rows.filter(workflow_id__in=workflow_ids)
    changing = changing_days(workflow_ids, day, day + ONE_DAY)
    counted = rollup.days_count(zone, where, [day])
    found = _differences("day", _tallies(rows), counted)
    return [each for each in found if each.workflow_id not in changing]


@transaction.atomic
def _month_check(month: date, workflow_ids: Collection[UUID] | None) -> list[Difference]:
    zone = rollup.desk_zone()
    rollup.coverage_locked()
    stored = _tallies(months_stored(zone, month, workflow_ids))
    return _differences("month", stored, month_count(zone, month, workflow_ids))


def _tallies(rows: Iterable[WorkflowMetrics | WorkflowMetricsMonth]) -> dict[Key, Tally]:
    return {Key(row.workflow_id, row.date, row.version_number): Tally.from_json(row.metrics) for row in rows}


def _differences(span: str, stored: Mapping[Key, Tally], counted: Mapping[Key, Tally]) -> list[Difference]:
    return [
        Difference(key, span, figure, is_, should_be)
        for key in sorted(stored.keys() | counted.keys())
        for figure, (is_, should_be) in stored.get(key, Tally()).differences(counted.get(key, Tally())).items()
    ]


def _days(since: date | None) -> Iterator[date]:
    """Yield the days of the desk that are covered, from the first that has a run or a row."""
    zone = rollup.desk_zone()
    coverage = MetricsCoverage.objects.filter(zone=zone.key).first()
    run = WorkflowExecution.objects.aggregate(first=Min("created_at"))["first"]
    row = WorkflowMetrics.objects.filter(zone=zone.key).aggregate(first=Min("date"))["first"]
    firsts = [day for day in (run and day_of(run, zone), row) if day is not None]
    if coverage is not None and firsts:
        yield from days_between(max(min(firsts), since or date.min), coverage.through)
