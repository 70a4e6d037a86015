"""What a topic hears of a run: the status and the steps, written in the transaction of the change they tell of."""

import functools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from executions.kafka.words import EVENT_QUEUE, EVENT_TASK, SCHEMAS
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.outbox import enqueue_task

EVENT_VERSION = 1
TEXT_MAX = 4000
TOLD = frozenset({"status", "step"})


@functools.cache
def _members(type_: str) -> frozenset[str]:
    schema = json.loads((SCHEMAS / f"run-event.v{EVENT_VERSION}.json").read_text())
    return frozenset(schema["$defs"][type_]["properties"])


def event_of(*, run_id: UUID, type_: str, seq: int, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of a run.

    Of what the sockets hear, the members that the schema knows, with texts cut to what a topic should carry.
    """
    known = {name: value for name, value in data.items() if name in _members(type_)}
    return {
        "schema_version": EVENT_VERSION,
        "type": f"run.{type_}",
        "message_id": f"{run_id}.{seq}",
        "run_id": str(run_id),
        "seq": seq,
        "at": rfc3339(at),
        "data": {name: value[:TEXT_MAX] if isinstance(value, str) else value for name, value in known.items()},
    }


def tell(*, run_id: UUID, type_: str, seq: int, data: Mapping[str, Any]) -> None:
    """Have the topic told once the present transaction has committed.

    Without Kafka nobody is told; progress and log lines are for the sockets alone.
    """
    if settings.EXECUTION_TRANSPORT == "kafka" and type_ in TOLD:
        event = event_of(run_id=run_id, type_=type_, seq=seq, at=utcnow(), data=data)
        enqueue_task(EVENT_TASK, args=[event], queue=EVENT_QUEUE)
