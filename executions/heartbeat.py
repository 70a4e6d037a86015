"""A row per worker that says it is alive: cheaper and truer than asking the workers over the broker."""

import os
import socket
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db.models import QuerySet

from executions.calls import QUEUE
from executions.kafka.words import REQUEST_QUEUE
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
    pid = os.getpid()
    queues = lifecycle.worker_queues or current_app.amqp.queues.consume_from
    news = {"last_seen": now, "active": keeper.active(), "queues": sorted(queues)}
    WorkerHeartbeat.objects.update_or_create(
        name=f"{lifecycle.worker_name}:{pid}"[:100],
        defaults=news,
        create_defaults={"host": socket.gethostname()[:100], "pid": pid, "started_at": now, **news},
    )
    WorkerHeartbeat.objects.filter(last_seen__lt=now - FORGOTTEN_AFTER).delete()


def workers_alive() -> QuerySet[WorkerHeartbeat]:
    """Return the workers that were heard of lately."""
    return WorkerHeartbeat.objects.filter(last_seen__gte=utcnow() - SILENT_AFTER)


def carriers_count() -> int:
    """Return how many of the living workers take runs."""
    wanted = REQUEST_QUEUE if settings.EXECUTION_TRANSPORT == "kafka" else QUEUE
    return sum(wanted in queues for queues in workers_alive().values_list("queues", flat=True))


def health() -> Health:
    """Degraded without a worker that takes runs: they are accepted and wait."""
    count = carriers_count()
    if count == 0:
        return Health("degraded", "no worker takes runs; they wait until one starts")
    return Health("ok", f"{count} alive")
