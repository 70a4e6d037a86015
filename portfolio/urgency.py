"""Whether what is asked of a broker now makes a risk smaller: it then waits for no limit of requests for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_urgent: ContextVar[bool] = ContextVar("broker_urgent", default=False)


@contextmanager
def urgently() -> Iterator[None]:
    """Let every call to a broker within be one that stops a risk: a cancel, a closing, or the look for what to cancel."""
    token = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(token)


def is_urgent() -> bool:
    """Say whether the call that is being made stops a risk."""
    return _urgent.get()
