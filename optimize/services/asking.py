"""Asking for a job, and asking it to stop."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from optimize import ending
from optimize.calls import worker_call
from optimize.choices import UNFINISHED, ChunkStatus, JobKind, JobStatus
from optimize.errors import OptimizationFinished, OptimizerBusy
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.news import tell
from optimize.work import CHUNKS_MAX, Plan, kinds
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.owners import require_owner

# Unfinished ones of all people together.
UNFINISHED_MAX = 200


def job_create(*, actor: Actor, kind: JobKind, body: Mapping[str, Any]) -> OptimizationJob:
    """Plan a job and write it with its chunks and the messages that start it: all of it or nothing.

    Args:
        body: as the route's serializer has let it through.

    Raises:
        ValidationFailed: naming each wrong field.
        OptimizerBusy: too many jobs are unfinished.
    """
    plan = kinds.get(kind).plan(body, actor)
    return _write(actor, kind, plan)


@transaction.atomic
def _write(actor: Actor, kind: JobKind, plan: Plan) -> OptimizationJob:
    if OptimizationJob.objects.filter(status__in=UNFINISHED).count() >= UNFINISHED_MAX:
        detail = f"{UNFINISHED_MAX} optimisations are unfinished; wait for one, or cancel one."
        raise OptimizerBusy(detail, headers={"Retry-After": "30"})
    assert 1 <= len(plan.chunks) <= CHUNKS_MAX
    assert [last for _, last in plan.chunks] == [*(first for first, _ in plan.chunks[1:]), plan.total]
    data = [pinned.as_json() for pinned in plan.data]
    job = OptimizationJob(
        kind=kind,
        strategy_type=plan.strategy_type,
        request=dict(plan.request),
        data=data,
        fingerprint=hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest(),
        seed=plan.seed,
        total_combinations=plan.total,
        n_folds=plan.n_folds,
        chunks_count=len(plan.chunks),
        created_by_id=actor.user_id,
    )
    job.save(force_insert=True)
    chunks = [
        OptimizationChunk(job=job, index=index, first=first, last=last)
        for index, (first, last) in enumerate(plan.chunks)
    ]
    if len(chunks) > 1:
        chunks.append(
            OptimizationChunk(
                job=job, index=len(chunks), first=0, last=plan.total, gathers=True, status=ChunkStatus.BLOCKED
            )
        )
    OptimizationChunk.objects.bulk_create(chunks, batch_size=500)
    worker_call(job.pk, hands=min(len(plan.chunks), settings.OPTIMIZE_HANDS))
    after = {"kind": str(kind), "strategy_type": job.strategy_type, "total_combinations": job.total_combinations}
    audit.record(actor=actor, action="optimization.create", target=job, after=after)
    tell(job)
    return job


@transaction.atomic
def job_cancel(*, actor: Actor, job: OptimizationJob, reason: str = "") -> OptimizationJob:
    """End a job now; its workers stop within two seconds, and what they have done is kept.

    A second wish changes nothing.

    Raises:
        PermissionDenied: somebody else started it.
        OptimizationFinished: it has ended otherwise.
    """
    locked = OptimizationJob.objects.select_for_update().defer("result").get(pk=job.pk)
    require_owner(actor=actor, created_by_id=locked.created_by_id)
    if locked.status == JobStatus.CANCELLED:
        return locked
    if locked.ended:
        raise OptimizationFinished(f"It is {locked.status}; there is nothing left to cancel.")
    ending.job_stop(locked)
    after = {"status": locked.status, "done_combinations": locked.done_combinations}
    audit.record(actor=actor, action="optimization.cancel", target=locked, after=after, reason=reason)
    return locked
