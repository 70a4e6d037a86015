"""Celery's door to the chunks."""

import time
from datetime import datetime
from uuid import UUID

from celery import Task, shared_task
from django.db import transaction

from optimize.adaptation import looking
from optimize.calls import TASK, worker_call
from optimize.carrying import carry
from optimize.models import OptimizationJob
from tradingsite.common.clock import utcnow

# How long a thread stays with one job: behind it wait other jobs, and in a small desk the runs too.
ROUND_S = 2.0


@shared_task(name=TASK, bind=True, ignore_result=True)
def carry_job(self: Task, job_id: str) -> None:
    """Carry chunks of this job for a while, and queue up again when more of them wait."""
    key = UUID(job_id)
    if carry(key, str(self.request.hostname or "worker"), until=time.monotonic() + ROUND_S):
        with transaction.atomic():
            OptimizationJob.objects.filter(pk=key).update(called_at=utcnow())
            worker_call(key)


@shared_task(name=looking.TASK, ignore_result=True)
def look_at_bars(adaptation_id: str, claimed: str) -> None:
    """Look at the bars of an adaptation: at its regimes, and at what it watches."""
    looking.look(UUID(adaptation_id), claimed=datetime.fromisoformat(claimed))
