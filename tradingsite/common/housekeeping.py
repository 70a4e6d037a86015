"""Removing what has done its service, in bounded bites so that no transaction grows long."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from tradingsite.common.clock import utcnow
from tradingsite.common.models import IdempotencyRecord, LiveEvent, OutboxMessage, SocketTicket

LIVE_EVENTS_KEPT = timedelta(hours=24)
OUTBOX_KEPT = timedelta(days=1)
IDEMPOTENCY_KEPT = timedelta(days=7)
TICKETS_KEPT = timedelta(hours=1)
BITE = 1000


Rows = models.QuerySet[Any]

_past_their_time: dict[str, Callable[[datetime], Rows]] = {
    "live_event": lambda now: LiveEvent.objects.filter(at__lt=now - LIVE_EVENTS_KEPT),
    "outbox_message": lambda now: OutboxMessage.objects.filter(published_at__lt=now - OUTBOX_KEPT),
    "idempotency_record": lambda now: IdempotencyRecord.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT),
    "socket_ticket": lambda now: SocketTicket.objects.filter(expires_at__lt=now - TICKETS_KEPT),
}


def register(table: str, past_its_time: Callable[[datetime], Rows]) -> None:
    """Have the rows that `past_its_time(now)` returns deleted from `table` every hour."""
    if table in _past_their_time:
        raise ImproperlyConfigured(f"table {table!r} is pruned twice")
    _past_their_time[table] = past_its_time


def prune() -> dict[str, int]:
    """Delete rows past their time and return how many of each table."""
    now = utcnow()
    return {table: _delete(rows(now)) for table, rows in _past_their_time.items()}


def _delete(rows: Rows) -> int:
    deleted = 0
    while True:
        ids = list(rows.values_list("pk", flat=True)[:BITE])
        if not ids:
            return deleted
        # By the condition as well: a row that found a use in between stays.
        rows.filter(pk__in=ids).delete()
        deleted += len(ids)
