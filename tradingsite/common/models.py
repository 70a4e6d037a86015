"""The tables that carry news: outbox, live streams, live events; and, by name, the bases of every model."""

from typing import ClassVar

from django.db import models

from tradingsite.common.access.models import ApiKey, SocketTicket
from tradingsite.common.api.models import IdempotencyRecord
from tradingsite.common.bases import Entity, SoftDeleted, SoftDeletedQuerySet
from tradingsite.common.clock import utcnow
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery


class OutboxMessage(models.Model):
    """A task that must reach the broker: written with the change that needs it, published after the commit."""

    id = models.BigAutoField(primary_key=True)
    task = models.CharField(max_length=100)
    task_id = models.CharField(max_length=36)
    queue = models.CharField(max_length=40)
    priority = models.PositiveSmallIntegerField(default=0)
    args = models.JSONField(default=list)
    kwargs = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=utcnow)
    published_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        db_table = "outbox_message"
        indexes: ClassVar = [
            # The relay only ever looks for what is unpublished, of which there is little.
            models.Index(fields=["-priority", "id"], condition=models.Q(published_at=None), name="outbox_unpublished"),
            models.Index(fields=["task_id"], name="outbox_task_id"),
            models.Index(fields=["published_at"], name="outbox_published_at"),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.task_id}"


class LiveStream(models.Model):
    """The counter of one stream of live events; its row lock keeps the numbers without gap and in commit order."""

    name = models.CharField(max_length=100, primary_key=True)
    seq = models.BigIntegerField(default=0)

    class Meta:
        db_table = "live_stream"

    def __str__(self) -> str:
        return f"{self.name} at {self.seq}"


class LiveEvent(models.Model):
    """One message of a stream, kept for a day so that a client can ask again for what it missed."""

    id = models.BigAutoField(primary_key=True)
    stream = models.CharField(max_length=100)
    feed = models.CharField(max_length=40)
    seq = models.BigIntegerField()
    type = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "live_event"
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "seq"], name="live_event_stream_seq")]
        indexes: ClassVar = [
            models.Index(fields=["feed", "id"], name="live_event_feed"),
            models.Index(fields=["at"], name="live_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} #{self.seq} {self.type}"


__all__ = [
    "ApiKey",
    "Entity",
    "IdempotencyRecord",
    "LiveEvent",
    "LiveStream",
    "OutboxMessage",
    "SocketTicket",
    "SoftDeleted",
    "SoftDeletedQuerySet",
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
]
