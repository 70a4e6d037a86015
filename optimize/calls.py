"""Calling workers for a job: each message is one pair of hands that takes chunks of the job while some wait."""

from uuid import UUID

from tradingsite.common.outbox import enqueue_task

TASK, QUEUE = "optimize.carry", "optimize"


def worker_call(job_id: UUID, *, hands: int = 1) -> None:
    """Have workers called for a job once the present transaction has committed."""
    for _ in range(hands):
        enqueue_task(TASK, args=[str(job_id)], queue=QUEUE, task_id=str(job_id))
