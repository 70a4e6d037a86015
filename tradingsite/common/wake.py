"""Bells for the relays of this process, so that they need not wait for their next round.

Only a hurry: the relays poll as well, and those in another process hear of new rows by PostgreSQL's NOTIFY.
"""

import threading
import weakref

from django.db import Error, connection

CHANNEL = "desk_outbox"

_bells: "weakref.WeakSet[threading.Event]" = weakref.WeakSet()


def bell() -> threading.Event:
    """Return a new event that is set at each ring; who waits for it clears it."""
    one = threading.Event()
    _bells.add(one)
    return one


def ring() -> None:
    """Wake everybody in this process."""
    for one in list(_bells):
        one.set()


def relay_ring() -> None:
    """Wake the relays here, and on PostgreSQL those elsewhere."""
    ring()
    if connection.vendor == "postgresql":
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"NOTIFY {CHANNEL}")
        except Error:
            # The row is committed; a relay finds it at its next round.
            return
