"""A migrated database, made by the first worker of a run and copied by the others: a migration takes longer than a file of tests.

The process that has the workers hands each of them a folder to share, and takes away what they made when all have ended.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

_KEY = "prepared_folder"


class Sharing:
    """The plug-in of the process that has the workers."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="desk-prepared-"))
        node.workerinput[_KEY] = str(self._folder)

    def pytest_unconfigure(self) -> None:
        if self._folder is None:
            return
        if connection.vendor == "postgresql":
            address = os.environ["TEST_DATABASE_URL"].replace("postgres://", "postgresql://", 1)
            with psycopg.connect(address, autocommit=True) as server:
                server.execute(f'DROP DATABASE IF EXISTS "{_postgres_name()}"')
        shutil.rmtree(self._folder, ignore_errors=True)


def _postgres_name() -> str:
    return f"{settings.TESTS_DATABASE}_made"


def is_shared(config: pytest.Config) -> bool:
    return _KEY in getattr(config, "workerinput", {})


def take(config: pytest.Config) -> None:
    """Let this worker's database be a copy of the prepared one, which is made here when nobody has done so yet."""
    folder = Path(config.workerinput[_KEY])  # type: ignore[attr-defined]
    postgres = connection.vendor == "postgresql"
    name = _postgres_name() if postgres else str(folder / "made.sqlite3")
    made = folder / "made"
    with _alone(folder):
        if not made.exists():
            _make(name)
            made.touch()
    test = connection.settings_dict["TEST"]
    if postgres:
        test["TEMPLATE"] = name
    else:
        shutil.copyfile(name, test["NAME"])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(name: str) -> None:
    test, before = connection.settings_dict["TEST"], connection.settings_dict["NAME"]
    own, test["NAME"] = test["NAME"], name
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        # A database that somebody is connected to cannot be copied.
        connection.close()
    finally:
        test["NAME"] = own
        settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = before
