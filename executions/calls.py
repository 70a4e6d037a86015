"""Calling a worker for a run: the message that names the run, written with the change that needs it."""

from executions.models import WorkflowExecution
from tradingsite.common.models import OutboxMessage
from tradingsite.common.outbox import enqueue_task, task_message

TASK, QUEUE = "executions.run", "runs"
HIGHEST = 9


def worker_call(run: WorkflowExecution, *, begun: bool = False) -> None:
    """Have a worker called for a waiting run once the present transaction has committed.

    Args:
        begun: its worker was lost or handed it over. It goes first, whatever its priority: it has waited already, and
            behind a long queue it would stand still in the middle of its steps.
    """
    priority = HIGHEST if begun else run.priority
    enqueue_task(TASK, args=[str(run.pk)], queue=QUEUE, task_id=run.task_id, priority=priority)


def call_of(run: WorkflowExecution) -> OutboxMessage:
    """Return that message, for who writes it together with the run."""
    return task_message(TASK, args=[str(run.pk)], queue=QUEUE, task_id=run.task_id, priority=run.priority)
