"""Claiming a chunk and writing to it: every write names the fence of its claim, a stale one is refused."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from optimize.choices import UNFINISHED, ChunkStatus
from optimize.errors import LeaseLost
from optimize.models import OptimizationChunk, OptimizationJob
from tradingsite.common.clock import utcnow
from tradingsite.common.writes import Part, Sql, database_now, prepared_cursor, update, write

LEASE = timedelta(seconds=6)
ATTEMPTS_MAX = 3

_CLAIM = """
    UPDATE optimization_chunk SET status = 'running', fence = fence + 1, attempts = attempts + 1, worker = %s,
        lease_until = {until}, started_at = COALESCE(started_at, %s)
    WHERE id = (
        SELECT id FROM optimization_chunk WHERE job_id = %s AND status = 'waiting' ORDER BY "index" LIMIT 1 {locking}
    ) RETURNING id, fence, "index", first, last, gathers, state
"""


@dataclass(frozen=True)
class Claim:
    """The right to carry a chunk, until somebody claims it anew. Leases are timed by the database, whose clock is one."""

    job_id: UUID
    chunk_id: int
    fence: int
    index: int
    first: int
    last: int
    gathers: bool
    state: bytes | None = field(repr=False, compare=False)
    # On this process's own clock, from before the lease was written: it never seems longer here than it is there.
    since: float = field(compare=False)


def claim(job_id: UUID, worker: str) -> Claim | None:
    """Take the first chunk of a job that waits; None when none does.

    One UPDATE decides, so that of any number of workers exactly one gets it.
    """
    since = time.monotonic()
    locking = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    key = OptimizationJob._meta.pk.get_db_prep_value(job_id, connection=connection)
    now = OptimizationChunk._meta.get_field("started_at").get_db_prep_value(utcnow(), connection=connection)
    with prepared_cursor() as cursor:
        cursor.execute(_CLAIM.format(until=database_now(LEASE), locking=locking), [worker[:100], now, key])
        row = cursor.fetchone()
    if row is None:
        return None
    chunk_id, fence, index, first, last, gathers, state = row
    kept = None if state is None else bytes(state)
    return Claim(job_id, chunk_id, fence, index, first, last, bool(gathers), kept, since)


def renew(held: Claim) -> bool:
    """Prolong the lease; False when the claim is no longer ours."""
    return bool(_ours(held).update(lease_until=Now() + LEASE))


@contextmanager
def fenced(held: Claim, **fields: Any) -> Iterator[None]:
    """One transaction that changes the chunk with `fields` and whatever else is written inside the block.

    The job is locked and then the chunk, in the order of whoever ends a job, so that no two wait for each other. Until
    the commit nobody can claim the chunk.

    Raises:
        LeaseLost: the claim is stale; nothing was written.
    """
    with transaction.atomic():
        list(OptimizationJob.objects.select_for_update().filter(pk=held.job_id).values_list("pk"))
        if not _ours(held).update(**fields):
            raise LeaseLost(f"chunk {held.index} of {held.job_id} is carried by another worker")
        yield


def ended(held: Claim, fields: Mapping[str, Any], *others: Part) -> list[list[Any]] | None:
    """Change the chunk with `fields` and write `others` with it, one statement where the database can.

    As in `fenced`, the job is locked and then the chunk.

    Returns:
        What each of the others gave back; None, and nothing was written, when the claim is stale or the job has ended.
    """
    locking = "FOR UPDATE" if connection.vendor == "postgresql" else ""
    unfinished = ", ".join(f"'{status.value}'" for status in sorted(UNFINISHED))
    text = f"job_id = (SELECT id FROM optimization_job WHERE id = %s AND status IN ({unfinished}) {locking})"
    job = OptimizationJob._meta.pk.get_db_prep_value(held.job_id, connection=connection)
    key = {
        "id": held.chunk_id,
        "fence": held.fence,
        "status": ChunkStatus.RUNNING,
        "job": Sql(text, (job,)),
    }
    written = write(update(OptimizationChunk, key, fields), *others)
    return None if written is None else written[1]


def hand_back(held: Claim) -> bool:
    """Let another worker have the chunk, as if this one had never tried; False when it is not ours."""
    fields = {"status": ChunkStatus.WAITING, "lease_until": None}
    return bool(_ours(held).update(**fields, attempts=F("attempts") - 1))


def _ours(held: Claim) -> Any:
    return OptimizationChunk.objects.filter(pk=held.chunk_id, fence=held.fence, status=ChunkStatus.RUNNING)
