"""Reading webhooks and their deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from tradingsite.common.actor import Actor
from tradingsite.common.webhooks.errors import DeliveryNotFound, WebhookNotFound
from tradingsite.common.webhooks.models import DeliveryStatus, Webhook, WebhookDelivery


def webhook_list(actor: Actor) -> QuerySet[Any]:
    """Return the actor's webhooks, an operator's all, the newest first."""
    return Webhook.objects.visible_to(actor).select_related("created_by").order_by("-created_at", "-id")


def webhook_get(actor: Actor, webhook_id: UUID) -> Webhook:
    """Return one webhook.

    Raises:
        WebhookNotFound: also for somebody else's.
    """
    webhook: Webhook | None = webhook_list(actor).filter(pk=webhook_id).first()
    if webhook is None:
        raise WebhookNotFound(f"You have no webhook {webhook_id}.")
    return webhook


def delivery_list(webhook: Webhook) -> QuerySet[WebhookDelivery]:
    """Return the deliveries of a webhook, the newest first, without their bodies."""
    return WebhookDelivery.objects.filter(webhook=webhook).defer("body").order_by("-id")


def delivery_get(webhook: Webhook, delivery_id: UUID) -> WebhookDelivery:
    """Return one delivery with its attempts.

    Raises:
        DeliveryNotFound
    """
    found = WebhookDelivery.objects.filter(webhook=webhook, pk=delivery_id).prefetch_related("log").first()
    if found is None:
        raise DeliveryNotFound(f"The webhook has no delivery {delivery_id}.")
    return found


def deliveries_due(now: datetime) -> QuerySet[WebhookDelivery]:
    """Return the deliveries whose time has come and that nobody is sending."""
    return WebhookDelivery.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now), status=DeliveryStatus.PENDING, next_attempt_at__lte=now
    )


def webhooks_due(now: datetime) -> QuerySet[Any]:
    """Return the webhooks for which something is to be sent."""
    return Webhook.objects.listening().filter(Exists(deliveries_due(now).filter(webhook=OuterRef("pk"))))
