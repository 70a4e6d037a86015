"""What ended optimisations leave behind, and how long it is kept.

Kept for good: the trial ledger, jobs whose parameters a strategy took, and models that anything still names.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Lower, Replace

from executions.choices import UNFINISHED as RUNS_UNFINISHED
from executions.models import WorkflowExecution
from optimize.choices import TERMINAL, UNFINISHED, ChunkStatus, JobKind
from optimize.modelling import files
from optimize.models import OptimizationChunk, OptimizationJob, TunedModel
from scheduler.models import Schedule
from tradingsite.common import housekeeping
from workflows.models import Strategy, StrategyVersion, Workflow, WorkflowVersion

# What no table is made of is of no use once it was gathered, and a file without a row may be about to get one.
GRACE = timedelta(days=1)


def register() -> None:
    housekeeping.register("optimization_chunk", chunks_past_their_time)
    housekeeping.register_work("tuned_model", models_prune)
    housekeeping.register("optimization_job", jobs_past_their_time)
    housekeeping.register_work("model_files", files_prune)


def chunks_past_their_time(now: datetime) -> QuerySet[OptimizationChunk]:
    """Return the chunks of ended jobs that nothing is made of any more, neither a result nor a table.

    Those of a search are its table, and kept for `OPTIMIZE_TABLES_KEPT_DAYS`.
    """
    tables = now - timedelta(days=settings.OPTIMIZE_TABLES_KEPT_DAYS)
    search = Q(job__kind=JobKind.STRATEGY)
    return OptimizationChunk.objects.filter(
        search & Q(job__completed_at__lt=tables) | ~search & Q(job__completed_at__lt=now - GRACE),
        ~_at_work("job"),
        job__status__in=TERMINAL,
        job__applied_at=None,
    ).order_by("id")


def jobs_past_their_time(now: datetime) -> QuerySet[OptimizationJob]:
    """Return the jobs that ended long ago, that nobody took parameters from and whose model, if any, is gone."""
    kept = now - timedelta(days=settings.OPTIMIZE_KEPT_DAYS)
    rows: QuerySet[OptimizationJob] = OptimizationJob.objects.filter(
        ~_at_work("pk"), status__in=TERMINAL, completed_at__lt=kept, applied_at=None, model=None
    )
    # The rest of a row may be megabytes.
    return rows.only("pk").order_by("completed_at")


def models_prune(now: datetime) -> int:
    """Delete the models of long ago that nothing names, and return how many those were."""
    kept = now - timedelta(days=settings.OPTIMIZE_KEPT_DAYS)
    old = TunedModel.objects.filter(created_at__lt=kept).order_by("created_at")
    return sum(_model_delete(pk) for pk in list(old.values_list("pk", flat=True)) if not model_used(pk))


def files_prune(now: datetime) -> int:
    """Delete the files that belong to no model, among them those that a lost worker left half-written."""
    before = now.timestamp() - GRACE.total_seconds()
    kept = set(TunedModel.objects.values_list("digest", flat=True))
    return sum(files.remove(path) for path in files.older_than(before) if path.stem not in kept)


def model_used(model_id: UUID) -> bool:
    """Say whether a strategy, workflow, schedule, or a run or search under way names a model."""
    return any(
        rows.annotate(words=_text(field)).filter(words__contains=model_id.hex).exists() for rows, field in _naming()
    )


def _model_delete(pk: UUID) -> bool:
    with transaction.atomic():
        TunedModel.objects.filter(pk=pk).delete()
        # Looked at once more: somebody may have come to use it in between.
        if model_used(pk):
            transaction.set_rollback(True)
            return False
    return True


def _naming() -> Iterator[tuple[QuerySet[Any], str]]:
    yield Strategy.objects.alive(), "param"
    yield StrategyVersion.objects.filter(strategy__deleted_at=None), "param"
    for field in ("steps", "default_params"):
        yield Workflow.objects.alive(), field
        yield WorkflowVersion.objects.filter(workflow__deleted_at=None), field
    yield Schedule.objects.alive(), "config"
    for field in ("params", "input_data"):
        yield WorkflowExecution.objects.filter(status__in=RUNS_UNFINISHED), field
    yield OptimizationJob.objects.filter(status__in=UNFINISHED), "request"


def _text(field: str) -> Replace:
    """Return a JSON column as text in which an id stands as its digits alone, however it was spelt."""
    text = Lower(Cast(field, TextField()), output_field=TextField())
    return Replace(text, Value("-", TextField()), Value("", TextField()), output_field=TextField())


def _at_work(job: str) -> Exists:
    under_way = [ChunkStatus.WAITING, ChunkStatus.RUNNING]
    return Exists(OptimizationChunk.objects.filter(job=OuterRef(job), status__in=under_way))
