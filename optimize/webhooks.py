"""What webhooks are told of optimisations: how each one ended."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from market.sources import generated
from optimize.choices import JobStatus
from optimize.models import OptimizationJob
from tradingsite.common.clock import rfc3339
from tradingsite.common.webhooks import announcing
from tradingsite.common.webhooks.announcing import Event, listeners
from tradingsite.common.webhooks.event_types import EventType, event_types

MESSAGE_MAX = 1000

_JOB = {
    "job_id": "0190a0b0-0000-7000-8000-000000000008",
    "kind": "strategy",
    "status": "complete",
    "strategy_type": "momentum",
    "symbols": ["MSFT"],
    "generated": False,
    "total_combinations": 18,
    "done_combinations": 18,
    "best_sharpe": 0.71,
    "verdict": "review",
    "created_at": "2026-01-05T15:00:00Z",
    "started_at": "2026-01-05T15:00:00.120000Z",
    "completed_at": "2026-01-05T15:00:01.320000Z",
    "error_code": "",
    "error_message": "",
}
_UNJUDGED = {**_JOB, "done_combinations": 9, "best_sharpe": None, "verdict": ""}
TYPES: Mapping[str, EventType] = {
    JobStatus.COMPLETE.value: EventType(
        "optimization.completed", "A search, tuning or analysis came to its end.", _JOB
    ),
    JobStatus.FAILED.value: EventType(
        "optimization.failed",
        "A search, tuning or analysis failed.",
        {
            **_UNJUDGED,
            "status": "failed",
            "error_code": "NOTHING_EVALUATED",
            "error_message": "No combination was looked at to the end. Widen the grid, or allow more trials.",
        },
    ),
    JobStatus.CANCELLED.value: EventType(
        "optimization.cancelled", "A search, tuning or analysis was cancelled.", {**_UNJUDGED, "status": "cancelled"}
    ),
}
for _type in TYPES.values():
    event_types.register(_type)


def end_told(job_id: UUID) -> None:
    """Tell webhooks how a job ended, in the transaction of its end. Nothing is read where nobody listens."""
    to = listeners({event_type.slug for event_type in TYPES.values()})
    if not to:
        return
    job = OptimizationJob.objects.defer("result", "request").get(pk=job_id)
    assert job.completed_at is not None
    data: dict[str, Any] = {
        "job_id": str(job.pk),
        "kind": job.kind,
        "status": job.status,
        "strategy_type": job.strategy_type,
        "symbols": [pinned["symbol"] for pinned in job.data],
        "generated": generated(str(pinned["source"]) for pinned in job.data),
        "total_combinations": job.total_combinations,
        "done_combinations": job.done_combinations,
        "best_sharpe": job.best_sharpe,
        "verdict": job.verdict,
        "created_at": rfc3339(job.created_at),
        "started_at": job.started_at and rfc3339(job.started_at),
        "completed_at": rfc3339(job.completed_at),
        "error_code": job.error_code,
        "error_message": job.error_detail[:MESSAGE_MAX],
    }
    # Somebody else's job is there for operators alone, over HTTP and here.
    event = Event(TYPES[job.status].slug, data, at=job.completed_at, owned=True, owner_id=job.created_by_id)
    announcing.announce(event, to=to)
