"""Who is told of an event, and how they know that it is from this desk."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from standardwebhooks import WebhookVerificationError

from safety.models import AuditLog
from tests.support.receiver import Receiver
from tests.support.webhooks import TRIAL, MakeWebhook, verified
from tests.webhooks.conftest import SECOND, happen, only_delivery
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.ids import uuid7
from tradingsite.common.models import OutboxMessage
from tradingsite.common.webhooks import services, signing
from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.errors import SecretUnreadable
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from tradingsite.common.webhooks.sending import send_due

# --- signatures


@pytest.mark.django_db
def test_a_delivery_carries_the_signature_that_receivers_check(make: MakeWebhook, there: Receiver) -> None:
    webhook, secret = make(there.url)
    at = datetime(2026, 1, 5, 15, 0, 0, 500_000, tzinfo=UTC)
    assert happen(7, at=at) == 1
    assert send_due(webhook.pk) == 1
    [request] = there.requests
    body = {"type": "trial.happened", "timestamp": "2026-01-05T15:00:00.500000Z", "data": {"number": 7}}
    assert verified(request, secret) == body
    # And by hand, as the specification says it.
    headers = {name.lower(): text for name, text in request.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(key) == 32
    assert (
        headers["webhook-signature"]
        == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    )
    assert (headers["content-type"], request.method) == ("application/json", "POST")
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    assert headers["webhook-id"] == only_delivery().message_id


@pytest.mark.django_db
def test_another_secret_or_another_body_does_not_verify(make: MakeWebhook, there: Receiver) -> None:
    webhook, secret = make(there.url)
    happen()
    send_due(webhook.pk)
    [request] = there.requests
    with pytest.raises(WebhookVerificationError):
        verified(request, signing.new_secret())
    with pytest.raises(WebhookVerificationError):
        verified(type(request)(request.method, request.path, request.headers, request.body + b" "), secret)


@pytest.mark.django_db
def test_after_a_rotation_both_secrets_verify_for_a_day(make: MakeWebhook, there: Receiver, actor: Actor) -> None:
    webhook, old = make(there.url)
    before = utcnow()
    webhook, new = services.webhook_rotate_secret(actor=actor, webhook_id=webhook.pk)
    assert webhook.old_secret_until is not None
    assert before + timedelta(hours=24) <= webhook.old_secret_until <= utcnow() + timedelta(hours=24)
    happen()
    send_due(webhook.pk)
    assert verified(there.requests[0], old) == verified(there.requests[0], new)
    Webhook.objects.update(old_secret_until=utcnow() - SECOND)
    happen()
    send_due(webhook.pk)
    assert verified(there.requests[1], new)
    with pytest.raises(WebhookVerificationError):
        verified(there.requests[1], old)


@pytest.mark.django_db
def test_a_secret_stands_nowhere_in_the_clear(
    make: MakeWebhook, there: Receiver, actor: Actor, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    with caplog.at_level("DEBUG"):
        webhook, first = make(there.url)
        webhook, second = services.webhook_rotate_secret(actor=actor, webhook_id=webhook.pk)
        happen()
        send_due(webhook.pk)
    row = Webhook.objects.values().get()
    kept = json.dumps([row, list(AuditLog.objects.values())], default=str) + caplog.text
    for secret in (first, second):
        assert secret not in kept
        assert secret.removeprefix("whsec_") not in kept
    assert (signing.decrypt(row["secret"]), signing.decrypt(row["old_secret"])) == (second, first)


def test_a_secret_outlives_a_change_of_the_sites_key_by_the_fallback(settings: Any) -> None:
    kept = signing.encrypt("whsec_x")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key altogether"
    with pytest.raises(SecretUnreadable):
        signing.decrypt(kept)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert signing.decrypt(kept) == "whsec_x"


@pytest.mark.django_db
def test_a_secret_that_cannot_be_read_is_a_failed_attempt_that_says_so(
    make: MakeWebhook, there: Receiver, settings: Any
) -> None:
    webhook, _ = make(there.url)
    happen()
    settings.SECRET_KEY = "another key altogether"
    send_due(webhook.pk)
    assert WebhookAttempt.objects.get().error_code == "WEBHOOK_SECRET_UNREADABLE"
    assert there.requests == []


# --- who is told


@pytest.mark.django_db
def test_an_event_reaches_those_who_asked_for_its_type_and_its_run(make: MakeWebhook, there: Receiver) -> None:
    mine, other = uuid7(), uuid7()
    wanted = {
        "all": {"event_types": ["*"]},
        "the type": {},
        "the workflow": {"workflow_id": mine},
        "both": {"workflow_id": mine, "strategy_id": other},
    }
    for name, fields in wanted.items():
        make(there.url, name=name, **fields)
    make(there.url, name="another type", event_types=["ping"])
    make(there.url, name="another workflow", workflow_id=other)
    make(there.url, name="another strategy", workflow_id=mine, strategy_id=mine)
    make(there.url, name="disabled", enabled=False)
    assert happen(workflow_id=mine, strategy_id=other) == 4
    assert set(WebhookDelivery.objects.values_list("webhook__name", flat=True)) == set(wanted)
    WebhookDelivery.objects.all().delete()
    # What belongs to no workflow is not news of one.
    assert happen() == 2


def _leaves(user: Any) -> None:
    user.is_active = False
    user.save()


def _may_only_look(user: Any) -> None:
    user.groups.set([Group.objects.get_or_create(name="viewer")[0]])


def _may_nothing(user: Any) -> None:
    user.groups.clear()


@pytest.mark.django_db
@pytest.mark.parametrize("change", [_leaves, _may_only_look, _may_nothing])
def test_whoever_may_have_no_webhook_any_more_is_told_nothing(
    make: MakeWebhook, there: Receiver, trader: Any, change: Callable[[Any], None]
) -> None:
    webhook, _ = make(there.url)
    assert happen() == 1
    change(trader)
    assert happen() == 0
    assert send_due(webhook.pk) == 0
    assert there.requests == []


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_told_to_nobody(make: MakeWebhook, there: Receiver) -> None:
    make(there.url)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        announce(Event(TRIAL.slug, {"number": 1}))
        _ = 1 / 0
    assert not WebhookDelivery.objects.exists()
    assert not OutboxMessage.objects.exists()
    with pytest.raises(RuntimeError, match="needs the transaction"):
        announce(Event(TRIAL.slug, {"number": 1}))


@pytest.mark.django_db
def test_a_type_that_nobody_registered_is_a_fault_of_the_program() -> None:
    with pytest.raises(UnknownName):
        announce(Event("nobody.knows", {}))


@pytest.mark.django_db
def test_many_events_are_one_task_for_each_webhook(make: MakeWebhook, there: Receiver) -> None:
    make(there.url), make(there.url)
    assert announce(*[Event(TRIAL.slug, {"number": n}) for n in range(50)]) == 100
    assert OutboxMessage.objects.filter(task="common.webhook_send", queue="control").count() == 2
