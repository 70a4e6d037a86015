"""Writing and reading live events."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.live import transport
from tradingsite.common.models import LiveEvent, LiveStream
from tradingsite.common.writes import Joined, write_part

REPLAY_LIMIT = 1000
# One statement of them is written and read by the database in about a tenth of a second.
PUBLISHED_AT_ONCE = 5000
# Up to so many events are two values each of the statement; more are one value together.
FEW = 20


@dataclass(frozen=True)
class Event:
    """One message to be: its type, and its members, which are JSON-able."""

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Announcement:
    """Events of one stream, to be written with the change that they tell of.

    The counter's row lock orders the writers of a stream by their commit, so that its numbers have no gap.
    """

    stream: str
    events: Sequence[Event]
    at: datetime = field(default_factory=utcnow)

    @property
    def feed(self) -> str:
        """The part of the stream's name before the colon."""
        return self.stream.split(":", 1)[0]

    def joined(self, condition: str) -> Joined:
        count = len(self.events)
        if count <= FEW:
            rows = ", ".join(f"({place}, %s::text, %s::jsonb)" for place in range(1, count + 1))
            given = f"(VALUES {rows}) AS new (place, type, data)"
            values = [value for event in self.events for value in (event.type, _json(event.data))]
        else:
            given = (
                "ROWS FROM (json_to_recordset(%s::json) AS (type text, data jsonb)) "
                "WITH ORDINALITY AS new (type, data, place)"
            )
            values = [json.dumps([{"type": event.type, "data": event.data} for event in self.events])]
        counter = (
            f"INSERT INTO live_stream (name, seq) SELECT %s, {count} WHERE {condition} "
            f"ON CONFLICT (name) DO UPDATE SET seq = live_stream.seq + {count} RETURNING name, seq"
        )
        lines = (
            "INSERT INTO live_event (stream, feed, seq, type, data, at) "
            f"SELECT live_counter.name, %s, live_counter.seq - {count} + new.place, new.type, new.data, %s "
            f"FROM live_counter, {given} RETURNING seq, id"
        )
        return Joined(
            ((counter, [self.stream]), (lines, [self.feed, self.at, *values])),
            ("live_counter", "live_line"),
            "(SELECT json_agg(json_build_array(seq, id) ORDER BY seq) FROM live_line)",
        )

    def alone(self, cursor: Any) -> list[Any]:
        count = len(self.events)
        cursor.execute(
            f"INSERT INTO live_stream (name, seq) VALUES (%s, {count}) "
            f"ON CONFLICT (name) DO UPDATE SET seq = live_stream.seq + {count} RETURNING seq",
            [self.stream],
        )
        (last,) = cursor.fetchone()
        rows = [
            LiveEvent(
                stream=self.stream, feed=self.feed, seq=last - count + place, type=event.type, data=dict(event.data),
                at=self.at,
            )
            for place, event in enumerate(self.events, 1)
        ]  # fmt: skip
        return [[row.seq, row.pk] for row in LiveEvent.objects.bulk_create(rows)]

    def written(self, numbers: Sequence[Sequence[int]]) -> None:
        """Push the events once the present transaction has committed; `numbers` is what writing them gave back."""
        envelopes = [
            _envelope(self.stream, self.feed, pk, seq, event.type, self.at, event.data)
            for event, (seq, pk) in zip(self.events, numbers, strict=True)
        ]
        transaction.on_commit(lambda: _push(envelopes))


def _push(envelopes: Sequence[dict[str, Any]]) -> None:
    for each in envelopes:
        transport.send(each)


def _json(data: Mapping[str, Any]) -> Any:
    return LiveEvent._meta.get_field("data").get_db_prep_save(dict(data), connection=connection)


def publish(stream: str, type: str, data: Mapping[str, Any]) -> int:
    """Add one event to `stream` in the present transaction and push it once that has committed.

    Args:
        stream: `<feed>:<id>` or a bare feed name; the feed is the part before the colon.
        data: JSON-able; its members stand at the top level of the socket message.

    Returns:
        The event's number in its stream: 1, 2, 3 without a gap.

    Raises:
        RuntimeError: outside a transaction.
    """
    return publish_all(stream, type, [data])


def publish_all(stream: str, type: str, messages: Sequence[Mapping[str, Any]]) -> int:
    """As `publish`, for several events of one type in their order, written at once.

    Returns:
        The number of the last one; 0 when there are none.

    Raises:
        RuntimeError: outside a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("publish needs the transaction of the change that it tells of")
    seq = 0
    for start in range(0, len(messages), PUBLISHED_AT_ONCE):
        events = [Event(type, data) for data in messages[start : start + PUBLISHED_AT_ONCE]]
        announcement = Announcement(stream, events)
        numbers = write_part(announcement)
        announcement.written(numbers)
        seq = numbers[-1][0]
    return seq


def envelope(event: LiveEvent) -> dict[str, Any]:
    """What travels to the hubs: the event, and by which names sockets may have asked for it."""
    return _envelope(event.stream, event.feed, event.pk, event.seq, event.type, event.at, event.data)


def _envelope(
    stream: str, feed: str, pk: int, seq: int, type: str, at: datetime, data: Mapping[str, Any]
) -> dict[str, Any]:
    message = {"type": type, "at": rfc3339(at), **data}
    return {"stream": stream, "feed": feed, "id": pk, "seq": seq, "message": message}


def stream_position(stream: str) -> int:
    """Return the number of the newest event of `stream`, 0 when it has none."""
    return LiveStream.objects.filter(name=stream).values_list("seq", flat=True).first() or 0


def feed_position(feed: str) -> int:
    """Return the id of the newest event of all streams of `feed`, 0 when there is none."""
    return LiveEvent.objects.filter(feed=feed).order_by("-id").values_list("id", flat=True).first() or 0


def stream_after(stream: str, after: int) -> list[dict[str, Any]]:
    """Return at most REPLAY_LIMIT envelopes of `stream` numbered above `after`, in order."""
    events = LiveEvent.objects.filter(stream=stream, seq__gt=after).order_by("seq")
    return [envelope(event) for event in events[:REPLAY_LIMIT]]


def feed_after(feed: str, after: int) -> list[dict[str, Any]]:
    """Return at most REPLAY_LIMIT envelopes of `feed` with an id above `after`, in order of their ids.

    Transactions of different streams commit in any order, so an event may appear below an id already seen. A client
    of a whole feed therefore takes it as news, not as a ledger; each stream alone is without gap.
    """
    events = LiveEvent.objects.filter(feed=feed, id__gt=after).order_by("id")
    return [envelope(event) for event in events[:REPLAY_LIMIT]]
