"""What alert rules are told of runs: each one that failed, and each decision of those that completed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from executions.choices import ExecutionStatus, TaskStatus
from executions.models import EarlierTask, WorkflowExecution
from safety.alerting.contracts import occurrence_sources
from safety.alerting.observations import Occurrence
from tradingsite.common.decimals import to_decimal
from tradingsite.common.errors import ValidationFailed

ZERO = Decimal(0)


class FailedRuns:
    """Runs that failed. One that was retried and failed again has failed twice: each task counts."""

    slug: str = "execution_failed"

    def between(self, since: datetime, until: datetime) -> Sequence[Occurrence]:
        ended = {"completed_at__gte": since, "completed_at__lt": until}
        columns = ("task_id", "completed_at", "error_code", "error_message")
        run = ("workflow_id", "strategy_id", "strategy__name")
        rows = [
            *WorkflowExecution.objects.filter(status=ExecutionStatus.FAILED, **ended).values_list("pk", *columns, *run),
            *EarlierTask.objects.filter(status=TaskStatus.FAILURE, **ended).values_list(
                "execution_id", *columns, *(f"execution__{name}" for name in run)
            ),
        ]
        return [_failed(*row) for row in rows]


def _failed(
    run_id: object, task_id: str, at: datetime, code: str, message: str, workflow: object, strategy: object, name: str
) -> Occurrence:
    return Occurrence(
        key=f"task {task_id}",
        at=at,
        text=f"Run {run_id} of {name} failed: {code} {message}"[:2000],
        facts={"workflow_id": str(workflow), "strategy_id": str(strategy)},
    )


class Decisions:
    """Decisions of completed runs, whoever made them: a signal, a model or an agent."""

    slug: str = "agent_decision"

    def between(self, since: datetime, until: datetime) -> Sequence[Occurrence]:
        runs = WorkflowExecution.objects.filter(
            status=ExecutionStatus.COMPLETED, completed_at__gte=since, completed_at__lt=until, decisions_made__gt=0
        ).only("completed_at", "results", "workflow_id", "strategy_id", "task_id")
        return [found for run in runs.iterator(chunk_size=200) for found in _decisions(run)]


def _decisions(run: WorkflowExecution) -> Iterator[Occurrence]:
    assert run.completed_at is not None
    for number, decision in enumerate((run.results or {}).get("decisions", [])):
        if not isinstance(decision, Mapping):
            continue
        symbol, action = str(decision.get("symbol", ""))[:32], str(decision.get("action", ""))
        confidence = _number(decision.get("confidence"))
        yield Occurrence(
            key=f"{run.task_id} {number}",
            at=run.completed_at,
            text=f"{action} {symbol}: {decision.get('reason') or 'no reason was given'}"[:2000],
            symbol=symbol,
            value=confidence,
            facts={
                "workflow_id": str(run.workflow_id),
                "strategy_id": str(run.strategy_id),
                "action": action,
                # Without one it is none that anybody could be sure of.
                "confidence": str(confidence or ZERO),
            },
        )


def _number(value: Any) -> Decimal | None:
    """Return a decision's figure as an exact decimal; None for what is no number."""
    try:
        return to_decimal(repr(value) if isinstance(value, float) else value)
    except ValidationFailed:
        return None


def register() -> None:
    """Register both sources."""
    occurrence_sources.register(FailedRuns())
    occurrence_sources.register(Decisions())
