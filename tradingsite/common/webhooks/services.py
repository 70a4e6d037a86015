"""Every change of a webhook by a person: who may, what is refused, what the audit says."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.outbound import check_url
from tradingsite.common.outbox import enqueue_task
from tradingsite.common.webhooks import signing
from tradingsite.common.webhooks.announcing import QUEUE, SEND_TASK, Event, delivery_of
from tradingsite.common.webhooks.errors import (
    DeliveryNotFound,
    DeliveryUnderWay,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
)
from tradingsite.common.webhooks.event_types import EVERY, PING, event_types
from tradingsite.common.webhooks.models import DeliveryStatus, DisabledBecause, Webhook, WebhookDelivery
from tradingsite.common.webhooks.schedule import OLD_SECRET_KEPT

MAX_PER_PERSON = 20
_CHANGEABLE = ("name", "url", "event_types", "workflow_id", "strategy_id", "enabled")

Precondition = Callable[[Webhook], None]


def webhook_create(
    *,
    actor: Actor,
    name: str,
    url: str,
    event_types: Collection[str],
    workflow_id: UUID | None = None,
    strategy_id: UUID | None = None,
    enabled: bool = True,
) -> tuple[Webhook, str]:
    """Make a webhook of the actor's; return it with its secret, which is shown only now.

    Raises:
        AddressRefused: naming `url`.
        ValidationFailed: for an event type that is not there.
        TooManyWebhooks
        PermissionDenied: for an actor who is nobody's account.
    """
    if actor.user_id is None:
        raise PermissionDenied("A webhook belongs to a person; the desk itself has none.")
    wanted = _types(event_types)
    check_url(url)
    secret = signing.new_secret()
    with transaction.atomic():
        if Webhook.objects.alive().filter(created_by_id=actor.user_id).count() >= MAX_PER_PERSON:
            raise TooManyWebhooks(f"Delete one of your {MAX_PER_PERSON} webhooks first.")
        webhook = Webhook.objects.create(
            name=name,
            url=url,
            event_types=wanted,
            workflow_id=workflow_id,
            strategy_id=strategy_id,
            secret=signing.encrypt(secret),
            created_by_id=actor.user_id,
            **_switched(enabled),
        )
        audit.record(actor=actor, action="webhook.create", target=webhook, after=_facts(webhook))
    return webhook, secret


def webhook_update(
    *, actor: Actor, webhook_id: UUID, changes: Mapping[str, Any], precondition: Precondition | None = None
) -> Webhook:
    """Change what `changes` names. Enabling a webhook gives it a fresh start; what waited for it is sent then.

    Raises:
        WebhookNotFound, AddressRefused, ValidationFailed: as `webhook_create`.
    """
    fields = {name: changes[name] for name in _CHANGEABLE if name in changes}
    if "event_types" in fields:
        fields["event_types"] = _types(fields["event_types"])
    if "url" in fields:
        check_url(fields["url"])
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        if precondition is not None:
            precondition(webhook)
        before = _facts(webhook)
        enabled = fields.pop("enabled", webhook.enabled)
        if enabled != webhook.enabled:
            fields |= _switched(enabled)
        if fields.get("url", webhook.url) != webhook.url:
            # How the old address did says nothing of the new one.
            fields["failing_since"] = None
        changed = [name for name, value in fields.items() if getattr(webhook, name) != value]
        for name in changed:
            setattr(webhook, name, fields[name])
        if changed:
            webhook.version += 1
            webhook.save(update_fields=[*changed, "version"])
            after = {**_facts(webhook), "changed": sorted(changed)}
            audit.record(actor=actor, action="webhook.update", target=webhook, before=before, after=after)
    return webhook


def webhook_delete(*, actor: Actor, webhook_id: UUID, precondition: Precondition | None = None) -> None:
    """End a webhook: its secrets are forgotten, what waits for it is never sent, its log is kept for its time.

    Raises:
        WebhookNotFound
    """
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        if precondition is not None:
            precondition(webhook)
        webhook.deleted_at = utcnow()
        webhook.secret = webhook.old_secret = ""
        webhook.save(update_fields=["deleted_at", "secret", "old_secret"])
        audit.record(actor=actor, action="webhook.delete", target=webhook, before=_facts(webhook))


def webhook_rotate_secret(*, actor: Actor, webhook_id: UUID) -> tuple[Webhook, str]:
    """Give a webhook a new secret and return it. For a day everything is signed with both.

    Raises:
        WebhookNotFound
    """
    secret = signing.new_secret()
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        webhook.old_secret, webhook.old_secret_until = webhook.secret, utcnow() + OLD_SECRET_KEPT
        webhook.secret = signing.encrypt(secret)
        webhook.version += 1
        webhook.save(update_fields=["secret", "old_secret", "old_secret_until", "version"])
        after = {"old_secret_until": rfc3339(webhook.old_secret_until)}
        audit.record(actor=actor, action="webhook.rotate_secret", target=webhook, after=after)
    return webhook, secret


def webhook_test(*, actor: Actor, webhook_id: UUID) -> WebhookDelivery:
    """Send a `ping`, whatever types the webhook asked for, and return its delivery.

    Raises:
        WebhookNotFound, WebhookDisabled
    """
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        _require_enabled(webhook)
        data = {"webhook_id": str(webhook.pk), "message": f"A trial for {webhook.name}, asked for by {actor.name}."}
        delivery = delivery_of(webhook, Event(PING, data))
        delivery.save(force_insert=True)
        enqueue_task(SEND_TASK, args=[str(webhook.pk)], queue=QUEUE)
    return delivery


def delivery_redeliver(*, actor: Actor, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Send a delivery again, now, under its old message id, with all its attempts before it.

    Raises:
        WebhookNotFound, DeliveryNotFound, WebhookDisabled
        DeliveryUnderWay: while a worker is sending it.
    """
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        _require_enabled(webhook)
        delivery = WebhookDelivery.objects.select_for_update().filter(webhook=webhook, pk=delivery_id).first()
        if delivery is None:
            raise DeliveryNotFound(f"The webhook has no delivery {delivery_id}.")
        now = utcnow()
        if delivery.claimed_until is not None and delivery.claimed_until > now:
            raise DeliveryUnderWay("A worker is sending it; look at its outcome first.")
        before = {"status": delivery.status}
        delivery.status, delivery.failures = DeliveryStatus.PENDING, 0
        delivery.next_attempt_at, delivery.claimed_until = now, None
        delivery.save(update_fields=["status", "failures", "next_attempt_at", "claimed_until"])
        audit.record(
            actor=actor, action="webhook.redeliver", target=delivery, before=before, after={"status": delivery.status}
        )
        enqueue_task(SEND_TASK, args=[str(webhook.pk)], queue=QUEUE)
    return delivery


def _locked(actor: Actor, webhook_id: UUID) -> Webhook:
    rows = Webhook.objects.visible_to(actor).select_for_update(no_key=True, of=("self",))
    webhook: Webhook | None = rows.filter(pk=webhook_id).first()
    if webhook is None:
        raise WebhookNotFound(f"You have no webhook {webhook_id}.")
    return webhook


def _require_enabled(webhook: Webhook) -> None:
    if not webhook.enabled:
        raise WebhookDisabled(f"Nothing is sent to {webhook.name} while it is disabled.")


def _types(given: Collection[str]) -> list[str]:
    """Return the types without repetitions.

    Raises:
        ValidationFailed: for none at all, or one that is not there.
    """
    errors = [
        FieldError(
            f"event_types/{index}", "invalid_choice", "There is no such event type; see /api/webhooks/event-types."
        )
        for index, slug in enumerate(given)
        if slug != EVERY and slug not in event_types
    ]
    if not given:
        errors.append(FieldError("event_types", "empty", "Name at least one event type, or * for all."))
    if errors:
        raise ValidationFailed(errors=errors)
    return [EVERY] if EVERY in given else list(dict.fromkeys(given))


def _switched(enabled: bool) -> dict[str, Any]:
    if enabled:
        return {"enabled": True, "disabled_because": "", "disabled_at": None, "failing_since": None}
    return {"enabled": False, "disabled_because": DisabledBecause.OWNER, "disabled_at": utcnow()}


def _facts(webhook: Webhook) -> dict[str, Any]:
    """What the audit keeps. The address is left out: its path may be as good as a password."""
    return {
        "name": webhook.name,
        "event_types": webhook.event_types,
        "workflow_id": webhook.workflow_id and str(webhook.workflow_id),
        "strategy_id": webhook.strategy_id and str(webhook.strategy_id),
        "enabled": webhook.enabled,
    }
