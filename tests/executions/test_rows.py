"""The rows of the long lists are exactly what their serializers would have made."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from rest_framework.renderers import JSONRenderer

from executions import selectors, task_selectors
from executions.api.rows import run_row, task_row
from executions.api.serializers import ExecutionRow, TaskRow
from executions.choices import TERMINAL, ExecutionStatus
from executions.models import WorkflowExecution
from executions.task_selectors import Task, TaskDetail, task_get
from tests.executions.conftest import Trials
from tradingsite.common.clock import frozen
from tradingsite.common.ids import uuid7

pytestmark = pytest.mark.django_db
AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
# A whole second is written without a fraction, and an end may lie before its start when clocks differ.
MOMENTS = (None, AT, AT + timedelta(seconds=1.5), AT - timedelta(milliseconds=1))


def rows() -> Iterator[dict[str, Any]]:
    """Every status with every combination of times, attempts and wishes that the table takes."""
    for status, started, completed, attempts, asked in product(
        ExecutionStatus.values, MOMENTS, MOMENTS, (0, 2), (None, AT)
    ):
        if status in TERMINAL and completed is None:
            continue
        yield {
            "status": status,
            "started_at": started,
            "completed_at": completed,
            "attempts": attempts,
            "cancel_requested_at": asked,
        }


@pytest.fixture
def runs(trials: Trials) -> None:
    workflow = trials.workflow("one")
    version, strategy = workflow.current_version, trials.strategy(workflow, name='Ünïcode "quoted" \\ <b>')
    WorkflowExecution.objects.bulk_create(
        WorkflowExecution(
            task_id=str(uuid7()),
            strategy=strategy,
            workflow=workflow if number % 3 else None,
            workflow_version=version if number % 3 else None,
            priority=number % 10,
            mode="live" if number % 2 else "paper",
            triggered_by="schedule" if number % 5 else "user",
            progress=(0, 33.3, 100)[number % 3],
            decisions_made=number,
            orders_placed=number // 2,
            error_code="" if number % 4 else "STEP_FAILED",
            created_at=AT - timedelta(microseconds=number * 250_000),
            **fields,
        )
        for number, fields in enumerate(rows())
    )


def rendered(data: Any) -> Any:
    """Return what a client reads, in the order in which it stands there."""
    return json.loads(JSONRenderer().render(data), object_pairs_hook=list)


def test_a_row_of_the_list_of_runs_is_what_its_serializer_makes(runs: None) -> None:
    with frozen(AT + timedelta(hours=1)):
        models = WorkflowExecution.objects.order_by("pk")
        lean = [run_row(row, AT + timedelta(hours=1)) for row in models.values(*selectors.LISTED)]
        assert len(lean) > 200
        assert rendered(lean) == rendered(ExecutionRow(models, many=True).data)


def test_a_row_of_the_list_of_tasks_is_what_its_serializer_makes(runs: None) -> None:
    lean = [task_row(row) for row in WorkflowExecution.objects.order_by("pk").values(*task_selectors.LISTED)]
    tasks: list[TaskDetail] = [task_get(run.task_id) for run in WorkflowExecution.objects.order_by("pk")]
    assert len(lean) > 200
    assert rendered(lean) == rendered(TaskRow(tasks, many=True).data)
    assert set(Task.__dataclass_fields__) == set(lean[0])
