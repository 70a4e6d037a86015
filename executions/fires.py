"""Telling the clock how the runs ended that its fires had started."""

from collections.abc import Sequence

from executions.choices import Trigger
from executions.models import RunEnding, WorkflowExecution
from scheduler.services import run_ended


def settle(endings: Sequence[RunEnding]) -> None:
    """Write the ends of scheduled runs into the history of their schedules."""
    rows = WorkflowExecution.objects.filter(
        pk__in={ending.execution_id for ending in endings}, triggered_by=Trigger.SCHEDULE
    )
    runs = {run.pk: run for run in rows.only("error_code", "error_message", "decisions_made", "orders_placed")}
    for ending in endings:
        run = runs.get(ending.execution_id)
        if run is not None:
            run_ended(
                run_id=run.pk,
                status=ending.status,
                result={
                    "execution_id": str(run.pk),
                    "decisions_made": run.decisions_made,
                    "orders_placed": run.orders_placed,
                },
                code=run.error_code,
                message=run.error_message,
            )
