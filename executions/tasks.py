"""Celery's door to the runner."""

from uuid import UUID

from celery import Task, shared_task

from executions.runner import run_execution


@shared_task(name="executions.run", bind=True, ignore_result=True)
def run(self: Task, execution_id: str) -> None:
    run_execution(UUID(execution_id), worker=str(self.request.hostname or "worker"))
