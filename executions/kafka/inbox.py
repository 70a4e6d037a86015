"""The inbox: a record becomes a row before its offset is committed, and work happens on rows alone."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from executions.errors import RecordNotReplayable
from executions.kafka.models import InboxMessage, ParkedRecord
from executions.kafka.records import REQUEST_MAX, RunRequested, Unreadable, request_read
from executions.kafka.words import Outcome, Reason
from executions.models import WorkflowExecution
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

KEY_MAX = 1024


@dataclass(frozen=True)
class Record:
    """A record with its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Received:
    """How many of some records were requests, known or new, and how many were set aside."""

    requests: int
    parked: int


def receive(records: Sequence[Record]) -> Received:
    """Write each record down, as a request or as parked; afterwards none of them is needed any more.

    Records that were written down before change nothing.
    """
    requests, parked = _sorted(records)
    with transaction.atomic():
        InboxMessage.objects.bulk_create(
            (
                InboxMessage(
                    message_id=request.message_id,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    execution_id=request.run_id,
                    task_id=request.task_id,
                    priority=request.priority,
                )
                for record, request in requests
            ),
            ignore_conflicts=True,
        )
        ParkedRecord.objects.bulk_create(
            (
                ParkedRecord(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    key=None if record.key is None else record.key[:KEY_MAX],
                    value=None if record.value is None else record.value[:REQUEST_MAX],
                    size=len(record.value or b""),
                    digest=_digest(record),
                    reason=error.reason,
                    detail=error.detail,
                )
                for record, error in parked
            ),
            ignore_conflicts=True,
        )
    return Received(len(requests), len(parked))


def _sorted(
    records: Iterable[Record],
) -> tuple[list[tuple[Record, RunRequested]], list[tuple[Record, Unreadable]]]:
    """Tell the requests from what is none."""
    read: list[tuple[Record, RunRequested]] = []
    parked: list[tuple[Record, Unreadable]] = []
    for record in records:
        try:
            read.append((record, request_read(record.key, record.value)))
        except Unreadable as error:
            parked.append((record, error))
    wanted = {request.run_id for _, request in read}
    known = set(WorkflowExecution.objects.filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    requests = [(record, request) for record, request in read if request.run_id in known]
    parked += [
        (record, Unreadable(Reason.UNKNOWN_RUN, f"there is no run {request.run_id}"))
        for record, request in read
        if request.run_id not in known
    ]
    return requests, parked


def _digest(record: Record) -> str:
    # The length stands between, so that no other key and value come to the same bytes.
    key = b"-" if record.key is None else b"%d:" % len(record.key) + record.key
    return hashlib.sha256(key + b"|" + (b"-" if record.value is None else b"+" + record.value)).hexdigest()


def take(worker: str) -> InboxMessage | None:
    """Return the most urgent request that waits, now ours; None when none waits."""
    with transaction.atomic():
        row = (
            InboxMessage.objects.select_for_update(skip_locked=True)
            .filter(taken_at=None)
            .order_by("-priority", "id")
            .first()
        )
        if row is not None:
            row.taken_at, row.taken_by = utcnow(), worker[:100]
            row.save(update_fields=["taken_at", "taken_by"])
    return row


def finish(row: InboxMessage, outcome: Outcome) -> None:
    """Write what became of a request that was taken; one that ended in a fault is not done."""
    InboxMessage.objects.filter(pk=row.pk).update(
        done_at=None if outcome == Outcome.FAULT else utcnow(), outcome=outcome
    )


def waiting(*, at_most: int) -> int:
    """Return how many requests wait, counted up to `at_most`."""
    return InboxMessage.objects.filter(taken_at=None)[:at_most].count()


def parked_replay(*, actor: Actor, parked: ParkedRecord) -> UUID:
    """Read a parked record once more, with what the desk understands and knows now; return the run it asks for.

    Raises:
        RecordNotReplayable: it is still no request, for the reason that the error and the row give.
    """
    if parked.size > REQUEST_MAX:
        raise RecordNotReplayable("Only the beginning of the record was kept.")
    record = Record(
        parked.topic,
        parked.partition,
        parked.offset,
        None if parked.key is None else bytes(parked.key),
        None if parked.value is None else bytes(parked.value),
    )
    requests, refused = _sorted([record])
    if refused:
        error = refused[0][1]
        ParkedRecord.objects.filter(pk=parked.pk).update(reason=error.reason, detail=error.detail)
        raise RecordNotReplayable(f"{error.reason.label}: {error.detail}")
    with transaction.atomic():
        receive([record])
        parked.replayed_at = utcnow()
        parked.save(update_fields=["replayed_at"])
        run_id = requests[0][1].run_id
        audit.record(actor=actor, action="parked_record.replay", target=parked, after={"execution_id": str(run_id)})
    return run_id
