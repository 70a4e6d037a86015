"""The watchdog: brings back chunks whose worker died and jobs whose message was lost, and ends poison chunks."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from optimize import ending
from optimize.calls import QUEUE, worker_call
from optimize.choices import ChunkStatus
from optimize.claims import ATTEMPTS_MAX
from optimize.errors import ATTEMPTS_EXHAUSTED
from optimize.models import OptimizationChunk, OptimizationJob
from tradingsite.common import broker
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

EVERY_S = 1.0
NOTICED_AFTER = timedelta(seconds=3)
LOST_AFTER = timedelta(seconds=30)
BATCH = 100


def tick() -> int:
    """Look once and return how many chunks and jobs were brought back. Any number of watchdogs may look at once."""
    return _expired() + _lost()


def _expired() -> int:
    late = OptimizationChunk.objects.filter(status=ChunkStatus.RUNNING, lease_until__lt=Now())
    done = 0
    for pk, job_id in late.order_by("lease_until").values_list("pk", "job_id")[:BATCH]:
        done += _take_back(pk, job_id)
    return done


@transaction.atomic
def _take_back(pk: int, job_id: UUID) -> bool:
    """End or requeue one chunk whose lease has expired; False when somebody else was quicker."""
    # The job first: whoever changes both takes them in this order.
    job = OptimizationJob.objects.select_for_update().defer("result").get(pk=job_id)
    late = OptimizationChunk.objects.filter(pk=pk, status=ChunkStatus.RUNNING, lease_until__lt=Now())
    chunk = late.only("attempts", "gathers", "index").first()
    if chunk is None:
        return False
    exhausted = chunk.attempts >= ATTEMPTS_MAX
    wanted = not job.ended or chunk.gathers
    status = ChunkStatus.WAITING if wanted and not exhausted else ChunkStatus.DROPPED
    if not late.update(status=status, fence=F("fence") + 1, lease_until=None):
        return False
    if status == ChunkStatus.WAITING:
        worker_call(job.pk)
    elif exhausted:
        ending.job_fail(
            job,
            ATTEMPTS_EXHAUSTED,
            f"The workers of chunk {chunk.index} were lost {chunk.attempts} times. It may need more memory than they "
            "have: ask for fewer combinations, symbols or bars.",
        )
    return True


def _lost() -> int:
    """Call again for jobs with chunks that wait and that nobody is about to take: their messages are gone."""
    now = utcnow()
    idle = OptimizationJob.objects.filter(
        _has(ChunkStatus.WAITING),
        ~_has(ChunkStatus.RUNNING),
        called_at__lt=now - NOTICED_AFTER,
        updated_at__lt=now - NOTICED_AFTER,
    )
    if not idle.exists():
        return 0
    # An empty queue is proof; from one that is not, a message may be taken late.
    if broker.waiting(QUEUE) != 0:
        idle = idle.filter(called_at__lt=now - LOST_AFTER, updated_at__lt=now - LOST_AFTER)
    with transaction.atomic():
        found = idle.select_for_update(skip_locked=True).order_by("called_at").values_list("pk", flat=True)[:BATCH]
        jobs = {str(pk): pk for pk in found}
        unsent = OutboxMessage.objects.filter(published_at=None, task_id__in=list(jobs))
        for task_id in unsent.values_list("task_id", flat=True):
            jobs.pop(task_id, None)
        OptimizationJob.objects.filter(pk__in=jobs.values()).update(called_at=now)
        for pk in jobs.values():
            worker_call(pk)
    return len(jobs)


def _has(status: ChunkStatus) -> Exists:
    return Exists(OptimizationChunk.objects.filter(job=OuterRef("pk"), status=status))
