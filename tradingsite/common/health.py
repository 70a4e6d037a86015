"""Is the desk alive, and can it work? Checks are registered by whoever owns the dependency."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from tradingsite.common.clock import utcnow
from tradingsite.common.pulled import overdue

OUTBOX_LAG = timedelta(seconds=30)
BROKER_TIMEOUT_S = 1.0
_BROKER_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}

Status = Literal["ok", "degraded", "down"]


@dataclass(frozen=True)
class Health:
    """The state of one dependency: `degraded` works late or in part, `down` does not work."""

    status: Status
    detail: str = ""


_checks: dict[str, Callable[[], Health]] = {}


def register_check(name: str, check: Callable[[], Health]) -> None:
    """Have readiness ask `check` too; it must answer in well under a second."""
    if name in _checks:
        raise ImproperlyConfigured(f"health check {name!r} is registered twice")
    _checks[name] = check


def readiness() -> tuple[Status, dict[str, Health]]:
    """Return the worst status and each check's own."""
    database = _database()
    if database.status == "down":
        return "down", {"database": database}
    results = {"database": database, "outbox": _outbox(), "broker": _broker()}
    for name, check in sorted(_checks.items()):
        try:
            results[name] = check()
        except (DatabaseError, OSError) as error:
            results[name] = Health("down", f"cannot be asked: {type(error).__name__}")
    order: list[Status] = ["ok", "degraded", "down"]
    return max((health.status for health in results.values()), key=order.index), results


_migrated = False


def _database() -> Health:
    global _migrated
    try:
        if _migrated:
            # The code of a running process never asks for more migrations; the plan would cost a query for each app.
            connection.ensure_connection()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return Health("ok")
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, OSError) as error:
        return Health("down", f"the database does not answer: {type(error).__name__}")
    if pending:
        return Health("down", f"{len(pending)} migrations are not applied; run manage.py migrate")
    _migrated = True
    return Health("ok")


def _outbox() -> Health:
    oldest = overdue().order_by("id").values_list("created_at", flat=True).first()
    if oldest is not None and utcnow() - oldest > OUTBOX_LAG:
        lag_s = (utcnow() - oldest).total_seconds()
        return Health("degraded", f"tasks have waited {lag_s:.0f} s for the broker; runs start late")
    return Health("ok")


def _broker() -> Health:
    """Knock at the broker's door; without it work is accepted and waits, so never `down`."""
    address = urlsplit(settings.CELERY_BROKER_URL)
    if address.scheme == "memory":
        return Health("ok", "in this process")
    port = address.port or _BROKER_PORTS.get(address.scheme)
    if address.hostname is None or port is None:
        return Health("ok", "has no address to knock at")
    try:
        with socket.create_connection((address.hostname, port), BROKER_TIMEOUT_S):
            return Health("ok")
    except OSError:
        return Health("degraded", "the broker does not answer; accepted work waits in the outbox")
