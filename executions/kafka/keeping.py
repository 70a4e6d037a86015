"""How long rows of the inbox and parked records are kept."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from executions.kafka.models import InboxMessage, ParkedRecord

# Longer than topics usually keep records, so that one read again from its beginning finds all its rows.
KEPT = timedelta(days=14)
PARKED_KEPT = timedelta(days=90)


def messages_past_their_time(now: datetime) -> QuerySet[InboxMessage]:
    """Return requests that were taken so long ago that no topic tells them again; what waits is kept."""
    return InboxMessage.objects.filter(received_at__lt=now - KEPT, taken_at__isnull=False)


def parked_past_their_time(now: datetime) -> QuerySet[ParkedRecord]:
    return ParkedRecord.objects.filter(at__lt=now - PARKED_KEPT)
