"""Celery's doors to the clock and to the jobs."""

from uuid import UUID

from celery import shared_task

from scheduler import firing, work


@shared_task(name=work.TASK, ignore_result=True)
def job(fire_id: str) -> None:
    work.job_run(UUID(fire_id))


@shared_task(name="scheduler.tick", ignore_result=True)
def tick() -> None:
    firing.tick()
