"""Schedules, each of their fires, the switch of the whole clock, and the processes that keep it."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from scheduler.choices import (
    AT_WORK,
    OPEN_FIRES,
    FireStatus,
    GapPolicy,
    MarketEvent,
    Misfire,
    Overlap,
    RepeatPolicy,
    ScheduleKind,
)
from tradingsite.common.clock import utcnow
from tradingsite.common.models import Entity, SoftDeleted

ALIVE = models.Q(deleted_at__isnull=True)


class Schedule(SoftDeleted, Entity):
    """When a job is done, and what became of it last.

    `next_run_at` is the next nominal time, `due_at` that time with its jitter. Both are written by whoever fires or
    changes the schedule, so that the clock has one indexed question to ask.
    """

    name = models.CharField(max_length=200)
    job_type = models.CharField(max_length=60)
    config = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)

    kind = models.CharField(max_length=8, choices=ScheduleKind.choices)
    cron = models.CharField(max_length=200, blank=True, default="")
    timezone = models.CharField(max_length=64, default="UTC")
    every_s = models.PositiveIntegerField(null=True, blank=True)
    market = models.CharField(max_length=20, blank=True, default="")
    event = models.CharField(max_length=5, choices=MarketEvent.choices, blank=True, default="")
    offset_s = models.IntegerField(default=0)
    gap = models.CharField(max_length=4, choices=GapPolicy.choices, default=GapPolicy.NEXT)
    repeat = models.CharField(max_length=6, choices=RepeatPolicy.choices, default=RepeatPolicy.FIRST)
    jitter_s = models.PositiveIntegerField(default=0)
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)

    misfire = models.CharField(max_length=4, choices=Misfire.choices, default=Misfire.ONCE)
    misfire_grace_s = models.PositiveIntegerField(default=60)
    misfire_bound = models.PositiveIntegerField(default=10)
    overlap = models.CharField(max_length=6, choices=Overlap.choices, default=Overlap.SKIP)
    pause_after = models.PositiveIntegerField(default=5)

    next_run_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_status = models.CharField(max_length=10, choices=FireStatus.choices, blank=True, default="")
    last_result = models.JSONField(null=True, blank=True)
    last_duration = models.FloatField(null=True, blank=True)
    failure_streak = models.PositiveIntegerField(default=0)
    paused_reason = models.CharField(max_length=200, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "schedules"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], condition=ALIVE, name="schedule_name_alive"),
            models.CheckConstraint(
                condition=models.Q(kind=ScheduleKind.CRON, every_s=None) & ~models.Q(cron="")
                | models.Q(kind=ScheduleKind.INTERVAL, every_s__gte=1)
                | models.Q(kind=ScheduleKind.MARKET, every_s=None) & ~models.Q(market="") & ~models.Q(event=""),
                name="schedule_rule_complete",
            ),
        ]
        indexes: ClassVar = [
            # The clock asks twice a second what is due.
            models.Index(fields=["due_at"], condition=models.Q(enabled=True) & ALIVE, name="schedule_due"),
            models.Index(fields=["job_type", "name"], name="schedule_job_type"),
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleFire(Entity):
    """One time at which a schedule fired, or should have. Of any number of clocks one writes it."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    nominal_at = models.DateTimeField(help_text="When it was due by its rule; of one asked for by hand, when that was.")
    manual = models.BooleanField(default=False)
    actor_name = models.CharField(max_length=150, blank=True, default="")
    status = models.CharField(max_length=10, choices=FireStatus.choices)
    fired_at = models.DateTimeField(default=utcnow)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    task_id = models.CharField(max_length=36, blank=True, default="")
    run_id = models.UUIDField(null=True, blank=True, help_text="The run it started, of jobs that start one.")
    result = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")

    class Meta:
        db_table = "schedule_fires"
        verbose_name = "fire of a schedule"
        verbose_name_plural = "fires of schedules"
        ordering: ClassVar = ["-nominal_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["schedule", "nominal_at"], condition=models.Q(manual=False), name="schedule_fire_once"
            ),
            models.UniqueConstraint(fields=["run_id"], name="schedule_fire_run"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["schedule", "-nominal_at", "-id"], name="schedule_fire_newest"),
            models.Index(
                fields=["schedule", "nominal_at"],
                condition=models.Q(status__in=sorted(OPEN_FIRES)),
                name="schedule_fire_open",
            ),
            models.Index(
                fields=["lease_until"], condition=models.Q(status__in=sorted(AT_WORK)), name="schedule_fire_lease"
            ),
            models.Index(fields=["fired_at"], name="schedule_fire_fired"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.nominal_at}"


class Clock(models.Model):
    """The one switch of the whole clock."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    running = models.BooleanField(default=True)
    changed_at = models.DateTimeField(default=utcnow)
    changed_by = models.CharField(max_length=150, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        db_table = "schedule_clock"
        verbose_name = "clock"
        verbose_name_plural = "clock"
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(id=1), name="schedule_clock_single")]

    def __str__(self) -> str:
        return "running" if self.running else "stopped"


class ClockKeeper(models.Model):
    """A process that fires what is due, and when it last looked."""

    name = models.CharField(max_length=100, primary_key=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=utcnow)
    last_seen = models.DateTimeField(default=utcnow)
    fired = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "schedule_clock_keepers"
        verbose_name = "process that keeps the clock"
        verbose_name_plural = "processes that keep the clock"

    def __str__(self) -> str:
        return self.name
