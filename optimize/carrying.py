"""Carrying chunks of a job in a worker: claim, work, write down, and see what is to be done next."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error, connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from optimize import ending
from optimize.choices import UNFINISHED, ChunkStatus, JobStatus
from optimize.claims import Claim, claim, ended, fenced, hand_back
from optimize.errors import KIND_MISSING, WORK_CRASHED, HandOver, JobCancelled, LeaseLost
from optimize.leases import Lease, keeper
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.news import PERIOD, news_of, tell, tell_progress
from optimize.selectors import JOBS, results_of
from optimize.webhooks import end_told
from optimize.work import Asked, Gathering, Kind, Outcome, Piece, Pinned, kinds
from optimize.writing import json_of
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import AppError
from tradingsite.common.lifecycle import stopping
from tradingsite.common.writes import Sql, insert, update, write_part

logger = logging.getLogger(__name__)


def carry(job_id: UUID, worker: str, *, until: float) -> bool:
    """Carry chunks of a job, one after the other, until none waits or the time is up.

    Args:
        until: on the monotonic clock. What is under way then is finished first.

    Returns:
        Whether another pair of hands is wanted, because chunks wait that nobody carries.
    """
    while (held := claim(job_id, worker)) is not None:
        if _carry_one(held):
            return False
        if stopping.is_set() or time.monotonic() >= until:
            return OptimizationChunk.objects.filter(job_id=job_id, status=ChunkStatus.WAITING).exists()
    return False


def _carry_one(held: Claim) -> bool:
    """Carry one chunk; say whether that was the end of its job, with nothing left to claim."""
    job = JOBS.first(held.job_id)
    if job is None:
        return True
    if job.ended and not held.gathers:
        _drop(held)
        return False
    if job.kind not in kinds:
        ending.fail(held, KIND_MISSING, f"This worker knows no jobs of the kind {job.kind!r}.")
        return False
    with keeper.kept(held) as lease:
        try:
            return _Worker(held, lease, job, kinds.get(job.kind)).work()
        except HandOver:
            hand_back(held)
        except JobCancelled:
            _drop(held)
        except LeaseLost as error:
            logger.warning("%s", error)
        except AppError as error:
            ending.fail(held, error.code, error.detail)
        except (Error, OSError) as error:
            # Not the job's fault. Its lease runs out, and somebody tries again.
            logger.warning("chunk %s of optimisation %s is left for now: %s", held.index, held.job_id, error)
        except Exception as error:  # the border to the kinds: whatever they raise ends their job, not the worker
            logger.exception("chunk %s of optimisation %s failed", held.index, held.job_id)
            ending.fail(held, WORK_CRASHED, f"{type(error).__name__}: {error}")
    return False


def _drop(held: Claim) -> None:
    """Let go of a chunk whose job has ended; what it has kept so far stays."""
    with suppress(LeaseLost), fenced(held, status=ChunkStatus.DROPPED, lease_until=None, completed_at=utcnow()):
        pass


class _Worker:
    """One claimed chunk, its job and its kind."""

    def __init__(self, held: Claim, lease: Lease, job: OptimizationJob, kind: Kind) -> None:
        self._held, self._lease, self._job, self._kind = held, lease, job, kind
        self._told = time.monotonic()
        self._asked = Asked(
            job_id=job.pk,
            request=job.request,
            data=[Pinned(**pinned) for pinned in job.data],
            seed=job.seed,
            total=job.total_combinations,
            n_folds=job.n_folds,
            created_at=job.created_at,
        )

    def work(self) -> bool:
        """Do it; say whether the job is over with it."""
        held, job = self._held, self._job
        if held.gathers:
            whole = not job.ended
            self._finish(self._gathered(partial(results_of, job.pk), whole=whole))
            return True
        piece = Piece(
            self._asked, held.first, held.last, self._lease.check, self._progress, self._keep, state=held.state
        )
        found = self._kind.run(piece)
        self._lease.check()
        if job.chunks_count > 1:
            self._done(found)
            return False

        def only() -> Iterator[tuple[int, int, bytes]]:
            yield held.first, held.last, found

        self._finish(self._gathered(only, whole=True), result=found)
        return True

    def _gathered(self, results: Any, *, whole: bool) -> Outcome:
        outcome = self._kind.gather(Gathering(self._asked, results, whole, self._lease.check))
        self._lease.check()
        return outcome

    def _done(self, found: bytes) -> None:
        """Write down what a chunk among several found, and let it be gathered when it was the last one."""
        held, now = self._held, utcnow()
        done = {"status": ChunkStatus.DONE, "result": found, "state": None, "lease_until": None, "completed_at": now}
        with fenced(held, **done):
            counted = OptimizationJob.objects.filter(pk=held.job_id, status__in=UNFINISHED).update(
                done_combinations=F("done_combinations") + (held.last - held.first),
                chunks_done=F("chunks_done") + 1,
                fold=F("n_folds"),
                updated_at=now,
            )
            if not counted:
                # What is gathered of a cancelled job is what was done when it was cancelled.
                raise JobCancelled
            # Its row is ours until the commit, so that of several last chunks exactly one sees that it is the last.
            job = OptimizationJob.objects.defer("result", "request", "data").get(pk=held.job_id)
            if job.chunks_done == job.chunks_count:
                waiting = OptimizationChunk.objects.filter(job=job, gathers=True, status=ChunkStatus.BLOCKED)
                waiting.update(status=ChunkStatus.WAITING)
            tell_progress(job)

    def _finish(self, outcome: Outcome, **fields: Any) -> None:
        """Write down what the job came to. A job that was cancelled stays so, and has its result all the same."""
        held, job, now = self._held, self._job, utcnow()
        # NaN is no JSON, and PostgreSQL would refuse it after all the work. Written once: it is the most of the row.
        text = json_of(outcome.result)
        result: dict[str, Any] = {
            "result": Sql("%s::jsonb" if connection.vendor == "postgresql" else "%s", (text,)),
            "best_sharpe": outcome.best_sharpe,
            "verdict": outcome.verdict,
            "updated_at": now,
        }
        chunk = {"status": ChunkStatus.DONE, "state": None, "lease_until": None, "completed_at": now, **fields}
        trials = []
        if outcome.trials is not None:
            outcome.trials.job_id = held.job_id
            trials.append(insert(outcome.trials))
        begun = OptimizationJob._meta.get_field("started_at").get_db_prep_value(now, connection=connection)
        complete = {
            **result,
            "status": JobStatus.COMPLETE,
            "completed_at": now,
            "started_at": Sql("COALESCE(started_at, %s)", (begun,)),
            "done_combinations": Sql("total_combinations"),
            "fold": Sql("n_folds"),
            "chunks_done": Sql("chunks_count"),
        }
        job.status, job.done_combinations, job.fold = JobStatus.COMPLETE, job.total_combinations, job.n_folds
        news = news_of(job)
        with transaction.atomic():
            written = ended(held, chunk, update(OptimizationJob, {"id": held.job_id}, complete), *trials, news)
            if written is not None:
                news.written(written[-1])
                end_told(held.job_id)
                return
        # It has ended meanwhile, or another worker has the chunk.
        with fenced(held, **chunk):
            for part in (update(OptimizationJob, {"id": held.job_id}, result), *trials):
                write_part(part)
            tell(OptimizationJob.objects.defer("result", "request", "data").get(pk=held.job_id))

    def _progress(self, done: int, fold: int) -> None:
        """Tell how far a job of one chunk is. Of several, each tells when it is done: together they would stammer."""
        now = time.monotonic()
        if self._job.chunks_count > 1 or now - self._told < PERIOD.total_seconds():
            return
        self._lease.check()
        self._told = now
        done = min(max(done, 0), self._held.last - self._held.first)
        with transaction.atomic():
            # A worker that begins anew after another was lost is behind what was told already.
            OptimizationJob.objects.filter(pk=self._held.job_id, status__in=UNFINISHED).update(
                done_combinations=Greatest("done_combinations", done), fold=fold, updated_at=utcnow()
            )
            tell_progress(OptimizationJob.objects.defer("result", "request", "data").get(pk=self._held.job_id))

    def _keep(self, state: bytes) -> None:
        self._lease.check()
        with fenced(self._held, state=state):
            # The job is locked by now, so that nobody gathers meanwhile.
            if not OptimizationJob.objects.filter(pk=self._held.job_id, status__in=UNFINISHED).exists():
                raise JobCancelled
