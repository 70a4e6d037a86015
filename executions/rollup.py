"""The table `workflow_metrics`, kept by what the runs say: one statement counts them, whatever the days asked for.

Whoever writes there holds the lock of `MetricsCoverage` before it counts, so that no older count is written over a newer
one. Everything here may be done twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    FloatField,
    Func,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Ceil, Coalesce, Ln
from django.db.models.lookups import IsNull

from executions.choices import TERMINAL, ExecutionStatus
from executions.models import EarlierTask, RunEnding, WorkflowExecution
from executions.rollup_rows import Key, keys_of, month_write, rows_store
from portfolio.models import RoundTrip
from tradingsite.common.clock import utcnow
from workflows.metrics import Tally
from workflows.metrics_days import ONE_DAY, Span, day_of, day_span, day_start, month_after, month_of, months_between
from workflows.metrics_sketch import LN_GAMMA, NO_TIME
from workflows.models import MetricsCoverage, WorkflowMetrics

EVERY_S = 30.0
# How many days of workflows one statement counts.
BITE = 200
# How many trades are counted in one transaction.
TRIPS = 500
# A day that is not over is not read from the table. Of a busy one the row is therefore written this seldom.
BUSY, BUSY_PAUSE = 5_000, timedelta(seconds=30)

SUMMED = ("buys", "sells", "holds", "orders_placed", "r_sum", "r_count", "trades", "wins")

Days = Mapping[UUID, Collection[date]]


class Group(NamedTuple):
    """Which runs a tally is of. `slot` says after how many of the given borders they were created."""

    workflow_id: UUID
    version_number: int
    slot: int


class Microseconds(Func):
    """The whole microseconds from the second of two times to the first."""

    arity = 2
    output_field = BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "(EXTRACT(EPOCH FROM %(expressions)s) * 1000000)::bigint"
        return self.as_sql(compiler, connection, template=template, arg_joiner=" - ", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, function="django_timestamp_diff", **extra)


def desk_zone() -> ZoneInfo:
    """Return the zone whose midnights bound the desk's days."""
    return ZoneInfo(settings.DESK_TIME_ZONE)


def created_in(span: Span) -> Q:
    """Return the condition that a run was created in the span."""
    found = Q()
    if span.start is not None:
        found &= Q(created_at__gte=span.start)
    if span.end is not None:
        found &= Q(created_at__lt=span.end)
    return found


def count(where: Q, borders: Sequence[datetime] = ()) -> dict[Group, Tally]:
    """Count the runs that `where` names, in one statement, by workflow, version and slot.

    Args:
        borders: moments in order; a run created before the first is in slot 0, before the second in slot 1, and so on.
    """
    slot = Case(
        *[When(created_at__lt=border, then=Value(number)) for number, border in enumerate(borders)],
        default=Value(len(borders)),
        output_field=IntegerField(),
    )
    took = Microseconds(F("completed_at"), F("started_at"))
    # As a value and not by EXISTS, for which PostgreSQL reads the whole table to hash it, be it for a day's few runs.
    retry = Subquery(EarlierTask.objects.filter(execution=OuterRef("pk")).values("pk")[:1])
    timed = Q(status=ExecutionStatus.COMPLETED, started_at__isnull=False) & IsNull(retry, True)
    # The same as `bucket_of`. Two floors of mathematics may differ in the last digit; a duration on the very border of
    # two buckets is within the promised error of both.
    bucket = Case(
        When(took__gt=0, then=Cast(Ceil(Ln(Cast(took, FloatField())) / LN_GAMMA), IntegerField())),
        default=Value(NO_TIME),
    )
    over = RoundTrip.objects.filter(execution_id=OuterRef("pk"), closed_at__isnull=False)
    groups = (
        WorkflowExecution.objects.filter(where, workflow_id__isnull=False)
        .order_by()
        .annotate(version=Coalesce("workflow_version__version_number", 0), slot=slot, took=took)
        .annotate(bucket=Case(When(timed, then=bucket), output_field=IntegerField()))
        .annotate(trades=_how_many(over), wins=_how_many(over.filter(profit__gt=0)))
        .values("workflow_id", "version", "slot", "status", "bucket")
        .annotate(
            runs=Count("pk"),
            total=Sum("took"),
            least=Min("took"),
            greatest=Max("took"),
            **{f"all_{name}": Sum(name) for name in SUMMED},
        )
    )
    found: dict[Group, Tally] = defaultdict(Tally)
    for row in groups:
        _add(found[Group(row["workflow_id"], row["version"], row["slot"])], row)
    return dict(found)


def _how_many(rows: QuerySet[RoundTrip]) -> Coalesce:
    counted = rows.order_by().values("execution_id").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _add(tally: Tally, row: Mapping[str, Any]) -> None:
    tally.by_status[row["status"]] += row["runs"]
    tally.decisions.update(BUY=row["all_buys"], SELL=row["all_sells"], HOLD=row["all_holds"])
    tally.orders_placed += row["all_orders_placed"]
    tally.r_sum += row["all_r_sum"]
    tally.r_count += row["all_r_count"]
    tally.trades += row["all_trades"]
    tally.wins += row["all_wins"]
    if row["bucket"] is not None:
        tally.durations.put(
            bucket=row["bucket"],
            count=row["runs"],
            total=max(row["total"], 0),
            least=max(row["least"], 0),
            greatest=max(row["greatest"], 0),
        )


@transaction.atomic
def roll_up(endings: Sequence[RunEnding]) -> None:
    """Write the days of runs that have ended, as the runs stand now."""
    _write_days_of((ending.workflow_id, ending.run_created_at) for ending in endings)


def count_trades() -> int:
    """Write the days of runs whose trades are over since, and return how many trades those were."""
    done = 0
    while True:
        with transaction.atomic():
            trips = list(trips_uncounted().select_for_update(skip_locked=True).order_by("pk")[:TRIPS])
            runs = WorkflowExecution.objects.filter(pk__in={trip.execution_id for trip in trips})
            _write_days_of(runs.values_list("workflow_id", "created_at"))
            RoundTrip.objects.filter(pk__in=[trip.pk for trip in trips]).update(counted=True)
        done += len(trips)
        if len(trips) < TRIPS:
            return done


def trips_uncounted() -> QuerySet[RoundTrip]:
    """Return the trades of runs that are over and in no row yet."""
    return RoundTrip.objects.filter(closed_at__isnull=False, counted=False, execution_id__isnull=False)


def _write_days_of(runs: Iterable[tuple[UUID | None, datetime]]) -> None:
    """Write the days of runs, given as (workflow, creation)."""
    known = [(workflow_id, created_at) for workflow_id, created_at in runs if workflow_id is not None]
    ensure_coverage()
    for coverage in coverage_locked():
        zone = ZoneInfo(coverage.zone)
        days: dict[UUID, set[date]] = defaultdict(set)
        for workflow_id, created_at in known:
            days[workflow_id].add(day_of(created_at, zone))
        for workflow_id, day in _written_lately(coverage, days):
            days[workflow_id].discard(day)
        days_write(zone, days)


def keep() -> None:
    """Close the days that are over and count the trades that are."""
    close_days()
    count_trades()


def ensure_coverage() -> None:
    """See that there is a coverage in the desk's zone; a new one begins with the day of the first run."""
    name = settings.DESK_TIME_ZONE
    if not MetricsCoverage.objects.filter(zone=name).exists():
        first = WorkflowExecution.objects.aggregate(first=Min("created_at"))["first"] or utcnow()
        MetricsCoverage.objects.get_or_create(zone=name, defaults={"through": day_of(first, desk_zone())})


def coverage_locked() -> list[MetricsCoverage]:
    """Lock the coverages until the transaction ends, and return them."""
    return list(MetricsCoverage.objects.select_for_update().order_by("zone"))


def _written_lately(coverage: MetricsCoverage, days: Days) -> list[tuple[UUID, date]]:
    rows = WorkflowMetrics.objects.filter(
        zone=coverage.zone,
        workflow_id__in=days,
        date__gte=coverage.through,
        updated_at__gt=utcnow() - BUSY_PAUSE,
        metrics__total_executions__gt=BUSY,
    )
    return list(rows.values_list("workflow_id", "date"))


def days_write(zone: ZoneInfo, days: Days) -> None:
    """Count these days of these workflows anew and write their rows, and those of their months that are covered whole.

    Rows that no run stands behind any more are removed. The caller holds the lock.
    """
    pairs = sorted((day, workflow_id) for workflow_id, theirs in days.items() for day in theirs)
    for start in range(0, len(pairs), BITE):
        bite = pairs[start : start + BITE]
        where = Q()
        for day, workflow_id in bite:
            where |= Q(workflow_id=workflow_id) & created_in(day_span(day, zone))
        rows_replace(zone, where, {day for day, _ in bite}, set(bite))
    through = MetricsCoverage.objects.get(pk=zone.key).through
    months: dict[date, set[UUID]] = defaultdict(set)
    for day, workflow_id in pairs:
        if month_after(day) <= through:
            months[month_of(day)].add(workflow_id)
    for month, workflow_ids in months.items():
        month_write(zone, month, workflow_ids)


def day_write(zone: ZoneInfo, day: date) -> None:
    """Count one day of all workflows anew and write its rows, not yet its month's. The caller holds the lock."""
    rows_replace(zone, created_in(day_span(day, zone)), {day}, None)


def rows_replace(zone: ZoneInfo, where: Q, days: Iterable[date], only: set[tuple[date, UUID]] | None) -> None:
    """Write the rows of the ended runs that `where` names over those of these days, or of `only` some workflows'."""
    counted = days_count(zone, where, days)
    stored = WorkflowMetrics.objects.filter(zone=zone.key, date__in=list(days))
    if only is not None:
        stored = stored.filter(workflow_id__in={workflow_id for _, workflow_id in only})
    rows_store(
        WorkflowMetrics,
        zone,
        counted,
        [row for row in keys_of(stored) if only is None or (row.day, row.workflow_id) in only],
    )


def days_count(zone: ZoneInfo, where: Q, days: Iterable[date]) -> dict[Key, Tally]:
    """Count the ended runs that `where` names, all of them created in one of `days`: by workflow, day and version."""
    ordered = sorted(days)
    borders = [day_start(day, zone) for day in ordered[1:]]
    counted = count(where & Q(status__in=sorted(TERMINAL)), borders)
    return {
        Key(group.workflow_id, ordered[group.slot], group.version_number): tally for group, tally in counted.items()
    }


def close_days() -> int:
    """Write the days that are over and not covered yet, each in a transaction of its own; return how many.

    The first time, and after a change of the desk's zone, these are all days since the first run.
    """
    ensure_coverage()
    closed = 0
    while _close_next(desk_zone()):
        closed += 1
    return closed


@transaction.atomic
def _close_next(zone: ZoneInfo) -> bool:
    coverage = next(each for each in coverage_locked() if each.zone == zone.key)
    today = day_of(utcnow(), zone)
    if coverage.through >= today:
        return False
    after = WorkflowExecution.objects.filter(created_at__gte=day_start(coverage.through, zone))
    oldest = after.aggregate(first=Min("created_at"))["first"]
    # Days without a run are passed over at once.
    day = today if oldest is None else min(day_of(oldest, zone), today)
    if day < today:
        day_write(zone, day)
        day += ONE_DAY
    for month in months_between(month_of(coverage.through), day):
        month_write(zone, month, None)
    coverage.through = day
    coverage.save(update_fields=["through"])
    return True
