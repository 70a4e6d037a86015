"""Does the database answer at all? Asked at once by who must not wait for a connection pool to find out."""

from typing import Any

import psycopg
from django.db import OperationalError, connection

CONNECT_TIMEOUT_S = 2
"""The least that libpq keeps to."""


class NoAnswer(OperationalError):
    """No connection can be made. A pool would go on trying for many seconds before it says so."""


def require_answer() -> None:
    """Return when a connection can be made now; at once in a transaction, which has one, and on SQLite.

    A connection of its own is tried, since the pool hides a server that is gone until its own time is up.

    Raises:
        NoAnswer: within CONNECT_TIMEOUT_S.
    """
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return
    parameters: dict[str, Any] = {**connection.get_connection_params(), "connect_timeout": CONNECT_TIMEOUT_S}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.OperationalError as error:
        raise NoAnswer(str(error)) from error
