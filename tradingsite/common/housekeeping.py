"""Removing what has done its service, in bounded bites so that no transaction grows long."""

from datetime import timedelta

from django.db import models

from tradingsite.common.clock import utcnow
from tradingsite.common.models import IdempotencyRecord, LiveEvent, OutboxMessage, SocketTicket

LIVE_EVENTS_KEPT = timedelta(hours=24)
OUTBOX_KEPT = timedelta(days=1)
IDEMPOTENCY_KEPT = timedelta(days=7)
TICKETS_KEPT = timedelta(hours=1)
BITE = 1000


def prune() -> dict[str, int]:
    """Delete rows past their time and return how many of each table."""
    now = utcnow()
    return {
        "live_event": _delete(LiveEvent.objects.filter(at__lt=now - LIVE_EVENTS_KEPT)),
        "outbox_message": _delete(OutboxMessage.objects.filter(published_at__lt=now - OUTBOX_KEPT)),
        "idempotency_record": _delete(IdempotencyRecord.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT)),
        "socket_ticket": _delete(SocketTicket.objects.filter(expires_at__lt=now - TICKETS_KEPT)),
    }


def _delete(rows: models.QuerySet[models.Model]) -> int:
    deleted = 0
    while True:
        ids = list(rows.values_list("pk", flat=True)[:BITE])
        if not ids:
            return deleted
        rows.model._default_manager.filter(pk__in=ids).delete()
        deleted += len(ids)
