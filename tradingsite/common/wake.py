"""Bells for those in this process who wait for messages in the outbox, so that they need not wait for their next round.

Only a hurry: they look by themselves as well. Other processes hear of new rows by PostgreSQL's NOTIFY, which the table
itself sends with each commit.
"""

import threading
import weakref
from collections.abc import Callable

CHANNEL = "desk_outbox"


class Bell(threading.Event):
    """An event that is set at each ring for a task that it `hears`; who waits for it clears it."""

    def __init__(self, hears: Callable[[str], bool]) -> None:
        super().__init__()
        self.hears = hears


_bells: "weakref.WeakSet[Bell]" = weakref.WeakSet()
_hanging = threading.Lock()


def bell(hears: Callable[[str], bool] = lambda _task: True) -> Bell:
    """Return a new bell for the tasks that `hears` says yes to."""
    one = Bell(hears)
    with _hanging:
        _bells.add(one)
    return one


def _all() -> list[Bell]:
    # A set that grows while it is looked through is a fault.
    with _hanging:
        return list(_bells)


def ring(task: str) -> None:
    """Wake everybody in this process who waits for messages of this task."""
    for one in _all():
        if one.hears(task):
            one.set()


def ring_all() -> None:
    """Wake everybody in this process."""
    for one in _all():
        one.set()
