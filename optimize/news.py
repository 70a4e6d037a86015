"""What `/ws/optimize` hears of jobs, at most ten messages a second of each."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Coalesce

from optimize.choices import UNFINISHED, JobStatus
from optimize.models import OptimizationJob
from tradingsite.common.clock import utcnow
from tradingsite.common.live import publish
from tradingsite.common.live.events import Announcement, Event

FEED = "optimize"
# Eight in a second, so that the beginning and the end of a job fit in as well.
PERIOD = timedelta(milliseconds=125)


def stream_of(owner_id: int | None) -> str:
    """Return the name of the stream that a person's jobs are told on."""
    return f"{FEED}:{'desk' if owner_id is None else owner_id}"


def news_of(job: OptimizationJob) -> Announcement:
    """Return where a job is as something to be written with the change that it tells of."""
    data = {"job_id": str(job.pk), "kind": job.kind, **job.progress, "status": job.shown_status}
    return Announcement(stream_of(job.created_by_id), [Event("progress", data)])


def tell(job: OptimizationJob) -> None:
    """Tell where a job is, in the transaction of the change."""
    news = news_of(job)
    publish(news.stream, news.events[0].type, news.events[0].data)


def tell_progress(job: OptimizationJob) -> bool:
    """Tell how far a job is, unless that was done a moment ago by anybody, and note that it runs.

    In the transaction of the change. `job` must be as the database has it.

    Returns:
        Whether it was told.
    """
    now = utcnow()
    due = Q(told_at=None) | Q(told_at__lte=now - PERIOD)
    fields = {"told_at": now, "status": JobStatus.RUNNING, "started_at": Coalesce("started_at", now)}
    if not OptimizationJob.objects.filter(due, pk=job.pk, status__in=UNFINISHED).update(**fields):
        return False
    job.status, job.told_at, job.started_at = JobStatus.RUNNING, now, job.started_at or now
    tell(job)
    return True
