"""A bell for the relay of this process, so that it need not wait for its next round.

Only a hurry: the relay polls as well, and a relay in another process hears of new rows by PostgreSQL's NOTIFY.
"""

import threading

from django.db import Error, connection

CHANNEL = "desk_outbox"

bell = threading.Event()


def relay_ring() -> None:
    """Wake the relay here, and on PostgreSQL those elsewhere."""
    bell.set()
    if connection.vendor == "postgresql":
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"NOTIFY {CHANNEL}")
        except Error:
            # The row is committed; a relay finds it at its next round.
            return
