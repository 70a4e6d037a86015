"""How workflows did, read for the API: whole covered days from `workflow_metrics`, everything else from the runs.

What is read from the runs, so that each answer is as current as they are: the days that the table does not cover (today
among them), the ends of a span that begins or ends within a day, and each day in which something has changed or still
may: a run of it is unfinished, or a run or its trade has ended a moment ago and is not accounted for yet.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Trunc

from executions.choices import UNFINISHED
from executions.models import RunEnding, WorkflowExecution
from executions.rollup import count, created_in, desk_zone, trips_uncounted
from tradingsite.common.clock import utcnow
from workflows.metrics import Tally
from workflows.metrics_days import (
    ONE_DAY,
    Span,
    day_of,
    day_span,
    day_start,
    days_between,
    month_after,
    month_of,
    whole_days,
)
from workflows.models import MetricsCoverage, Workflow, WorkflowMetrics, WorkflowMetricsMonth

ALWAYS = Span()
ONE_HOUR = timedelta(hours=1)


class Part(NamedTuple):
    """What some of a workflow's runs come to. `day` is None unless it was asked for."""

    workflow_id: UUID
    version_number: int
    day: date | None
    tally: Tally


class Plan(NamedTuple):
    """Which whole days are read from the table, and what of each workflow is read from its runs."""

    first: date
    end: date
    edges: Sequence[Span]
    changing: Mapping[UUID, Collection[date]]


def tallies(workflow_ids: Collection[UUID], span: Span = ALWAYS, *, version: int | None = None) -> dict[UUID, Tally]:
    """Return what the runs that were created in the span come to, by workflow."""
    found = {workflow_id: Tally() for workflow_id in workflow_ids}
    for part in _parts(workflow_ids, span, versions=None if version is None else (version,)):
        found[part.workflow_id].add(part.tally)
    return found


def version_tallies(workflow_id: UUID, span: Span, versions: Collection[int]) -> dict[int, Tally]:
    """Return what the runs of these versions come to."""
    found = {version: Tally() for version in versions}
    for part in _parts((workflow_id,), span, versions=versions):
        found[part.version_number].add(part.tally)
    return found


def daily_tallies(workflow_id: UUID, first: date, last: date, *, version: int | None = None) -> dict[date, Tally]:
    """Return what the runs of each day come to, from the first day to the last, those without runs among them."""
    zone = desk_zone()
    span = Span(day_start(first, zone), day_start(last + ONE_DAY, zone))
    found = {day: Tally() for day in days_between(first, last + ONE_DAY)}
    versions = None if version is None else (version,)
    for part in _parts((workflow_id,), span, versions=versions, by_day=True):
        assert part.day is not None
        found[part.day].add(part.tally)
    return found


def _parts(
    workflow_ids: Collection[UUID], span: Span, *, versions: Collection[int] | None, by_day: bool = False
) -> Iterator[Part]:
    """Yield what adds up to the answer, from as many statements whatever the workflows are.

    The changing days are asked for first. A day that begins to change after that is read from its row as it was then,
    and one whose row is written meanwhile is read from its runs: nothing is counted twice or left out.
    """
    if not span:
        return
    plan = _plan(workflow_ids, span)
    if plan.first < plan.end:
        yield from _parts_of_rows(workflow_ids, plan, versions, by_day)
    yield from _parts_of_runs(workflow_ids, plan, versions, by_day)


def _parts_of_rows(
    workflow_ids: Collection[UUID], plan: Plan, versions: Collection[int] | None, by_day: bool
) -> Iterator[Part]:
    """Yield whole months from their own rows, unless days were asked for or one of theirs is changing; then days."""
    rows = Q(zone=desk_zone().key, workflow_id__in=workflow_ids)
    if versions is not None:
        rows &= Q(version_number__in=versions)
    days = Q(date__gte=plan.first, date__lt=plan.end)
    begin, finish = month_of(plan.first), month_of(plan.end)
    if begin < plan.first:
        begin = month_after(begin)
    if begin < finish and not by_day:
        broken = {
            (workflow_id, month_of(day))
            for workflow_id, changing in plan.changing.items()
            for day in changing
            if begin <= day < finish
        }
        for part in _read(WorkflowMetricsMonth.objects.filter(rows, date__gte=begin, date__lt=finish)):
            if part.day is not None and (part.workflow_id, part.day) not in broken:
                yield part._replace(day=None)
        days &= Q(date__lt=begin) | Q(date__gte=finish) | _days_of(broken)
    for part in _read(WorkflowMetrics.objects.filter(rows & days)):
        if part.day not in plan.changing.get(part.workflow_id, ()):
            yield part if by_day else part._replace(day=None)


def _read(rows: QuerySet[WorkflowMetrics] | QuerySet[WorkflowMetricsMonth]) -> Iterator[Part]:
    for workflow_id, version, day, metrics in rows.order_by().values_list(
        "workflow_id", "version_number", "date", "metrics"
    ):
        yield Part(workflow_id, version, day, Tally.from_json(metrics))


def _days_of(months: Collection[tuple[UUID, date]]) -> Q:
    found = Q(pk__in=[])
    for workflow_id, month in sorted(months):
        found |= Q(workflow_id=workflow_id, date__gte=month, date__lt=month_after(month))
    return found


def _parts_of_runs(
    workflow_ids: Collection[UUID], plan: Plan, versions: Collection[int] | None, by_day: bool
) -> Iterator[Part]:
    zone = desk_zone()
    where = Q(pk__in=[])
    for edge in plan.edges:
        where |= Q(workflow_id__in=workflow_ids) & created_in(edge)
    for workflow_id, days in plan.changing.items():
        for day in sorted(days):
            where |= Q(workflow_id=workflow_id) & created_in(day_span(day, zone))
    if versions is not None:
        where &= Q(workflow_version__version_number__in=versions)
    days_read: list[date] = []
    if by_day:
        inside = {day for days in plan.changing.values() for day in days}
        for edge in plan.edges:
            assert edge.start is not None
            assert edge.end is not None
            inside.update(
                days_between(day_of(edge.start, zone), day_of(edge.end - timedelta.resolution, zone) + ONE_DAY)
            )
        days_read = sorted(inside)
    for group, tally in count(where, [day_start(day, zone) for day in days_read[1:]]).items():
        yield Part(group.workflow_id, group.version_number, days_read[group.slot] if by_day else None, tally)


def _plan(workflow_ids: Collection[UUID], span: Span) -> Plan:
    zone = desk_zone()
    through = MetricsCoverage.objects.filter(zone=zone.key).values_list("through", flat=True).first()
    first, end = whole_days(span, zone, first=date.min, end=date.min if through is None else through)
    if first >= end:
        return Plan(first, first, [span], {})
    head, tail = Span(span.start, day_start(first, zone)) if span.start else None, Span(day_start(end, zone), span.end)
    edges = [edge for edge in (head, tail) if edge]
    return Plan(first, end, edges, changing_days(workflow_ids, first, end))


def changing_days(workflow_ids: Collection[UUID] | None, first: date, end: date) -> dict[UUID, set[date]]:
    """Return the days from `first` up to and without `end` whose rows may differ from their runs, by workflow.

    They are asked for by the hour, of which there are few whatever waits. Where days begin within an hour of UTC, both
    that touch it are named.

    Args:
        workflow_ids: None for all.
    """
    zone = desk_zone()
    before = day_start(end, zone)
    unfinished = WorkflowExecution.objects.filter(
        workflow_id__isnull=False, status__in=sorted(UNFINISHED), created_at__lt=before
    )
    ended = RunEnding.objects.filter(workflow_id__isnull=False, run_created_at__lt=before)
    traded = WorkflowExecution.objects.filter(pk__in=trips_uncounted().values("execution_id"), created_at__lt=before)
    traded = traded.filter(workflow_id__isnull=False)
    if workflow_ids is not None:
        traded = traded.filter(workflow_id__in=workflow_ids)
        unfinished = unfinished.filter(workflow_id__in=workflow_ids)
        ended = ended.filter(workflow_id__in=workflow_ids)
    found: dict[UUID, set[date]] = defaultdict(set)
    hours = _hours(unfinished, "created_at"), _hours(ended, "run_created_at"), _hours(traded, "created_at")
    for workflow_id, hour in hours[0].union(*hours[1:]):
        for moment in (hour, hour + ONE_HOUR - timedelta.resolution):
            day = day_of(moment, zone)
            if first <= day < end:
                found[workflow_id].add(day)
    return dict(found)


def _hours(rows: QuerySet[Any], name: str) -> QuerySet[Any, Any]:
    hour = Trunc(F(name), "hour", tzinfo=UTC)
    return rows.order_by().annotate(hour=hour).values_list("workflow_id", "hour").distinct()


def names(workflow_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return what those of these workflows are called that are there, in the order given."""
    found = dict(Workflow.objects.alive().filter(pk__in=workflow_ids).values_list("pk", "name"))
    return {workflow_id: found[workflow_id] for workflow_id in workflow_ids if workflow_id in found}


def today() -> date:
    """Return the desk's day."""
    return day_of(utcnow(), desk_zone())
