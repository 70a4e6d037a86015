"""The watchdog: brings back runs whose worker died and runs whose message was lost, and ends poison runs."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from executions import endings
from executions.calls import QUEUE, TASK, worker_call
from executions.choices import TERMINAL, ExecutionStatus, StepStatus
from executions.errors import ATTEMPTS_EXHAUSTED
from executions.models import InboxMessage, StepExecution, WorkflowExecution
from executions.news import tell_status
from safety.services import alert_raise
from tradingsite.common import broker, routes
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

EVERY_S = 1.0
# From a queue that is not empty a message may be taken late; one message too many finds the run claimed.
NOTICED_AFTER = timedelta(seconds=3)
LOST_AFTER = timedelta(seconds=30)
LOST_FOR_SURE = timedelta(minutes=10)
BATCH = 100

ACTOR = Actor.system("watchdog")


def tick() -> int:
    """Look once and return how many runs were brought back or ended. Any number of watchdogs may look at once."""
    return _expired() + _lost()


def requeue_pending() -> int:
    """Call for every waiting run again: a broker in memory has forgotten them all."""
    return _requeue(Q(status=ExecutionStatus.PENDING))


def _expired() -> int:
    rows = WorkflowExecution.objects.filter(status=ExecutionStatus.RUNNING, lease_until__lt=Now())
    done = 0
    for run in rows.order_by("lease_until")[:BATCH]:
        with transaction.atomic():
            done += _take_back(run)
    return done


def _take_back(run: WorkflowExecution) -> bool:
    """End or requeue one run whose lease has expired; False when somebody else was quicker."""
    now = utcnow()
    cancelled = run.cancel_requested_at is not None
    exhausted = run.attempts >= run.max_attempts
    run.lease_until = None
    if cancelled:
        run.status, run.completed_at = ExecutionStatus.CANCELLED, now
    elif exhausted:
        run.status, run.completed_at = ExecutionStatus.FAILED, now
        run.error_code = ATTEMPTS_EXHAUSTED
        run.error_message = f"its worker was lost {run.attempts} times; look at the step under way before you retry"
    else:
        run.status, run.queued_at = ExecutionStatus.PENDING, now
    taken = WorkflowExecution.objects.filter(
        pk=run.pk, fence=run.fence, status=ExecutionStatus.RUNNING, lease_until__lt=Now()
    ).update(
        status=run.status,
        fence=F("fence") + 1,
        lease_until=None,
        completed_at=run.completed_at,
        queued_at=run.queued_at,
        error_code=run.error_code,
        error_message=run.error_message,
        updated_at=now,
    )
    if not taken:
        return False
    tell_status(run)
    if run.status in TERMINAL:
        endings.note(run)
    under_way = StepExecution.objects.filter(execution=run, status=StepStatus.RUNNING)
    if cancelled:
        StepExecution.objects.filter(execution=run, status__in=[StepStatus.PENDING, StepStatus.RUNNING]).update(
            status=StepStatus.CANCELLED
        )
    elif exhausted:
        under_way.update(
            status=StepStatus.FAILED, completed_at=now, error_code=ATTEMPTS_EXHAUSTED, error_message=run.error_message
        )
        StepExecution.objects.filter(execution=run, status=StepStatus.PENDING).update(status=StepStatus.SKIPPED)
        alert_raise(
            kind="execution_failed",
            name="Run failed",
            severity="critical",
            message=f"Run {run.pk} failed: {run.error_message}.",
            actor=ACTOR,
        )
    else:
        worker_call(run, begun=True)
    return True


def _lost() -> int:
    """Call again for runs whose message is gone: with a worker that had taken it, or with a broker that forgot it.

    An empty queue is proof: what waits all the same lies nowhere. One call too many goes to a free worker and finds
    the run claimed, or it stays in the queue, which is empty no longer.
    """
    now = utcnow()
    waiting = Q(status=ExecutionStatus.PENDING)
    if not WorkflowExecution.objects.filter(waiting, queued_at__lt=now - NOTICED_AFTER).exists():
        return 0
    if TASK in routes.tasks_routed():
        # A topic forgets nothing; a record may only have fallen to an executor that died before it claimed the run.
        fallen = Exists(InboxMessage.objects.filter(task_id=OuterRef("task_id"), taken_at__isnull=False, done_at=None))
        return _requeue(waiting & Q(queued_at__lt=now - LOST_AFTER) & (fallen | Q(queued_at__lt=now - LOST_FOR_SURE)))
    in_queue = broker.waiting(QUEUE)
    # Who has taken its message a moment ago is about to claim it, however long it has waited.
    waiting &= ~Q(_on_its_way(taken_since=now - NOTICED_AFTER))
    if in_queue == 0:
        return _requeue(waiting & Q(queued_at__lt=now - NOTICED_AFTER))
    # As many messages as runs that were sent: each has its own, and the oldest wait because there is much to do.
    enough = in_queue is not None and in_queue >= WorkflowExecution.objects.filter(waiting).count()
    return _requeue(waiting & Q(queued_at__lt=now - (LOST_FOR_SURE if enough else LOST_AFTER)))


def _requeue(which: Q) -> int:
    done, now = 0, utcnow()
    while batch := _requeue_batch(which & Q(queued_at__lt=now)):
        done += batch
    return done


def _on_its_way(*, taken_since: datetime | None = None) -> Exists:
    """Whether the message stands in the outbox, for a relay or for a worker that has done what it does now.

    Args:
        taken_since: or whether it has left the outbox after this.
    """
    left = Q(published_at=None) if taken_since is None else Q(published_at=None) | Q(published_at__gt=taken_since)
    return Exists(OutboxMessage.objects.filter(left, task_id=OuterRef("task_id")))


@transaction.atomic
def _requeue_batch(which: Q) -> int:
    # Where runs go by Celery nobody takes what an inbox still holds.
    inbox = InboxMessage.objects.all() if TASK in routes.tasks_routed() else InboxMessage.objects.none()
    arrived = Exists(inbox.filter(task_id=OuterRef("task_id"), taken_at=None))
    # Rows that a worker or another watchdog is at are passed over, and seen again in a second.
    rows = WorkflowExecution.objects.select_for_update(skip_locked=True).filter(which, ~_on_its_way(), ~arrived)
    runs = list(rows.order_by("queued_at")[:BATCH])
    WorkflowExecution.objects.filter(pk__in=[run.pk for run in runs]).update(queued_at=utcnow())
    for run in runs:
        worker_call(run)
    return len(runs)
