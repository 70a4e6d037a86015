"""What the sockets hear of a run, and a topic of Kafka where there is one; each message is written in the transaction of the change that it tells of."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from executions.kafka import events
from executions.models import StepExecution, WorkflowExecution
from tradingsite.common.live import publish

FEED = "execution"


def stream_of(execution_id: UUID) -> str:
    """Return the name of a run's stream."""
    return f"{FEED}:{execution_id}"


def _tell(execution_id: UUID, type_: str, data: dict[str, Any]) -> int:
    return publish(stream_of(execution_id), type_, {"execution_id": str(execution_id), **data})


def tell_status(execution: WorkflowExecution) -> None:
    """`status`: where the run is, and why it failed if it did."""
    data: dict[str, Any] = {"status": execution.status, "progress": execution.progress, "attempts": execution.attempts}
    if execution.error_code:
        data |= {"error_code": execution.error_code, "error_message": execution.error_message}
    seq = _tell(execution.pk, "status", data)
    events.tell(run_id=execution.pk, type_="status", seq=seq, data=data)


def tell_step(step: StepExecution) -> None:
    """`step`: one step began or ended."""
    data: dict[str, Any] = {
        "index": step.index,
        "name": step.name,
        "status": step.status,
        "duration": step.duration,
        "attempts": step.attempts,
        "summary": step.summary,
    }
    if step.error_code:
        data |= {"error_code": step.error_code, "error_message": step.error_message}
    seq = _tell(step.execution_id, "step", data)
    events.tell(run_id=step.execution_id, type_="step", seq=seq, data=data)


def tell_progress(execution_id: UUID, progress: float) -> None:
    """`progress`: 0..100 of the whole run."""
    _tell(execution_id, "progress", {"progress": progress})


def tell_log(execution_id: UUID, index: int, lines: Sequence[dict[str, Any]]) -> None:
    """`log`: lines that a step wrote."""
    _tell(execution_id, "log", {"index": index, "lines": list(lines)})
