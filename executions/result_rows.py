"""How runs ended, in the table where tools for Celery look: rows of django-celery-results.

Written after the end and in batches. A row per change of state would cost a worker most of its throughput, and the
truth about a run stands in its own row.
"""

import json
from collections.abc import Sequence
from typing import Any

from celery import states
from django.db import connection
from django_celery_results.models import TaskResult

from executions.calls import TASK
from executions.choices import ExecutionStatus
from executions.models import EarlierTask, RunEnding, WorkflowExecution

_STATES = {
    ExecutionStatus.COMPLETED: states.SUCCESS,
    ExecutionStatus.FAILED: states.FAILURE,
    ExecutionStatus.CANCELLED: states.REVOKED,
}
# Not as the model saves it, which sets both dates to now, whatever they were.
_FIELDS = [field for field in TaskResult._meta.concrete_fields if not field.primary_key]
_COLUMNS = [str(field.column) for field in _FIELDS]
_UPSERT = (
    f"INSERT INTO {TaskResult._meta.db_table} ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) "
    f"ON CONFLICT (task_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)
# As the library itself writes them.
_FIXED = {"content_type": "application/json", "content_encoding": "utf-8", "task_kwargs": "{}", "meta": "{}"}


def write(endings: Sequence[RunEnding]) -> None:
    """Write how these tasks ended; one that is written already is written anew."""
    runs = WorkflowExecution.objects.filter(pk__in={ending.execution_id for ending in endings}).only(
        "task_id", "status", "results", "error_code", "error_message", "lease_owner", "started_at", "completed_at"
    )
    by_task: dict[str, WorkflowExecution | EarlierTask] = {run.task_id: run for run in runs}
    # Of a run that was retried since, the task that ended is among its earlier ones.
    missing = [ending.task_id for ending in endings if ending.task_id not in by_task]
    by_task |= {task.task_id: task for task in EarlierTask.objects.filter(task_id__in=missing)}
    # By task: one that ended, was retried and ended again in one batch has two.
    rows = {ending.task_id: _row(ending, by_task[ending.task_id]) for ending in endings if ending.task_id in by_task}
    values = [
        [field.get_db_prep_save(getattr(row, field.attname), connection=connection) for field in _FIELDS]
        for row in rows.values()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_UPSERT, values)


def _row(ending: RunEnding, task: WorkflowExecution | EarlierTask) -> TaskResult:
    return TaskResult(
        task_id=ending.task_id,
        task_name=TASK,
        task_args=json.dumps([str(ending.execution_id)]),
        status=_STATES[ExecutionStatus(ending.status)],
        worker=task.lease_owner or None if isinstance(task, WorkflowExecution) else None,
        result=json.dumps(_result(ending, task)),
        date_created=ending.run_created_at,
        date_started=task.started_at,
        date_done=task.completed_at or ending.at,
        **_FIXED,
    )


def _result(ending: RunEnding, task: WorkflowExecution | EarlierTask) -> Any:
    """Return what the task gave back, or its failure in the form from which Celery makes an exception again."""
    if ending.status == ExecutionStatus.CANCELLED:
        return {"exc_type": "TaskRevokedError", "exc_module": "celery.exceptions", "exc_message": ["cancelled"]}
    if ending.status == ExecutionStatus.FAILED:
        return {"exc_type": task.error_code, "exc_module": None, "exc_message": [task.error_message]}
    return task.results if isinstance(task, WorkflowExecution) else None
