"""The watchdog: brings back runs whose worker died and runs whose message was lost, and ends poison runs."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from executions import endings
from executions.calls import worker_call
from executions.choices import TERMINAL, ExecutionStatus, StepStatus
from executions.errors import ATTEMPTS_EXHAUSTED
from executions.models import InboxMessage, StepExecution, WorkflowExecution
from executions.news import tell_status
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

EVERY_S = 1.0
# A message may wait this long behind others before it is thought lost; one message too many finds the run claimed.
LOST_AFTER = timedelta(seconds=30)
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
        worker_call(run)
    return True


def _lost() -> int:
    return _requeue(Q(status=ExecutionStatus.PENDING, queued_at__lt=utcnow() - LOST_AFTER))


def _requeue(which: Q) -> int:
    done = 0
    for run in WorkflowExecution.objects.filter(which).order_by("queued_at")[:BATCH]:
        with transaction.atomic():
            if OutboxMessage.objects.filter(task_id=run.task_id, published_at=None).exists():
                continue
            if InboxMessage.objects.filter(task_id=run.task_id, taken_at=None).exists():
                continue
            taken = WorkflowExecution.objects.filter(
                pk=run.pk, status=ExecutionStatus.PENDING, queued_at=run.queued_at
            ).update(queued_at=utcnow())
            if not taken:
                # A worker or another watchdog was quicker.
                continue
            done += 1
            worker_call(run)
    return done
