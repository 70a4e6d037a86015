"""Claiming a run and writing to it: every write names the fence of its claim, a stale one is refused and counted."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from executions.choices import TERMINAL, ExecutionStatus
from executions.errors import LeaseLost
from executions.models import WorkflowExecution
from executions.news import news_of, news_written, status_event, written_with_news
from tradingsite.common.clock import utcnow
from tradingsite.common.live.events import Event
from tradingsite.common.reads import KeyReader
from tradingsite.common.writes import Part, Sql, Write, database_now, update, write

LEASE = timedelta(seconds=6)
RUNS = KeyReader(WorkflowExecution, "id", related=("workflow", "strategy"))
NOT_CANCELLED = Sql("cancel_requested_at IS NULL")


@dataclass(frozen=True)
class Claim:
    """The right to carry a run, until somebody claims it anew. Leases are timed by the database, whose clock is one."""

    execution_id: UUID
    fence: int
    worker: str
    # On this process's own clock, from before the lease was written: it never seems longer here than it is there.
    since: float = field(compare=False)
    # The run as the claim left it.
    run: WorkflowExecution = field(compare=False, repr=False)
    # Whether what was to happen with the claim has happened.
    begun: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Beginning:
    """What is to happen with a claim, in the same statement.

    Attributes:
        only_if: what must hold for it; the run is claimed without it otherwise.
    """

    part: Part
    event: Event
    only_if: Sequence[Sql]


def claim(
    execution_id: UUID, worker: str, begin: Callable[[WorkflowExecution], Beginning | None] = lambda _run: None
) -> Claim | None:
    """Take the run, if it waits or its lease has run out; None when it is somebody else's or over.

    One conditional UPDATE decides, so that of any number of workers with the same message exactly one goes on.

    Args:
        begin: says of the run as it was read what is to happen with the claim; `begun` tells whether it did.
    """
    seen = None
    while True:
        since = time.monotonic()
        run = RUNS.first(execution_id)
        if run is None or run.updated_at == seen or run.status in TERMINAL or run.cancel_requested_at is not None:
            return None
        # What is told of the claim was read before it: a change in between is a reason to look again, once each.
        seen = run.updated_at
        beginning = begin(run)
        if beginning is not None and _claimed(run, worker, beginning):
            return Claim(execution_id, run.fence, worker, since, run, begun=True)
        if _claimed(run, worker):
            return Claim(execution_id, run.fence, worker, since, run)


def _claimed(run: WorkflowExecution, worker: str, beginning: Beginning | None = None) -> bool:
    """Claim a run as it was read, and let it be so; False when it is not to be had, or not as it was."""
    now = utcnow()
    free = Sql(f"status = 'pending' OR status = 'running' AND lease_until < {database_now()}")
    key: dict[str, Any] = {
        "id": run.pk,
        "fence": run.fence,
        "attempts": run.attempts,
        # Each write to the run or its steps sets it, also those of a worker whose lease has run out.
        "updated_at": run.updated_at,
        "status": free,
        "cancel_requested_at": NOT_CANCELLED,
        "max_attempts": Sql("attempts < max_attempts"),
    }
    fields = {
        "status": ExecutionStatus.RUNNING,
        "fence": run.fence + 1,
        "attempts": run.attempts + 1,
        "lease_owner": worker[:100],
        "started_at": run.started_at or now,
        "updated_at": now,
    }
    before = {name: getattr(run, name) for name in fields}
    for name, value in fields.items():
        setattr(run, name, value)
    others = [beginning.part] if beginning else []
    events = [status_event(run), *([beginning.event] if beginning else [])]
    key |= _conditions(beginning.only_if if beginning else ())
    taken = update(WorkflowExecution, key, {**fields, "lease_until": Sql(database_now(LEASE))})
    if _written(run.pk, taken, events, *others):
        return True
    for name, value in before.items():
        setattr(run, name, value)
    return False


def renew(held: Claim) -> bool:
    """Prolong the lease; False when the claim is no longer ours."""
    return bool(_ours(held).update(lease_until=Now() + LEASE))


@contextlib.contextmanager
def fenced(held: Claim, **fields: Any) -> Iterator[None]:
    """One transaction that changes the run with `fields` and whatever else is written inside the block.

    The run's row is updated first, which locks it: until the commit nobody can claim it.

    Raises:
        LeaseLost: the claim is stale; nothing was written.
    """
    try:
        with transaction.atomic():
            if not _ours(held).update(updated_at=utcnow(), **fields):
                raise LeaseLost(f"run {held.execution_id} is carried by another worker")
            yield
    except LeaseLost:
        _stale(held)
        raise


def fenced_write(
    held: Claim, *others: Part, events: Sequence[Event], only_if: Sequence[Sql] = (), **fields: Any
) -> bool:
    """Change the run with `fields`, write the `others` and the events with it: all in one, or nothing.

    Args:
        others: what must not touch the run's own row.
        only_if: what else must hold, of the run's row or in general; otherwise nothing is written.

    Returns:
        Whether it was written; False only with `only_if`, and then for a stale claim as well.

    Raises:
        LeaseLost: the claim is stale; nothing was written.
    """
    key: dict[str, Any] = {"id": held.execution_id, "fence": held.fence, "status": ExecutionStatus.RUNNING}
    key |= _conditions(only_if)
    run = update(WorkflowExecution, key, {"updated_at": utcnow(), **fields})
    if _written(held.execution_id, run, events, *others):
        return True
    if only_if:
        return False
    _stale(held)
    raise LeaseLost(f"run {held.execution_id} is carried by another worker")


def _conditions(only_if: Sequence[Sql]) -> dict[str, Sql]:
    return {f"condition {number}": condition for number, condition in enumerate(only_if)}


def _written(execution_id: UUID, run: Write, events: Sequence[Event], *others: Part) -> bool:
    """Change a run's row, and if that finds it, write the others and the events; False when it does not."""
    news = news_of(execution_id, *events)
    with written_with_news():
        written = write(run, *others, news)
        if written is None:
            return False
        news_written(execution_id, news, written[1][-1])
        return True


def _stale(held: Claim) -> None:
    WorkflowExecution.objects.filter(pk=held.execution_id).update(stale_writes=F("stale_writes") + 1)


def _ours(held: Claim) -> Any:
    return WorkflowExecution.objects.filter(pk=held.execution_id, fence=held.fence, status=ExecutionStatus.RUNNING)
