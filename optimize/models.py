"""Jobs of the optimiser, the chunks that workers carry, and the ledger of everything that was ever tried."""

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models

from optimize.adaptation.models import AdaptationEvent, AdaptationRound, AdaptationWatch, LiveAdaptation, RegimePoint
from optimize.choices import TERMINAL, UNFINISHED, ChunkStatus, JobKind, JobStatus
from tradingsite.common.clock import utcnow
from tradingsite.common.models import Entity

__all__ = [
    "AdaptationEvent",
    "AdaptationRound",
    "AdaptationWatch",
    "LiveAdaptation",
    "OptimizationChunk",
    "OptimizationJob",
    "RegimePoint",
    "TrialRecord",
    "TunedModel",
]

# For so long a job that no worker has begun is said to run: one is about to take it.
FRESH = timedelta(seconds=5)


class OptimizationJob(Entity):
    """One search, tuning or analysis: what was asked, on which data, how far it is, what came of it."""

    kind = models.CharField(max_length=12, choices=JobKind.choices)
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    strategy_type = models.CharField(max_length=40, blank=True, default="")
    request = models.JSONField(default=dict, help_text="As it was cleaned; what is not said has its default.")
    data = models.JSONField(default=list, help_text="The series it reads, each with its version and fingerprint.")
    fingerprint = models.CharField(max_length=64, blank=True, default="", help_text="SHA-256 over all of `data`.")
    seed = models.BigIntegerField(default=0)

    total_combinations = models.PositiveIntegerField(default=0)
    done_combinations = models.PositiveIntegerField(default=0)
    fold = models.PositiveIntegerField(default=0)
    n_folds = models.PositiveIntegerField(default=0)
    chunks_count = models.PositiveIntegerField(default=0, help_text="Without the one that gathers.")
    chunks_done = models.PositiveIntegerField(default=0)

    result = models.JSONField(null=True, blank=True)
    best_sharpe = models.FloatField(null=True, blank=True)
    verdict = models.CharField(max_length=8, blank=True, default="")
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_detail = models.TextField(blank=True, default="")

    # When a worker was last called for it; the watchdog calls again where nobody came.
    called_at = models.DateTimeField(default=utcnow)
    # When the sockets last heard of its progress.
    told_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    # When a strategy last took parameters of it; it is kept for good then.
    applied_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        db_table = "optimization_job"
        verbose_name = "optimisation"
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["created_by", "-created_at", "-id"], name="optimization_job_owner"),
            models.Index(fields=["-created_at", "-id"], name="optimization_job_created"),
            models.Index(
                fields=["called_at"],
                condition=models.Q(status__in=sorted(UNFINISHED)),
                name="optimization_job_unfinished",
            ),
            models.Index(fields=["completed_at"], name="optimization_job_completed"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(status__in=JobStatus.values), name="optimization_job_status_known"
            ),
            models.CheckConstraint(condition=models.Q(kind__in=JobKind.values), name="optimization_job_kind_known"),
            models.CheckConstraint(
                condition=models.Q(status__in=sorted(UNFINISHED)) | models.Q(completed_at__isnull=False),
                name="optimization_job_terminal_has_end",
            ),
            models.CheckConstraint(
                condition=models.Q(done_combinations__lte=models.F("total_combinations")),
                name="optimization_job_done_within_total",
            ),
        ]

    def __str__(self) -> str:
        return f"optimisation {self.pk}"

    @property
    def shown_status(self) -> str:
        """The status as it is answered: a job that was just asked for runs, until it has waited for a worker."""
        if self.status == JobStatus.QUEUED and utcnow() - self.created_at < FRESH:
            return JobStatus.RUNNING.value
        return str(self.status)

    @property
    def progress(self) -> dict[str, int]:
        """How far it is: combinations of all, folds of all."""
        return {
            "combo": self.done_combinations,
            "total": self.total_combinations,
            "fold": self.fold,
            "n_folds": self.n_folds,
        }

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class OptimizationChunk(models.Model):
    """A stretch of a job that one worker carries at a time; the last one of several gathers what the others found.

    `fence` counts the claims: a worker writes only while the fence is the one of its own claim.
    """

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(OptimizationJob, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    index = models.PositiveIntegerField()
    first = models.PositiveIntegerField(help_text="The first combination of it.")
    last = models.PositiveIntegerField(help_text="The first combination after it.")
    gathers = models.BooleanField(default=False)
    status = models.CharField(max_length=8, choices=ChunkStatus.choices, default=ChunkStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=100, blank=True, default="")
    state = models.BinaryField(null=True, blank=True, help_text="What a long search has found so far.")
    result = models.BinaryField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "optimization_chunk"
        verbose_name = "chunk of an optimisation"
        verbose_name_plural = "chunks of optimisations"
        ordering: ClassVar = ["job", "index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "index"], name="optimization_chunk_index"),
            models.CheckConstraint(
                condition=models.Q(status__in=ChunkStatus.values), name="optimization_chunk_status_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["job", "index"], condition=models.Q(status="waiting"), name="optimization_chunk_waiting"
            ),
            models.Index(
                fields=["lease_until"], condition=models.Q(status="running"), name="optimization_chunk_leased"
            ),
        ]

    def __str__(self) -> str:
        return f"chunk {self.index} of {self.job_id}"


class TrialRecord(models.Model):
    """What one job tried. Rows are only added: a combination that was once looked at can never be untried."""

    id = models.BigAutoField(primary_key=True)
    job = models.OneToOneField(OptimizationJob, null=True, blank=True, on_delete=models.SET_NULL, related_name="trials")
    strategy_type = models.CharField(max_length=40)
    symbols = models.JSONField(default=list)
    timeframe = models.CharField(max_length=3)
    source = models.CharField(max_length=40, blank=True, default="")
    start = models.DateTimeField()
    end = models.DateTimeField()
    count = models.PositiveIntegerField(help_text="Distinct combinations.")
    hashes = models.BinaryField(help_text="Little-endian uint64 of each combination, ascending.")
    # Of the Sharpe ratios per period, out of sample, of those that had one.
    sharpe_count = models.PositiveIntegerField(default=0)
    sharpe_mean = models.FloatField(default=0)
    sharpe_squares = models.FloatField(default=0, help_text="Sum of the squared distances from the mean.")
    periods = models.PositiveIntegerField(default=0, help_text="Returns that each ratio is made of.")
    created_at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "optimization_trials"
        verbose_name = "entry of the trial ledger"
        verbose_name_plural = "trial ledger"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["strategy_type", "timeframe", "start", "end"], name="optimization_trials_of")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(end__gte=models.F("start")), name="optimization_trials_period"),
        ]

    def __str__(self) -> str:
        return f"{self.count} trials of {self.strategy_type}"


class TunedModel(Entity):
    """A model that a job trained, ready to forecast; its file stands in the store under its digest."""

    name = models.CharField(max_length=100)
    job = models.OneToOneField(OptimizationJob, null=True, blank=True, on_delete=models.SET_NULL, related_name="model")
    model_type = models.CharField(max_length=40)
    digest = models.CharField(max_length=64, help_text="SHA-256 of its file.")
    size = models.PositiveIntegerField(help_text="Bytes of its file.")
    description = models.JSONField(default=dict, help_text="Features, parameters, data and versions, as in the file.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 over the data that it learnt from.")
    trained_from = models.DateTimeField()
    trained_until = models.DateTimeField(help_text="The last bar that its training looked at; it knows all until then.")
    warm_up = models.PositiveIntegerField(help_text="Bars before its first forecast.")
    verdict = models.CharField(max_length=8, blank=True, default="")
    figures = models.JSONField(default=dict, help_text="Out of sample, of the combination that was chosen.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        db_table = "tuned_model"
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="tuned_model_created")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(trained_until__gte=models.F("trained_from")), name="tuned_model_period"
            ),
        ]

    def __str__(self) -> str:
        return self.name
