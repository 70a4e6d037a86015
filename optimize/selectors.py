"""Reading jobs, their chunks and the ledger."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from optimize.choices import JobStatus
from optimize.errors import ModelUnknown, OptimizationNotFound
from optimize.models import FRESH, OptimizationChunk, OptimizationJob, TrialRecord, TunedModel
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

# What a list shows; the rest of a row may be megabytes.
LISTED = ("id", "kind", "strategy_type", "status", "created_at", "completed_at", "best_sharpe", "verdict")


def jobs_visible(actor: Actor, *, everybodys: bool = False) -> QuerySet[OptimizationJob]:
    """Return the jobs of `actor`, or with `everybodys` those of all, the newest first, with the columns of a list."""
    rows = OptimizationJob.objects.order_by("-created_at", "-id").only(*LISTED)
    return rows if everybodys else rows.filter(created_by_id=actor.user_id)


def with_status(word: str) -> Q:
    """Return which jobs are answered with this status."""
    waits_long = Q(status=JobStatus.QUEUED, created_at__lte=utcnow() - FRESH)
    if word == JobStatus.QUEUED:
        return waits_long
    if word == JobStatus.RUNNING:
        return Q(status=JobStatus.RUNNING) | Q(status=JobStatus.QUEUED) & ~waits_long
    return Q(status=word)


def job_get(job_id: UUID, actor: Actor | None = None) -> OptimizationJob:
    """Return one job.

    Args:
        actor: who wants to see it: its owner, or an operator. None sees everything.

    Raises:
        OptimizationNotFound: there is none, or it is somebody else's.
    """
    job = OptimizationJob.objects.filter(pk=job_id).first()
    if job is None or not may_see(actor, job):
        raise OptimizationNotFound(f"There is no optimisation {job_id}.")
    return job


def may_see(actor: Actor | None, job: OptimizationJob) -> bool:
    """Say whether `actor` may see a job: its owner and operators may."""
    if actor is None or actor.kind == "system" or actor.may(Role.OPERATOR):
        return True
    return job.created_by_id is not None and job.created_by_id == actor.user_id


def results_of(job_id: UUID) -> Iterator[tuple[int, int, bytes]]:
    """Yield `(first, last, result)` of the chunks that found something, in order, one in memory at a time.

    Of a chunk that was stopped it is what it had kept so far.
    """
    rows = OptimizationChunk.objects.filter(job_id=job_id, gathers=False).order_by("index")
    kept: Any = rows.exclude(result=None, state=None).values_list("first", "last", "result", "state")
    for first, last, result, state in kept.iterator(chunk_size=1):
        yield first, last, bytes(result if result is not None else state)


def trials_of(
    *, strategy_type: str, symbols: list[str], timeframe: str, start: datetime, end: datetime, before: datetime
) -> list[TrialRecord]:
    """Return the ledger's entries of this type on some of these symbols in some of this time.

    Args:
        before: when the search was asked for; what was asked for later does not count.
    """
    rows = TrialRecord.objects.filter(
        # Written before, or of a search that was asked for before and took longer: searches that run at the same time
        # would otherwise not know of each other.
        Q(created_at__lt=before) | Q(job__created_at__lt=before),
        strategy_type=strategy_type,
        timeframe=timeframe,
        start__lte=end,
        end__gte=start,
    ).order_by("id")
    wanted = set(symbols)
    # Which symbols a row has is looked at here: neither database finds a member of a JSON list by an index of the other.
    near = [pk for pk, names in rows.values_list("pk", "symbols") if wanted & set(names)]
    return list(rows.filter(pk__in=near))


def tuned_models() -> QuerySet[TunedModel]:
    """Return the models that were tuned, the newest first."""
    rows: QuerySet[TunedModel] = TunedModel.objects.order_by("-created_at", "-id")
    return rows


def model_get(model_id: UUID) -> TunedModel:
    """Return one model.

    Raises:
        ModelUnknown: when there is none.
    """
    model = TunedModel.objects.filter(pk=model_id).first()
    if model is None:
        raise ModelUnknown(f"There is no tuned model {model_id}; GET /api/models lists those there are.")
    return model
