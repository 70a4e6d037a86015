"""What the sockets hear of a run, and a topic of Kafka where there is one.

Each message is written in the transaction of the change that it tells of.
"""

import contextlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from executions.kafka import events as kafka_events
from executions.models import StepExecution, WorkflowExecution
from tradingsite.common.live import publish
from tradingsite.common.live.events import Announcement, Event

FEED = "execution"


def stream_of(execution_id: UUID) -> str:
    """Return the name of a run's stream."""
    return f"{FEED}:{execution_id}"


def news_of(execution_id: UUID, *events: Event) -> Announcement:
    """Return these events as something to be written with the change that they tell of."""
    named = [Event(event.type, {"execution_id": str(execution_id), **event.data}) for event in events]
    return Announcement(stream_of(execution_id), named)


def news_written(execution_id: UUID, news: Announcement, numbers: Sequence[Sequence[int]]) -> None:
    """Pass on what was just written, by the numbers it got, once the present transaction has committed."""
    news.written(numbers)
    for event, (seq, _) in zip(news.events, numbers, strict=True):
        kafka_events.tell(run_id=execution_id, type_=event.type, seq=seq, data=event.data)


def written_with_news() -> contextlib.AbstractContextManager[object]:
    """Return what stands around a change and its `news_written`.

    A topic is told too, by a message in the transaction of the change, which needs the number that the event got: two
    statements. Without a topic there is one, which needs no transaction around it.
    """
    return transaction.atomic() if settings.EXECUTION_TRANSPORT == "kafka" else contextlib.nullcontext()


def _tell(execution_id: UUID, event: Event) -> None:
    publish(stream_of(execution_id), event.type, {"execution_id": str(execution_id), **event.data})


def status_event(execution: WorkflowExecution) -> Event:
    """`status`: where the run is, and why it failed if it did."""
    data: dict[str, Any] = {"status": execution.status, "progress": execution.progress, "attempts": execution.attempts}
    if execution.error_code:
        data |= {"error_code": execution.error_code, "error_message": execution.error_message}
    return Event("status", data)


def tell_status(execution: WorkflowExecution) -> None:
    """Tell where the run is."""
    _tell_all(execution.pk, status_event(execution))


def step_event(step: StepExecution) -> Event:
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
    return Event("step", data)


def tell_step(step: StepExecution) -> None:
    """Tell that a step began or ended."""
    _tell_all(step.execution_id, step_event(step))


def _tell_all(execution_id: UUID, event: Event) -> None:
    """Tell the sockets, and the topic."""
    seq = publish(stream_of(execution_id), event.type, {"execution_id": str(execution_id), **event.data})
    kafka_events.tell(run_id=execution_id, type_=event.type, seq=seq, data=event.data)


def tell_progress(execution_id: UUID, progress: float) -> None:
    """`progress`: 0..100 of the whole run."""
    _tell(execution_id, Event("progress", {"progress": progress}))


def tell_log(execution_id: UUID, index: int, lines: Sequence[dict[str, Any]]) -> None:
    """`log`: lines that a step wrote."""
    _tell(execution_id, Event("log", {"index": index, "lines": list(lines)}))
