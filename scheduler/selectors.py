"""Reading schedules, their fires and how the clock does."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, Min, OuterRef, QuerySet

from scheduler.choices import OPEN_FIRES
from scheduler.errors import ScheduleNotFound
from scheduler.models import Clock, ClockKeeper, Schedule, ScheduleFire
from tradingsite.common.clock import utcnow

SILENT_AFTER = timedelta(seconds=10)


def schedules_listed(*, deleted: bool = False) -> QuerySet[Schedule]:
    """Return all schedules with `at_work`: whether a fire of theirs is open."""
    open_fires = ScheduleFire.objects.filter(schedule=OuterRef("pk"), status__in=sorted(OPEN_FIRES))
    rows = Schedule.objects.dead() if deleted else Schedule.objects.alive()
    found: QuerySet[Schedule] = rows.select_related("created_by").annotate(at_work=Exists(open_fires))
    return found


def schedule_get(schedule_id: UUID, *, job_type: str | None = None) -> Schedule:
    """Return one schedule, of this job type where one is named.

    Raises:
        ScheduleNotFound
    """
    row = schedules_listed().filter(pk=schedule_id).first()
    if row is None or job_type not in (None, row.job_type):
        raise ScheduleNotFound(f"There is no schedule {schedule_id}.")
    return row


def schedule_status(row: Schedule) -> str:
    """Return `running`, `paused` (stopped, by whomever), `finished` (nothing more to come) or `scheduled`."""
    if getattr(row, "at_work", False):
        return "running"
    if not row.enabled:
        return "paused"
    return "scheduled" if row.next_run_at is not None else "finished"


def fires_listed(schedule_id: UUID) -> QuerySet[ScheduleFire]:
    return ScheduleFire.objects.filter(schedule_id=schedule_id)


def clock_status() -> Mapping[str, Any]:
    """Return whether the clock runs, who keeps it, and how far it is behind.

    `lag_s` is how long ago the oldest fire that is due and not written yet was due; 0 when nothing is.
    """
    now = utcnow()
    switch = Clock.objects.filter(pk=1).first() or Clock()
    keepers = list(ClockKeeper.objects.filter(last_seen__gte=now - SILENT_AFTER).order_by("name"))
    due = Schedule.objects.alive().filter(enabled=True, due_at__lte=now).aggregate(oldest=Min("due_at"))["oldest"]
    return {
        "running": switch.running,
        "status": "stopped" if not switch.running else "running" if keepers else "no_beat",
        "changed_at": switch.changed_at,
        "changed_by": switch.changed_by,
        "reason": switch.reason,
        "beats": keepers,
        "lag_s": max((now - due).total_seconds(), 0.0) if due is not None and switch.running else 0.0,
    }
