"""The inbox: a record becomes one row, whatever it is and however often it is told; the urgent one is taken first."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from executions.errors import RecordNotReplayable
from executions.kafka import inbox, keeping, records
from executions.kafka.inbox import Received, Record, receive
from executions.kafka.models import InboxMessage, ParkedRecord
from executions.kafka.records import request_written
from executions.kafka.words import Outcome, Reason
from executions.models import WorkflowExecution
from safety.models import AuditLog
from tradingsite.common import clock
from tradingsite.common.actor import Actor

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
TOPIC = "desk.run-requests"
Make = Callable[..., WorkflowExecution]


def record(run_id: object, *, number: int = 1, offset: int = 0, priority: int = 0, **changed: Any) -> Record:
    value = request_written(
        message_id=f"message.{number}", run_id=str(run_id), task_id=str(uuid.UUID(int=number)), priority=priority, at=AT
    )
    return Record(
        **{"topic": TOPIC, "partition": 0, "offset": offset, "key": str(run_id).encode(), "value": value} | changed
    )


@pytest.mark.django_db
def test_a_request_that_is_told_again_is_one_row(make_run: Make) -> None:
    run = make_run()
    told = [record(run.pk, offset=0), record(run.pk, offset=1), record(run.pk, number=2, offset=2)]
    assert receive(told) == Received(requests=3, parked=0)
    receive(told)
    rows = InboxMessage.objects.order_by("id").values_list("message_id", "offset", "execution_id")
    assert list(rows) == [("message.1", 0, run.pk), ("message.2", 2, run.pk)]


@pytest.mark.django_db
def test_a_record_that_is_no_request_is_set_aside_and_the_ones_around_it_come_in(make_run: Make) -> None:
    run, nobody = make_run(), uuid.uuid4()
    told = [
        record(run.pk, number=1, offset=0),
        record(run.pk, offset=1, value=b"\x00\xffnot json"),
        record(nobody, number=3, offset=2),
        record(run.pk, offset=3, value=None),
        record(run.pk, offset=4, value=b"x" * (records.REQUEST_MAX + 5)),
        record(run.pk, number=2, offset=5),
    ]
    assert receive(told) == Received(requests=2, parked=4)
    receive(told)
    parked = {row.offset: row for row in ParkedRecord.objects.all()}
    assert {offset: row.reason for offset, row in parked.items()} == {
        1: Reason.NOT_JSON,
        2: Reason.UNKNOWN_RUN,
        3: Reason.EMPTY,
        4: Reason.TOO_LARGE,
    }
    assert bytes(parked[1].value or b"") == b"\x00\xffnot json"
    assert str(nobody) in parked[2].detail
    assert parked[3].value is None
    assert (len(bytes(parked[4].value or b"")), parked[4].size) == (records.REQUEST_MAX, records.REQUEST_MAX + 5)
    assert InboxMessage.objects.count() == 2


@pytest.mark.django_db
def test_other_bytes_at_the_same_place_are_another_record() -> None:
    """A topic that was made anew counts from 0 again."""
    receive([record(1, value=b"one"), record(1, value=b"two"), record(1, value=b"one", key=None)])
    assert ParkedRecord.objects.count() == 3


@pytest.mark.django_db
def test_the_most_urgent_is_taken_first_and_each_once(make_run: Make) -> None:
    run = make_run()
    receive([record(run.pk, number=n, offset=n, priority=p) for n, p in enumerate([0, 5, 9, 5, 0])])
    assert inbox.waiting(at_most=3) == 3
    taken = [row.message_id for _ in range(5) if (row := inbox.take("executor"))]
    assert taken == ["message.2", "message.1", "message.3", "message.0", "message.4"]
    assert inbox.take("executor") is None
    assert inbox.waiting(at_most=3) == 0


@pytest.mark.django_db
def test_what_became_of_a_request_stands_in_its_row(make_run: Make) -> None:
    receive([record(make_run().pk)])
    row = inbox.take("executor one")
    assert row is not None
    inbox.finish(row, Outcome.CARRIED)
    row.refresh_from_db()
    assert (row.taken_by, row.outcome, row.done_at is not None) == ("executor one", "carried", True)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_eight_threads_take_each_request_once(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    start = threading.Barrier(8, timeout=20)

    def taken_by_eight() -> list[str]:
        InboxMessage.objects.all().delete()
        receive([record(run.pk, number=n, offset=n) for n in range(80)])
        taken: list[str] = []

        def work() -> None:
            start.wait()
            while (row := inbox.take("executor")) is not None:
                taken.append(row.message_id)
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return taken

    found = taken_by_eight()
    assert len(found) == len(set(found)) == 80
    # The control: without the lock the same request goes to several.
    rows = type(InboxMessage.objects.all())
    monkeypatch.setattr(rows, "select_for_update", lambda self, **_: self.all())
    found = taken_by_eight()
    assert len(set(found)) == 80
    assert len(found) > 80


@pytest.mark.django_db
def test_a_parked_record_is_read_once_more_and_becomes_a_request(
    make_run: Make, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    told = record(run.pk)
    monkeypatch.setattr(records, "REQUEST_VERSION", 0)
    receive([told])
    parked = ParkedRecord.objects.get()
    assert parked.reason == Reason.NEWER_SCHEMA
    with pytest.raises(RecordNotReplayable, match="understands 0"):
        inbox.parked_replay(actor=operator_actor, parked=parked)
    assert not InboxMessage.objects.exists()
    monkeypatch.undo()
    assert inbox.parked_replay(actor=operator_actor, parked=parked) == run.pk
    parked.refresh_from_db()
    assert parked.replayed_at is not None
    assert InboxMessage.objects.get().execution_id == run.pk
    assert AuditLog.objects.filter(action="parked_record.replay").count() == 1
    inbox.parked_replay(actor=operator_actor, parked=parked)
    assert InboxMessage.objects.count() == 1


@pytest.mark.django_db
def test_a_record_of_which_only_the_beginning_was_kept_is_not_replayed(operator_actor: Actor) -> None:
    receive([record(1, value=b" " * (records.REQUEST_MAX + 1))])
    with pytest.raises(RecordNotReplayable, match="beginning"):
        inbox.parked_replay(actor=operator_actor, parked=ParkedRecord.objects.get())


@pytest.mark.django_db
def test_replaying_in_the_admin_says_what_became_of_each(browser: Callable[..., Client], make_run: Make) -> None:
    run = make_run()
    good, bad = record(run.pk), record(run.pk, offset=1, value=b"{")
    receive([bad])
    ParkedRecord.objects.create(
        topic=TOPIC, partition=0, offset=0, key=good.key, value=good.value, size=len(good.value or b""),
        digest="d", reason=Reason.UNKNOWN_RUN, detail="there was none",
    )  # fmt: skip
    shown = browser("admin").get(
        reverse("admin:executions_parkedrecord_change", args=[ParkedRecord.objects.get(offset=0).pk])
    )
    assert str(run.pk) in shown.content.decode()
    ids = list(ParkedRecord.objects.values_list("pk", flat=True))
    page = browser("admin").post(
        reverse("admin:executions_parkedrecord_changelist"),
        {"action": "replay", "_selected_action": ids},
        follow=True,
    )
    text = page.content.decode()
    assert "1 records are requests now" in text
    assert "desk.run-requests[0]@1: No JSON" in text
    assert InboxMessage.objects.get().execution_id == run.pk


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "trader"])
def test_who_may_not_operate_replays_nothing(browser: Callable[..., Client], role: str) -> None:
    receive([record(1, value=b"{")])
    answer = browser(role).post(
        reverse("admin:executions_parkedrecord_changelist"),
        {"action": "replay", "_selected_action": [ParkedRecord.objects.get().pk]},
    )
    assert answer.status_code in (302, 403)
    assert ParkedRecord.objects.get().replayed_at is None


@pytest.mark.django_db
def test_what_was_dealt_with_long_ago_is_removed_and_what_waits_stays(
    make_run: Make, frozen_clock: Callable[[datetime], None]
) -> None:
    run = make_run()
    receive([record(run.pk, number=1), record(run.pk, number=2, priority=9), record(run.pk, offset=9, value=b"{")])
    assert inbox.take("executor") is not None
    frozen_clock(clock.utcnow() + keeping.KEPT * 2)
    assert [row.message_id for row in keeping.messages_past_their_time(clock.utcnow())] == ["message.2"]
    assert not keeping.parked_past_their_time(clock.utcnow()).exists()
    frozen_clock(clock.utcnow() + keeping.PARKED_KEPT)
    assert keeping.parked_past_their_time(clock.utcnow()).count() == 1
