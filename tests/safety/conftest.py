"""Every test here has sentinel files of its own, and may make the database fail on purpose."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection


@pytest.fixture(autouse=True)
def own_sentinels(data_dir: Path) -> Path:
    return data_dir / "kill_switch"


@contextlib.contextmanager
def refusing_writes() -> Iterator[None]:
    """Let the database read and refuse to write, as a full disk or a standby would."""
    if connection.vendor == "sqlite":
        on, off = "PRAGMA query_only = ON", "PRAGMA query_only = OFF"
    else:
        on = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
        off = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"
    with connection.cursor() as cursor:
        cursor.execute(on)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(off)


@contextlib.contextmanager
def unreachable() -> Iterator[None]:
    """Let every statement fail, as it does when the server is gone."""

    def fail(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(fail):
        yield
