"""What webhooks need in the background: attempts whose time has come, and the end of old logs."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from tradingsite.common import background, housekeeping
from tradingsite.common.clock import utcnow
from tradingsite.common.outbox import enqueue_task
from tradingsite.common.webhooks.announcing import QUEUE, SEND_TASK
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery
from tradingsite.common.webhooks.selectors import webhooks_due

EVERY_S = 1.0
# A task that is on its way is not sent again every second.
NUDGED_EVERY = timedelta(seconds=5)
KEPT = timedelta(days=30)


def enqueue_due() -> int:
    """Have workers send what is due, and return for how many webhooks. Safe in any number of processes at once."""
    now = utcnow()
    rested = Q(nudged_at=None) | Q(nudged_at__lte=now - NUDGED_EVERY)
    count = 0
    for webhook_id in webhooks_due(now).filter(rested).values_list("pk", flat=True):
        with transaction.atomic():
            if Webhook.objects.filter(rested, pk=webhook_id).update(nudged_at=now):
                enqueue_task(SEND_TASK, args=[str(webhook_id)], queue=QUEUE)
                count += 1
    return count


def deliveries_old(now: datetime) -> QuerySet[WebhookDelivery]:
    """Return the deliveries whose log has been kept long enough."""
    return WebhookDelivery.objects.filter(created_at__lt=now - KEPT)


def webhooks_forgotten(now: datetime) -> QuerySet[Webhook]:
    """Return the webhooks deleted so long ago that no delivery of theirs is kept."""
    forgotten: QuerySet[Webhook] = Webhook.objects.filter(deleted_at__lt=now - KEPT)
    return forgotten


def register() -> None:
    background.register("common.webhooks", enqueue_due, every_s=EVERY_S)
    housekeeping.register("webhook_delivery", deliveries_old)
    housekeeping.register("webhook", webhooks_forgotten)
