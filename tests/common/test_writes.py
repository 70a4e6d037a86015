"""Writes behind one condition: all of them or none, in one statement where the database can."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from tradingsite.common.live.events import Announcement, Event, stream_after
from tradingsite.common.models import LiveStream, OutboxMessage
from tradingsite.common.writes import Sql, insert, update, write, write_part

pytestmark = pytest.mark.django_db


def counter(name: str = "one", seq: int = 0) -> None:
    LiveStream.objects.create(name=name, seq=seq)


def message(**fields: object) -> OutboxMessage:
    return OutboxMessage(**{"task": "t", "task_id": "1", "queue": "q", "args": ["ä", None], **fields})


def news(stream: str = "trial:1", *numbers: int) -> Announcement:
    return Announcement(stream, [Event("step", {"number": number}) for number in numbers])


def test_the_first_write_tells_what_it_left_and_the_others_are_done() -> None:
    counter(seq=4)
    written = write(
        update(LiveStream, {"name": "one"}, {"seq": Sql("seq + %s", (3,))}),
        insert(message()),
        news("trial:1", 10, 20),
        returning=["seq", "name"],
    )
    assert written is not None
    row, answers = written
    assert row == (7, "one")
    (kept,) = OutboxMessage.objects.all()
    assert (kept.args, kept.kwargs, kept.published_at) == (["ä", None], {}, None)
    assert [(event["seq"], event["message"]["number"]) for event in stream_after("trial:1", 0)] == [(1, 10), (2, 20)]
    assert answers == [[], [[event["seq"], event["id"]] for event in stream_after("trial:1", 0)]]


def test_nothing_at_all_is_written_when_the_first_finds_no_row() -> None:
    counter("two", seq=1)
    late = update(LiveStream, {"name": "two", "seq": Sql("seq > %s", (1,))}, {"seq": 9})
    assert write(late, update(LiveStream, {"name": "one"}, {"seq": 5}), insert(message()), news("trial:1", 1)) is None
    assert LiveStream.objects.get().seq == 1
    assert not OutboxMessage.objects.exists()
    assert stream_after("trial:1", 0) == []


def test_one_write_that_fails_takes_the_others_back() -> None:
    counter()
    broken = insert(message(task_id="x", priority=-1))
    with pytest.raises(IntegrityError), transaction.atomic():
        write(update(LiveStream, {"name": "one"}, {"seq": 8}), broken)
    assert LiveStream.objects.get().seq == 0


def test_numbers_go_on_where_the_stream_stands() -> None:
    assert [seq for seq, _ in write_part(news("trial:1", 1, 2))] == [1, 2]
    assert [seq for seq, _ in write_part(news("trial:1", 3))] == [3]
    assert [event["message"]["number"] for event in stream_after("trial:1", 0)] == [1, 2, 3]


@pytest.mark.postgres
def test_postgresql_takes_it_as_one_statement() -> None:
    counter()
    with CaptureQueriesContext(connection) as asked:
        write(update(LiveStream, {"name": "one"}, {"seq": 1}), insert(message()), news("trial:1", 1, 2))
    assert len(asked) == 1
