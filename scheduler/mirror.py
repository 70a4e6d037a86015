"""The entries of django-celery-beat that show each schedule in its admin. They show; the due times of the schedules decide.

Beat's own dispatch fires twice with two beats, sees no change made by `update()`, and leaves holes where clocks are
set. So the desk's beat does not dispatch these entries. One that another beat sends all the same only asks whether
anything is due.
"""

import json
from collections.abc import Collection
from datetime import timedelta

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduler.choices import ScheduleKind
from scheduler.cron import Cron
from scheduler.models import Schedule
from scheduler.rules import in_words

TASK, QUEUE = "scheduler.tick", "control"


def entry_name(row: Schedule) -> str:
    return f"schedule {row.pk}"


def keep(row: Schedule) -> None:
    """Write the entry of a schedule as the schedule is now."""
    crontab, interval = None, None
    if row.kind == ScheduleKind.CRON:
        cron = Cron.parse(row.cron)
        # As numbers, each once: a list of names may be longer than beat's columns.
        fields = {
            "minute": _listed(cron.minutes, 60),
            "hour": _listed(cron.hours, 24),
            "day_of_month": _listed(cron.days, 31),
            "month_of_year": _listed(cron.months, 12),
            "day_of_week": _listed(cron.weekdays, 7),
            "timezone": row.timezone,
        }
        # Beat's tables allow the same entry twice, so the first is as good as any.
        crontab = CrontabSchedule.objects.filter(**fields).first() or CrontabSchedule.objects.create(**fields)
    else:
        every = row.every_s if row.kind == ScheduleKind.INTERVAL else int(timedelta(days=1).total_seconds())
        span = {"every": every, "period": IntervalSchedule.SECONDS}
        interval = IntervalSchedule.objects.filter(**span).first() or IntervalSchedule.objects.create(**span)
    PeriodicTask.objects.update_or_create(
        name=entry_name(row),
        defaults={
            "task": TASK,
            "crontab": crontab,
            "interval": interval,
            "args": json.dumps([]),
            "queue": QUEUE,
            "enabled": row.enabled,
            "last_run_at": row.last_run_at,
            "description": f"{row.name}: {row.job_type}. {in_words(row)}. Changed where schedules are, not here.",
        },
    )
    PeriodicTasks.update_changed()


def _listed(numbers: Collection[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(map(str, sorted(numbers)))


def forget(row: Schedule) -> None:
    """Remove the entry of a schedule that is deleted."""
    PeriodicTask.objects.filter(name=entry_name(row)).delete()
    PeriodicTasks.update_changed()
