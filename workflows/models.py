"""Definitions, their immutable versions, and the strategies that use them."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from tradingsite.common.clock import utcnow
from tradingsite.common.models import Entity, SoftDeleted
from workflows.choices import WorkflowType

ALIVE = models.Q(deleted_at__isnull=True)


class Workflow(SoftDeleted, Entity):
    """A reusable definition.

    `steps`, `default_params` and `type` mirror `current_version`, so that a list needs no join; only
    `workflows.services` writes them, together with the version.
    """

    name = models.CharField(max_length=200)
    description = models.TextField(max_length=2000, blank=True, default="")
    type = models.CharField(max_length=40, choices=WorkflowType.choices)
    steps = models.JSONField(default=list)
    default_params = models.JSONField(default=dict)
    current_version = models.ForeignKey(
        "workflows.WorkflowVersion", null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    # Kept here by an F() update of `execution_counted`: the runs live on a higher floor, which this app cannot join.
    executions_count = models.PositiveIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "workflow"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["name"], condition=ALIVE, name="workflow_name_alive", violation_error_message="name is taken"
            ),
            models.CheckConstraint(condition=models.Q(type__in=WorkflowType.values), name="workflow_type_known"),
        ]
        indexes: ClassVar = [models.Index(fields=["type", "-created_at"], name="workflow_type_created")]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(Entity):
    """One state of a workflow, never changed after it is written: runs are pinned to it."""

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="versions")
    version_number = models.PositiveIntegerField()
    type = models.CharField(max_length=40, choices=WorkflowType.choices)
    steps = models.JSONField(default=list)
    default_params = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "workflow_versions"
        ordering: ClassVar = ["-version_number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "version_number"], name="workflow_version_number"),
            models.CheckConstraint(condition=models.Q(version_number__gte=1), name="workflow_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow.name} v{self.version_number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new version.

        Raises:
            ImproperlyConfigured: for a second save, which would rewrite what runs are pinned to.
        """
        if not self._state.adding:
            raise ImproperlyConfigured("a workflow version is never changed; write a new one")
        super().save(*args, **kwargs)


class Strategy(SoftDeleted, Entity):
    """A workflow applied to symbols, with overrides of its parameters.

    Without a workflow, `param["steps"]` holds the legacy inline definition and the other keys its parameters.
    """

    name = models.CharField(max_length=200)
    workflow = models.ForeignKey(Workflow, null=True, blank=True, on_delete=models.PROTECT, related_name="strategies")
    # The slug of a strategy type; empty where no signal step names one, as in a team of agents.
    strategy_type = models.CharField(max_length=40, blank=True, default="")
    symbols = models.JSONField(default=list, blank=True)
    param = models.JSONField(default=dict, blank=True)
    # Of the newest version, which says the same; counted under the row's lock, so that no two changes take one number.
    version_number = models.PositiveIntegerField(default=0, editable=False)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "strategy"
        verbose_name_plural = "strategies"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["name"], condition=ALIVE, name="strategy_name_alive")]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "-created_at"], name="strategy_workflow_created"),
            models.Index(fields=["strategy_type"], name="strategy_type_idx"),
        ]

    def __str__(self) -> str:
        return self.name


class StrategyVersion(Entity):
    """What a strategy did from one change to the next, never changed after it is written.

    The workflow is the one that it was, in whatever version that is by now: a strategy is not pinned, its runs are.
    """

    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, related_name="versions", db_index=False)
    version_number = models.PositiveIntegerField()
    workflow = models.ForeignKey(
        Workflow, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    strategy_type = models.CharField(max_length=40, blank=True, default="")
    symbols = models.JSONField(default=list, blank=True)
    param = models.JSONField(default=dict, blank=True)
    reason = models.TextField(blank=True, default="", help_text="Why it was changed, where somebody said so.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    # As the audit has it: also of who is no user, such as an adaptation.
    actor_name = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        db_table = "strategy_versions"
        ordering: ClassVar = ["-version_number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["strategy", "version_number"], name="strategy_version_number"),
            models.CheckConstraint(condition=models.Q(version_number__gte=1), name="strategy_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy.name} v{self.version_number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new version.

        Raises:
            ImproperlyConfigured: for a second save, which would rewrite what somebody may return to.
        """
        if not self._state.adding:
            raise ImproperlyConfigured("a strategy version is never changed; write a new one")
        super().save(*args, **kwargs)


class _Figures(models.Model):
    """What a workflow's ended runs of some days come to, by version; `workflows.metrics.Tally` reads and writes it."""

    id = models.BigAutoField(primary_key=True)
    # The zone whose midnights bound the day; rows of another zone than the desk's are not read.
    zone = models.CharField(max_length=64)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+", db_index=False)
    date = models.DateField()
    version_number = models.PositiveIntegerField(
        help_text="Of the version that the runs were pinned to; 0 without one."
    )
    metrics = models.JSONField()
    updated_at = models.DateTimeField(default=utcnow)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.workflow_id} v{self.version_number} on {self.date}"


class WorkflowMetrics(_Figures):
    """What a workflow's ended runs of one day come to.

    A run belongs to the day in which it was created, which no retry changes. The rows hold nothing that the runs do not:
    `manage.py rebuild_metrics` makes them anew.
    """

    class Meta:
        db_table = "workflow_metrics"
        verbose_name = "metrics of a workflow's day"
        verbose_name_plural = "metrics of workflows by day"
        ordering: ClassVar = ["-date", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["zone", "workflow", "date", "version_number"], name="workflow_metrics_day")
        ]


class WorkflowMetricsMonth(_Figures):
    """The days of a whole covered month together, so that years are read as fast as days. `date` is the month's first."""

    class Meta:
        db_table = "workflow_metrics_months"
        verbose_name = "metrics of a workflow's month"
        verbose_name_plural = "metrics of workflows by month"
        ordering: ClassVar = ["-date", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["zone", "workflow", "date", "version_number"], name="workflow_metrics_month"
            ),
        ]


class MetricsCoverage(models.Model):
    """Up to which day `workflow_metrics` holds every ended run; its row lock is that of all writing there.

    What runs came to from `through` on is read from the runs.
    """

    zone = models.CharField(max_length=64, primary_key=True)
    through = models.DateField(help_text="The first day that is not covered.")

    class Meta:
        db_table = "workflow_metrics_coverage"
        verbose_name = "coverage of workflow metrics"
        verbose_name_plural = "coverage of workflow metrics"

    def __str__(self) -> str:
        return f"{self.zone} up to {self.through}"
