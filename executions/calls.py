"""Calling a worker for a run: the message that names the run, written with the change that needs it."""

from executions.models import WorkflowExecution
from tradingsite.common.outbox import enqueue_task

TASK, QUEUE = "executions.run", "runs"


def worker_call(run: WorkflowExecution) -> None:
    """Have a worker called for a waiting run once the present transaction has committed."""
    enqueue_task(TASK, args=[str(run.pk)], queue=QUEUE, task_id=run.task_id, priority=run.priority)
