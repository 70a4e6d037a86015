"""A row per worker that says it is alive: cheaper and truer than asking the workers over the broker."""

import os
import socket
from datetime import timedelta

from executions.leases import keeper
from executions.models import WorkerHeartbeat
from tradingsite.common import lifecycle
from tradingsite.common.clock import utcnow
from tradingsite.common.health import Health

EVERY_S = 2.0
SILENT_AFTER = timedelta(seconds=15)
FORGOTTEN_AFTER = timedelta(days=1)


def beat() -> None:
    """Say that this process's worker is alive; a process that carries no work says nothing."""
    if not lifecycle.worker_name:
        return
    now = utcnow()
    host, pid = socket.gethostname()[:100], os.getpid()
    name = f"{lifecycle.worker_name}:{pid}"[:100]
    WorkerHeartbeat.objects.update_or_create(
        name=name,
        defaults={"seen_at": now, "active": keeper.active()},
        create_defaults={"host": host, "pid": pid, "seen_at": now, "started_at": now, "active": keeper.active()},
    )
    WorkerHeartbeat.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()


def alive_count() -> int:
    """Return how many workers were heard of lately."""
    return WorkerHeartbeat.objects.filter(seen_at__gte=utcnow() - SILENT_AFTER).count()


def health() -> Health:
    """Degraded without a worker: runs are accepted and wait."""
    count = alive_count()
    if count == 0:
        return Health("degraded", "no worker is alive; runs wait until one starts")
    return Health("ok", f"{count} alive")
