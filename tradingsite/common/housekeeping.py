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

Work = Callable[[datetime], int]

_duties: dict[str, Work] = {}


def register(table: str, past_its_time: Callable[[datetime], Rows]) -> None:
    """Have the rows that `past_its_time(now)` returns deleted from `table` every hour."""
    register_work(table, lambda now: _delete(past_its_time(now)))


def register_work(what: str, work: Work) -> None:
    """Have `work(now)` delete what is past its time every hour, and say how many of `what` that was."""
    if what in _duties:
        raise ImproperlyConfigured(f"{what!r} is pruned twice")
    _duties[what] = work


def prune() -> dict[str, int]:
    """Delete what is past its time, in the order in which it was registered, and return how many of each."""
    now = utcnow()
    return {what: work(now) for what, work in _duties.items()}


def _delete(rows: Rows) -> int:
    deleted = 0
    while True:
        ids = list(rows.values_list("pk", flat=True)[:BITE])
        if not ids:
            return deleted
        # By the condition as well: a row that found a use in between stays.
        rows.filter(pk__in=ids).delete()
        deleted += len(ids)


register("live_event", lambda now: LiveEvent.objects.filter(at__lt=now - LIVE_EVENTS_KEPT))
register("outbox_message", lambda now: OutboxMessage.objects.filter(published_at__lt=now - OUTBOX_KEPT))
register("idempotency_record", lambda now: IdempotencyRecord.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT))
register("socket_ticket", lambda now: SocketTicket.objects.filter(expires_at__lt=now - TICKETS_KEPT))
