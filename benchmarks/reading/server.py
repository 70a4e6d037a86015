"""The benchmark's own database on a PostgreSQL server, and the settings under which the site reads it."""

import atexit
import os
import shutil
import sys
import tempfile
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

NAME = "bench_lists"
SERVER = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def _database_url() -> str:
    return urlunsplit(urlsplit(SERVER)._replace(path=f"/{NAME}"))


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        sys.exit(f"No PostgreSQL answers at the address of BENCH_DATABASE_URL: {error}")


def exists() -> bool:
    """Say whether the database was kept from an earlier call."""
    with _connect(SERVER) as server:
        return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is not None


def create() -> None:
    """Make the database, empty."""
    drop()
    with _connect(SERVER) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))


def drop() -> None:
    """Remove the database, if it is there."""
    with _connect(SERVER) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(NAME)))


def setup_django() -> None:
    """Set Django up as in production on that database, with the stock list mounted beside the site's own routes."""
    folder = tempfile.mkdtemp(prefix="desk-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["DATA_DIR"] = folder
    os.environ["DATABASE_URL"] = _database_url()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tradingsite.settings"
    os.environ["ALLOWED_HOSTS"] = "localhost"
    os.environ["LOG_LEVEL"] = "WARNING"
    # Neither broker nor live events: reading needs none.
    for name in ("REDIS_URL", "BROKER_URL"):
        os.environ.pop(name, None)

    import django
    from django.conf import settings

    settings.ROOT_URLCONF = "benchmarks.reading.urls"
    django.setup()
