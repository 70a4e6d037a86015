"""Reading jobs, their chunks and the ledger."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from optimize.choices import JobStatus
from optimize.errors import ModelUnknown, OptimizationNotFound
from optimize.models import FRESH, OptimizationChunk, OptimizationJob, TrialRecord, TunedModel
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.reads import KeyReader
from tradingsite.common.roles import Role
from tradingsite.common.writes import prepared_cursor

JOBS = KeyReader(OptimizationJob, "id")
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
    kept: Any = rows.exclude(result=None, state=None)
    # By their keys, and not with a cursor of the server: who stops in the middle leaves that open, and closing it later
    # would break whatever transaction the connection is in by then.
    for pk in list(kept.values_list("pk", flat=True)):
        for first, last, result, state in kept.filter(pk=pk).values_list("first", "last", "result", "state"):
            yield first, last, bytes(result if result is not None else state)


class Entry(NamedTuple):
    """What one job or several alike added to the ledger; see `TrialRecord`."""

    hashes: bytes
    sharpe_count: int
    sharpe_mean: float
    sharpe_squares: float
    periods: int


def trials_of(
    *, strategy_type: str, symbols: list[str], start: datetime, end: datetime, before: datetime
) -> list[Entry]:
    """Return the ledger's entries of this type on some of these symbols in some of this time, of bars of any length.

    Equal ones come once.

    Args:
        before: when the search was asked for; what was asked for later does not count.
    """
    moment = TrialRecord._meta.get_field("start")
    start_, end_, before_ = (moment.get_db_prep_value(at, connection=connection) for at in (start, end, before))
    with prepared_cursor() as cursor:
        cursor.execute(_TRIALS, [strategy_type, end_, start_, before_, before_])
        found = cursor.fetchall()
    wanted = set(symbols)
    # Which symbols a row has is looked at here: neither database finds a member of a JSON list by an index of the other.
    return [Entry(bytes(hashes), *rest) for names, hashes, *rest in found if wanted & set(json.loads(names))]


# Written before, or of a search that was asked for before and took longer: searches that run at the same time would
# otherwise not know of each other. A job done again and again adds the same each time.
_TRIALS = """
    SELECT own.symbols, own.hashes, own.sharpe_count, own.sharpe_mean, own.sharpe_squares, own.periods
    FROM optimization_trials AS own LEFT JOIN optimization_job AS job ON job.id = own.job_id
    WHERE own.strategy_type = %s AND own.start <= %s AND own."end" >= %s
        AND (own.created_at < %s OR job.created_at < %s)
    GROUP BY own.symbols, own.hashes, own.sharpe_count, own.sharpe_mean, own.sharpe_squares, own.periods
    ORDER BY MIN(own.id)
"""


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
