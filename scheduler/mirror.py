"""The entries of django-celery-beat that show each schedule in its admin. They show; the due times of the schedules decide.

Beat's own dispatch fires twice with two beats, sees no change made by `update()`, and leaves holes where clocks are
set. So the desk's beat does not dispatch these entries. One that another beat sends all the same only asks whether
anything is due.
"""

import json
from datetime import timedelta

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduler.choices import ScheduleKind
from scheduler.models import Schedule
from scheduler.rules import in_words

TASK, QUEUE = "scheduler.tick", "control"


def entry_name(row: Schedule) -> str:
    return f"schedule {row.pk}"


def keep(row: Schedule) -> None:
    """Write the entry of a schedule as the schedule is now."""
    crontab, interval = None, None
    if row.kind == ScheduleKind.CRON:
        minute, hour, day, month, weekday = row.cron.split()
        crontab = CrontabSchedule.objects.get_or_create(
            minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=row.timezone
        )[0]
    else:
        every = row.every_s if row.kind == ScheduleKind.INTERVAL else int(timedelta(days=1).total_seconds())
        interval = IntervalSchedule.objects.get_or_create(every=every, period=IntervalSchedule.SECONDS)[0]
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


def forget(row: Schedule) -> None:
    """Remove the entry of a schedule that is deleted."""
    PeriodicTask.objects.filter(name=entry_name(row)).delete()
    PeriodicTasks.update_changed()
