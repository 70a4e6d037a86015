"""The one source of wall time, and how times are written down."""

import contextlib
import contextvars
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

CLOCKS_APART = timedelta(seconds=5)
"""How far the clocks of two processes may be apart. A claim from further in the future than this is nobody's."""

_frozen: contextvars.ContextVar[datetime | None] = contextvars.ContextVar("frozen_clock", default=None)


def utcnow() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return _frozen.get() or datetime.now(UTC)


@contextlib.contextmanager
def frozen(moment: datetime) -> Iterator[None]:
    """Let `utcnow` stand at `moment` inside the block, for this thread or task only.

    For replays and tests; another thread goes on with the real time.
    """
    token = _frozen.set(moment)
    try:
        yield
    finally:
        _frozen.reset(token)


def rfc3339(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with `Z`.

    Raises:
        ValueError: for a naive datetime, whose moment is unknown.
    """
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no moment")
    # Hot: a page of a list writes hundreds. In UTC the offset is always the last six characters.
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()[:-6] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 time; the offset is required.

    Raises:
        ValueError: when it is not a time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return moment.astimezone(UTC)
