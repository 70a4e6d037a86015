"""What a fire starts, and how it ends: by a run with rows of its own, or by a job that a worker does."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import InterfaceError, InternalError, OperationalError, transaction
from django.db.models import F

from safety.services import alert_raise
from scheduler.choices import AT_WORK, FireStatus
from scheduler.errors import JOB_CRASHED, JOB_TYPE_MISSING, OWNER_NOT_ALLOWED, WORKER_LOST
from scheduler.models import Schedule, ScheduleFire
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Job, JobType, RunStarter, Skipped, job_types
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.errors import AppError
from tradingsite.common.outbox import enqueue_task

logger = logging.getLogger(__name__)

TASK, QUEUE = "scheduler.job", "control"
ATTEMPTS_MAX = 3
# A worker that is lost is noticed this long after the job's own time limit.
SLACK = timedelta(seconds=30)
ACTOR = Actor.system("clock")
# Not the fault of any one job. InternalError is how PostgreSQL refuses to write.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)


def actor_of(schedule: Schedule) -> Actor:
    """Return in whose name a schedule acts."""
    return Actor(kind="system", name=f"schedule {schedule.name}"[:150], user_id=schedule.created_by_id)


def job_type_of(schedule: Schedule) -> JobType:
    """Return the job type of a schedule.

    Raises:
        UnknownName: no installed app offers it any more.
    """
    return job_types.get(schedule.job_type)()


def config_of(schedule: Schedule, job_type: JobType) -> Mapping[str, Any]:
    """Return a schedule's config as its job type takes it.

    Raises:
        ValidationFailed: the job type has come to want another config since it was saved.
    """
    return validated(job_type.config_class, schedule.config)


def begin(fire: ScheduleFire, schedule: Schedule) -> None:
    """Start what a fire stands for, in the present transaction."""
    try:
        job_type = job_type_of(schedule)
    except UnknownName:
        text = f"no installed app offers {schedule.job_type}"
        settle_fire(fire, schedule, FireStatus.FAILED, code=JOB_TYPE_MISSING, message=text)
        return
    if not _owner_may(schedule, job_type):
        text = "who made the schedule may not do this any more; let somebody who may save it"
        settle_fire(fire, schedule, FireStatus.FAILED, code=OWNER_NOT_ALLOWED, message=text)
        return
    if isinstance(job_type, RunStarter):
        _start_run(fire, schedule, job_type)
    else:
        message = enqueue_task(TASK, args=[str(fire.pk)], queue=QUEUE)
        fire.status, fire.task_id = FireStatus.QUEUED, message.task_id
        fire.lease_until = utcnow() + timedelta(minutes=5)
        fire.save()


def _owner_may(schedule: Schedule, job_type: JobType) -> bool:
    if schedule.created_by_id is None:
        # The desk's own.
        return True
    owner = get_user_model().objects.filter(pk=schedule.created_by_id).first()
    return owner is not None and Actor.for_user(owner).may(job_type.least_role)


def _start_run(fire: ScheduleFire, schedule: Schedule, job_type: RunStarter) -> None:
    try:
        with transaction.atomic():
            started = job_type.start(actor=actor_of(schedule), config=config_of(schedule, job_type))
    except AppError as error:
        settle_fire(fire, schedule, FireStatus.FAILED, code=error.code, message=_said(error))
        return
    except DATABASE_AWAY:
        raise
    except Exception as error:  # the border to the jobs of the apps: their faults end the fire, not the clock
        logger.exception("schedule %s could not start its run", schedule.name)
        text = f"{type(error).__name__}: {error}"
        settle_fire(fire, schedule, FireStatus.FAILED, code=JOB_CRASHED, message=text)
        return
    if isinstance(started, Skipped):
        fire.run_id = started.run_id
        settle_fire(fire, schedule, FireStatus.SKIPPED, code=started.code, message=started.message)
        return
    fire.status, fire.run_id, fire.started_at = FireStatus.RUNNING, started, utcnow()
    fire.save()


def _said(error: AppError) -> str:
    reasons = "; ".join(f"{each.pointer}: {each.detail}" for each in error.errors)
    return f"{error.detail} {reasons}".strip()


def cancel(fire: ScheduleFire, schedule: Schedule) -> None:
    """End an older fire for the sake of a newer one: its run is asked to stop, its job's result is not waited for."""
    if fire.run_id is not None:
        try:
            job_type = job_type_of(schedule)
            if isinstance(job_type, RunStarter):
                job_type.cancel(actor=actor_of(schedule), run_id=fire.run_id)
        except UnknownName:
            logger.warning("run %s of schedule %s cannot be cancelled: its job type is gone", fire.run_id, schedule)
    settle_fire(fire, schedule, FireStatus.CANCELLED, message="a newer fire took its place")


def job_run(fire_id: UUID) -> bool:
    """Do the job of a queued fire, in a worker; False when it is not there to be done."""
    now = utcnow()
    fire = ScheduleFire.objects.select_related("schedule").filter(pk=fire_id, status=FireStatus.QUEUED).first()
    if fire is None:
        return False
    schedule = fire.schedule
    try:
        job_type = job_type_of(schedule)
    except UnknownName:
        with transaction.atomic():
            settle_fire(fire, schedule, FireStatus.FAILED, code=JOB_TYPE_MISSING, message=schedule.job_type)
        return False
    assert isinstance(job_type, Job)
    taken = ScheduleFire.objects.filter(pk=fire.pk, status=FireStatus.QUEUED).update(
        status=FireStatus.RUNNING,
        started_at=now,
        attempts=F("attempts") + 1,
        lease_until=now + timedelta(seconds=job_type.timeout_s) + SLACK,
    )
    if not taken:
        return False
    fire.refresh_from_db()
    _finish(fire, schedule, *_outcome(job_type, schedule))
    return True


def _outcome(job_type: Job, schedule: Schedule) -> tuple[str, Mapping[str, Any] | None, str, str]:
    try:
        return (
            FireStatus.COMPLETED,
            job_type.run(actor=actor_of(schedule), config=config_of(schedule, job_type)),
            "",
            "",
        )
    except AppError as error:
        return FireStatus.FAILED, None, error.code, _said(error)
    except Exception as error:  # the border to the jobs of the apps: their faults end the fire, not the worker
        logger.exception("job %s of schedule %s crashed", schedule.job_type, schedule.name)
        return FireStatus.FAILED, None, JOB_CRASHED, f"{type(error).__name__}: {error}"


def _finish(
    fire: ScheduleFire, schedule: Schedule, status: str, result: Mapping[str, Any] | None, code: str, message: str
) -> None:
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update(of=("self",)).get(pk=schedule.pk)
        current = ScheduleFire.objects.select_for_update(of=("self",)).get(pk=fire.pk)
        if current.status != FireStatus.RUNNING or current.attempts != fire.attempts:
            # Cancelled, or given up and done anew: whoever has it now says how it ended.
            return
        settle_fire(current, schedule, status, code=code, message=message, result=result)


def run_ended(*, run_id: UUID, status: str, result: Mapping[str, Any] | None, code: str, message: str) -> None:
    """Write down how the run of a fire ended; a run that no schedule started is none of ours."""
    fire = ScheduleFire.objects.filter(run_id=run_id, status__in=AT_WORK).values_list("pk", "schedule_id").first()
    if fire is None:
        return
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update(of=("self",)).get(pk=fire[1])
        current = ScheduleFire.objects.select_for_update(of=("self",)).get(pk=fire[0])
        if current.status in AT_WORK:
            settle_fire(current, schedule, FireStatus(status), code=code, message=message, result=result)


def settle_fire(
    fire: ScheduleFire,
    schedule: Schedule,
    status: str,
    *,
    code: str = "",
    message: str = "",
    result: Mapping[str, Any] | None = None,
) -> None:
    """End a fire of a locked schedule, and count what that means for the schedule."""
    now = utcnow()
    fire.status, fire.finished_at, fire.lease_until = status, now, None
    fire.error_code, fire.error_message, fire.result = code[:60], message, None if result is None else dict(result)
    fire.save()
    if status in (FireStatus.SKIPPED, FireStatus.CANCELLED):
        return
    schedule.last_status = status
    schedule.last_result = fire.result if status == FireStatus.COMPLETED else {"code": code, "message": message}
    schedule.last_duration = max((now - fire.started_at).total_seconds(), 0.0) if fire.started_at else None
    schedule.failure_streak = schedule.failure_streak + 1 if status == FireStatus.FAILED else 0
    schedule.save(update_fields=["last_status", "last_result", "last_duration", "failure_streak"])
    if schedule.enabled and 0 < schedule.pause_after <= schedule.failure_streak:
        pause(schedule, f"{schedule.failure_streak} failures in a row, the last: {code} {message}")


def pause(schedule: Schedule, reason: str) -> None:
    """Stop a locked schedule for a reason of its own, with an alert."""
    schedule.enabled, schedule.paused_reason = False, reason[:200]
    schedule.save(update_fields=["enabled", "paused_reason"])
    alert_raise(
        kind="schedule",
        name=f"Schedule paused: {schedule.name}",
        severity="critical",
        message=f"{schedule.paused_reason}. Start it again once the cause is mended.",
        actor=ACTOR,
    )


def recover() -> int:
    """Take up what lost its worker or its message: do it again, a bounded number of times. Returns how many."""
    found = 0
    overdue = ScheduleFire.objects.filter(status__in=AT_WORK, run_id=None, lease_until__lt=utcnow())
    for fire_id, schedule_id in list(overdue.values_list("pk", "schedule_id")[:100]):
        with transaction.atomic():
            schedule = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=schedule_id).first()
            fire = overdue.select_for_update(of=("self",)).filter(pk=fire_id).first() if schedule else None
            if schedule is None or fire is None:
                continue
            found += 1
            if fire.attempts >= ATTEMPTS_MAX:
                text = f"its worker was lost {fire.attempts} times"
                settle_fire(fire, schedule, FireStatus.FAILED, code=WORKER_LOST, message=text)
            else:
                begin(fire, schedule)
    return found
