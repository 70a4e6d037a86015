"""Runs, their steps, and the workers that carry them."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from executions.choices import UNFINISHED, ExecutionStatus, Mode, OnError, StepStatus, TaskStatus, Trigger
from executions.kafka.models import InboxMessage, ParkedRecord
from tradingsite.common.clock import utcnow
from tradingsite.common.models import Entity
from workflows.models import Strategy, Workflow, WorkflowVersion


class WorkflowExecution(Entity):
    """One run of a strategy on a pinned version of its workflow.

    `fence` counts the claims: a worker writes only while the fence is the one of its own claim. Without a workflow the
    run carries out the strategy's inline steps.
    """

    workflow = models.ForeignKey(
        Workflow, null=True, blank=True, on_delete=models.PROTECT, related_name="executions", db_index=False
    )
    # Without an index: runs of a version are looked for among those of its workflow, and versions are never deleted.
    workflow_version = models.ForeignKey(
        WorkflowVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="executions", db_index=False
    )
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, related_name="executions", db_index=False)
    # A plain number, read with the strategy: it costs the start of a run nothing. None of runs from before it was kept.
    strategy_version = models.PositiveIntegerField(null=True, blank=True)
    task_id = models.CharField(max_length=36)
    status = models.CharField(max_length=10, choices=ExecutionStatus.choices, default=ExecutionStatus.PENDING)
    triggered_by = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.USER)
    priority = models.PositiveSmallIntegerField(default=0)
    mode = models.CharField(max_length=5, choices=Mode.choices, default=Mode.PAPER)
    symbols = models.JSONField(default=list)
    input_data = models.JSONField(default=dict)
    params = models.JSONField(default=dict)
    as_of = models.DateTimeField(default=utcnow)

    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=5)
    fence = models.BigIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(default=utcnow)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    stale_writes = models.PositiveIntegerField(default=0)

    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    progress = models.FloatField(default=0)
    results = models.JSONField(null=True, blank=True)
    decisions_made = models.PositiveIntegerField(default=0)
    orders_placed = models.PositiveIntegerField(default=0)
    # What `results` says of the decisions, as numbers that a day's figures can be summed from.
    buys = models.PositiveIntegerField(default=0)
    sells = models.PositiveIntegerField(default=0)
    holds = models.PositiveIntegerField(default=0)
    r_sum = models.FloatField(default=0)
    r_count = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    # Without an index: only deleting an account looks for runs by it, which may take a second.
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        db_table = "workflow_execution"
        verbose_name = "run"
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            # One for each order of the list. What the list is filtered by stands in the index too: of a workflow whose
            # last run is long ago the newest page is then found by passing over entries and not over rows, in a tenth
            # of the time, and the planner cannot know which workflows those are.
            models.Index(
                fields=["-created_at", "-id", "status", "workflow", "strategy", "started_at"], name="execution_created"
            ),
            models.Index(
                fields=["-started_at", "-id", "status", "workflow", "strategy", "created_at"], name="execution_started"
            ),
            models.Index(
                fields=["-completed_at", "-id", "status", "workflow", "strategy", "created_at", "started_at"],
                name="execution_completed",
            ),
            # The two that pick few of all runs. With the status, counting a workflow's runs by it reads no rows.
            models.Index(fields=["workflow", "-created_at", "-id", "status"], name="execution_workflow"),
            models.Index(fields=["strategy", "-created_at", "-id", "status"], name="execution_strategy"),
            # The watchdog looks every second; only unfinished runs concern it. Not by their leases: renewing one, or
            # telling progress, changes no indexed column and so touches no index.
            models.Index(
                fields=["status", "queued_at"],
                condition=models.Q(status__in=sorted(UNFINISHED)),
                name="execution_unfinished",
            ),
        ]
        constraints: ClassVar = [
            # Not `unique` on the field, which makes a second index for `LIKE`.
            models.UniqueConstraint(fields=["task_id"], name="execution_task"),
            models.CheckConstraint(
                condition=models.Q(status__in=ExecutionStatus.values), name="execution_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=sorted(UNFINISHED)) | models.Q(completed_at__isnull=False),
                name="execution_terminal_has_end",
            ),
            models.CheckConstraint(condition=models.Q(priority__lte=9), name="execution_priority_range"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, up to now while it runs; None before the start."""
        return seconds_between(self)


class EarlierTask(models.Model):
    """A task of a run before it was retried, as it ended. A retry gives the run a new task; the old id stays known."""

    task_id = models.CharField(max_length=36, primary_key=True)
    execution = models.ForeignKey(WorkflowExecution, on_delete=models.CASCADE, related_name="earlier_tasks")
    status = models.CharField(max_length=10, choices=TaskStatus.choices)
    progress = models.FloatField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "earlier_tasks"
        verbose_name = "earlier task of a run"
        verbose_name_plural = "earlier tasks of runs"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(status__in=[TaskStatus.FAILURE, TaskStatus.REVOKED]), name="earlier_task_ended"
            ),
        ]

    def __str__(self) -> str:
        return f"task {self.task_id}"


class RunEnding(models.Model):
    """A run has ended, and what follows from that has not been done yet.

    Written with the end itself and removed when the figures, the result rows and the announcements are.
    """

    id = models.BigAutoField(primary_key=True)
    execution_id = models.UUIDField()
    workflow_id = models.UUIDField(null=True, blank=True)
    task_id = models.CharField(max_length=36)
    status = models.CharField(max_length=10, choices=ExecutionStatus.choices)
    run_created_at = models.DateTimeField()
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "run_endings"
        verbose_name = "end of a run not yet accounted for"
        verbose_name_plural = "ends of runs not yet accounted for"

    def __str__(self) -> str:
        return f"run {self.execution_id} {self.status}"


class Payload(models.Model):
    """A large output, kept once however many steps put it out."""

    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of the JSON text.")
    size = models.PositiveIntegerField(help_text="Bytes of the JSON text.")
    data = models.JSONField()
    created_at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "payloads"
        verbose_name = "large output"

    def __str__(self) -> str:
        return f"{self.size} bytes, {self.digest[:12]}"


class StepExecution(models.Model):
    """One step of one run, with the config it was pinned to.

    A small output stands in `output`, a large one in `payload`; `result` is either.
    """

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(WorkflowExecution, on_delete=models.CASCADE, related_name="steps")
    index = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100)
    type = models.CharField(max_length=40)
    config = models.JSONField(default=dict)
    timeout_s = models.FloatField(null=True, blank=True)
    retries = models.PositiveSmallIntegerField(default=0)
    on_error = models.CharField(max_length=10, choices=OnError.choices, default=OnError.FAIL)
    status = models.CharField(max_length=10, choices=StepStatus.choices, default=StepStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    output = models.JSONField(null=True, blank=True)
    payload = models.ForeignKey(Payload, null=True, blank=True, on_delete=models.PROTECT, related_name="steps")
    summary = models.TextField(blank=True, default="")
    logs = models.JSONField(default=list)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "step_executions"
        verbose_name = "step of a run"
        verbose_name_plural = "steps of runs"
        ordering: ClassVar = ["execution", "index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["execution", "index"], name="step_execution_index"),
            models.CheckConstraint(condition=models.Q(status__in=StepStatus.values), name="step_status_known"),
            models.CheckConstraint(
                condition=models.Q(output__isnull=True) | models.Q(payload__isnull=True),
                name="step_output_in_one_place",
            ),
        ]

    def __str__(self) -> str:
        return f"step {self.index} {self.name}"

    @property
    def result(self) -> dict[str, Any]:
        """What a completed step put out, wherever it is kept; empty without an output."""
        held = self.payload.data if self.payload is not None else self.output
        return dict(held or {})

    @property
    def duration(self) -> float | None:
        """Seconds from start to end of the last attempt, up to now while it runs; None before the start."""
        return seconds_between(self)


def seconds_between(row: WorkflowExecution | EarlierTask | StepExecution) -> float | None:
    """Return the seconds from the start of a run, task or step to its end, or to now; None before its start."""
    if row.started_at is None:
        return None
    return max(((row.completed_at or utcnow()) - row.started_at).total_seconds(), 0.0)


class WorkerHeartbeat(models.Model):
    """A process that carries work, and when it was last alive."""

    name = models.CharField(max_length=100, primary_key=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    started_at = models.DateTimeField(default=utcnow)
    last_seen = models.DateTimeField(default=utcnow)
    active = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "worker_heartbeats"
        verbose_name = "worker"
        indexes: ClassVar = [models.Index(fields=["last_seen"], name="worker_last_seen")]

    def __str__(self) -> str:
        return self.name


__all__ = [
    "EarlierTask",
    "InboxMessage",
    "ParkedRecord",
    "Payload",
    "RunEnding",
    "StepExecution",
    "WorkerHeartbeat",
    "WorkflowExecution",
    "seconds_between",
]
