"""Writing and reading live events."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction

from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.live import transport
from tradingsite.common.models import LiveEvent, LiveStream

REPLAY_LIMIT = 1000

# One round trip, and the row lock orders writers of one stream by their commit. Both databases speak this dialect.
_NEXT = """
    INSERT INTO live_stream (name, seq) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET seq = live_stream.seq + 1
    RETURNING seq
"""


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
    if not connection.in_atomic_block:
        raise RuntimeError("publish needs the transaction of the change that it tells of")
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [stream])
        seq: int = cursor.fetchone()[0]
    feed = stream.split(":", 1)[0]
    event = LiveEvent.objects.create(stream=stream, feed=feed, seq=seq, type=type, data=dict(data), at=utcnow())
    transaction.on_commit(lambda: transport.send(envelope(event)))
    return seq


def envelope(event: LiveEvent) -> dict[str, Any]:
    """What travels to the hubs: the event, and by which names sockets may have asked for it."""
    return {
        "stream": event.stream,
        "feed": event.feed,
        "id": event.pk,
        "seq": event.seq,
        "message": {"type": event.type, "at": rfc3339(event.at), **event.data},
    }


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
