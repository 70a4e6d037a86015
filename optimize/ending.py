"""Ending a job before its time: because it cannot be done, or because somebody wants it to stop."""

from django.db import transaction
from django.db.models import Q

from optimize.calls import worker_call
from optimize.choices import UNFINISHED, ChunkStatus, JobStatus
from optimize.claims import Claim
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.news import tell
from optimize.webhooks import end_told
from tradingsite.common.clock import utcnow


@transaction.atomic
def fail(held: Claim, code: str, detail: str) -> None:
    """End a job as failed, and let go of the chunk; a claim that is stale by now ends nothing."""
    chunk = OptimizationChunk.objects.filter(pk=held.chunk_id, fence=held.fence, status=ChunkStatus.RUNNING)
    # The job before its chunks, as everywhere: two that lock both must not wait for each other.
    job = OptimizationJob.objects.select_for_update().defer("result").get(pk=held.job_id)
    if chunk.update(status=ChunkStatus.DROPPED, lease_until=None, completed_at=utcnow()):
        job_fail(job, code, detail)


def job_fail(job: OptimizationJob, code: str, detail: str) -> None:
    """End a locked job as failed, unless it has ended."""
    if job.ended:
        return
    job.status, job.completed_at = JobStatus.FAILED, utcnow()
    job.error_code, job.error_detail = code[:60], detail.replace("\x00", "\ufffd")[:2000]
    job.save(update_fields=["status", "completed_at", "error_code", "error_detail"])
    _chunks_drop(job)
    tell(job)
    end_told(job.pk)


def job_stop(job: OptimizationJob) -> None:
    """End a locked job as cancelled. Its workers see it within two seconds; what is done by now is still gathered."""
    assert job.status in UNFINISHED
    now = utcnow()
    job.status, job.cancel_requested_at, job.completed_at = JobStatus.CANCELLED, now, now
    job.save(update_fields=["status", "cancel_requested_at", "completed_at"])
    _chunks_drop(job)
    found = OptimizationChunk.objects.filter(job=job, gathers=False).filter(
        Q(status=ChunkStatus.DONE) | Q(state__isnull=False)
    )
    if found.exists():
        OptimizationChunk.objects.update_or_create(
            job=job,
            index=job.chunks_count,
            defaults={"status": ChunkStatus.WAITING},
            create_defaults={
                "status": ChunkStatus.WAITING,
                "gathers": True,
                "first": 0,
                "last": job.total_combinations,
            },
        )
        worker_call(job.pk)
    tell(job)
    end_told(job.pk)


def _chunks_drop(job: OptimizationJob) -> None:
    idle = OptimizationChunk.objects.filter(job=job, status__in=[ChunkStatus.WAITING, ChunkStatus.BLOCKED])
    idle.update(status=ChunkStatus.DROPPED)
