"""The rows of `workflow_metrics`, written; and those of whole months, which are added up from the rows of their days."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from tradingsite.common.clock import utcnow
from workflows.metrics import Tally
from workflows.metrics_days import month_after
from workflows.models import WorkflowMetrics, WorkflowMetricsMonth

Rows = TypeVar("Rows", WorkflowMetrics, WorkflowMetricsMonth)


class Key(NamedTuple):
    """What a row is of, within its zone."""

    workflow_id: UUID
    day: date
    version_number: int


def keys_of(rows: QuerySet[Rows]) -> list[Key]:
    """Return what rows are of."""
    return [Key(*row) for row in rows.order_by().values_list("workflow_id", "date", "version_number")]


def rows_store(model: type[Rows], zone: ZoneInfo, counted: Mapping[Key, Tally], stored: Iterable[Key]) -> None:
    """Write what was counted, and remove those stored rows that were not counted."""
    now = utcnow()
    model.objects.bulk_create(
        [
            model(
                zone=zone.key,
                workflow_id=key.workflow_id,
                date=key.day,
                version_number=key.version_number,
                metrics=tally.to_json(),
                updated_at=now,
            )
            for key, tally in counted.items()
        ],
        update_conflicts=True,
        unique_fields=["zone", "workflow", "date", "version_number"],
        update_fields=["metrics", "updated_at"],
        batch_size=500,
    )
    for gone in set(stored) - set(counted):
        model.objects.filter(
            zone=zone.key, workflow_id=gone.workflow_id, date=gone.day, version_number=gone.version_number
        ).delete()


def month_count(zone: ZoneInfo, month: date, workflow_ids: Collection[UUID] | None) -> dict[Key, Tally]:
    """Add the rows of a month's days up, of all workflows or only of some."""
    days = WorkflowMetrics.objects.filter(zone=zone.key, date__gte=month, date__lt=month_after(month)).order_by()
    if workflow_ids is not None:
        days = days.filter(workflow_id__in=workflow_ids)
    found: dict[Key, Tally] = {}
    for workflow_id, version, metrics in days.values_list("workflow_id", "version_number", "metrics").iterator():
        found.setdefault(Key(workflow_id, month, version), Tally()).add(Tally.from_json(metrics))
    return found


def months_stored(zone: ZoneInfo, month: date, workflow_ids: Collection[UUID] | None) -> QuerySet[WorkflowMetricsMonth]:
    """Return the rows of a month, of all workflows or only of some."""
    rows = WorkflowMetricsMonth.objects.filter(zone=zone.key, date=month)
    return rows if workflow_ids is None else rows.filter(workflow_id__in=workflow_ids)


def month_write(zone: ZoneInfo, month: date, workflow_ids: Collection[UUID] | None) -> None:
    """Add a month's days up anew and write its rows. The caller holds the lock."""
    counted = month_count(zone, month, workflow_ids)
    rows_store(WorkflowMetricsMonth, zone, counted, keys_of(months_stored(zone, month, workflow_ids)))
