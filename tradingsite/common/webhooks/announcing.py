"""Telling webhooks of events: deliveries are written with the change that they tell of, and sent after its commit."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.outbox import enqueue_task
from tradingsite.common.webhooks.event_types import EVERY, event_types
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery

SEND_TASK = "common.webhook_send"
QUEUE = "control"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        type: a registered event type.
        data: JSON-able, with the members of the type's example.
        workflow_id, strategy_id: what a webhook may narrow its events to; None where the event belongs to none.
        owned: whether only webhooks of its owner, and of operators, may be told.
        owner_id: of the user; None where it is nobody's.
    """

    type: str
    data: Mapping[str, Any]
    workflow_id: UUID | None = None
    strategy_id: UUID | None = None
    owned: bool = False
    owner_id: int | None = None
    at: datetime = field(default_factory=utcnow)


def listeners(types: Collection[str]) -> list[Webhook]:
    """Return the webhooks that want any of `types`. To be asked before data is gathered that nobody may want."""
    # Asked with every order and every alert, and mostly there is nobody: whose webhook it is comes second.
    wishes = Webhook.objects.alive().filter(enabled=True).values_list("pk", "event_types")
    found = [pk for pk, asked in wishes if EVERY in asked or not set(types).isdisjoint(asked)]
    if not found:
        return []
    rows = Webhook.objects.listening().with_operators().filter(pk__in=found)
    return list(rows.only("id", "event_types", "workflow_id", "strategy_id", "created_by_id"))


def announce(*events: Event, to: Sequence[Webhook] | None = None) -> int:
    """Have `events` delivered to every webhook that wants them, and return how many deliveries that makes.

    Part of the present transaction: a change that is rolled back is told to nobody, one that is committed is told at
    least once. Neither here nor at the receivers is their order kept.

    Args:
        to: the `listeners` of these types, where the caller has asked for them already.

    Raises:
        RuntimeError: outside a transaction.
        UnknownName: for a type that nobody registered.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("announce needs the transaction of the change that it tells of")
    types = {event_types.get(event.type).slug for event in events}
    webhooks = listeners(types) if to is None else to
    deliveries = [delivery_of(webhook, event) for event in events for webhook in webhooks if _wants(webhook, event)]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries, batch_size=500)
        for webhook_id in dict.fromkeys(delivery.webhook_id for delivery in deliveries):
            enqueue_task(SEND_TASK, args=[str(webhook_id)], queue=QUEUE)
    return len(deliveries)


def delivery_of(webhook: Webhook, event: Event) -> WebhookDelivery:
    """Return the unsaved delivery of `event` to `webhook`, due at once."""
    body = {"type": event.type, "timestamp": rfc3339(event.at), "data": event.data}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return WebhookDelivery(webhook=webhook, type=event.type, body=text)


def _wants(webhook: Webhook, event: Event) -> bool:
    return (
        (EVERY in webhook.event_types or event.type in webhook.event_types)
        and webhook.workflow_id in (None, event.workflow_id)
        and webhook.strategy_id in (None, event.strategy_id)
        and (not event.owned or webhook.of_operator or webhook.created_by_id == event.owner_id)
    )
