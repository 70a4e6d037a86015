"""What counts as a success, when a failure is tried again, and what ends a webhook."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import from_regex, text

from safety.models import AuditLog
from tests.support.receiver import Receiver
from tests.support.webhooks import TRIAL, MakeWebhook, verified
from tests.webhooks.conftest import SECOND, happen, only_delivery, wait_over
from tradingsite.common import outbound_rules
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.outbound import AddressRefused
from tradingsite.common.webhooks import duties, schedule, sending, services
from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from tradingsite.common.webhooks.sending import send_due

# --- trying again


@pytest.mark.django_db
@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_only_2xx_is_a_success_and_the_rest_is_tried_again_under_the_same_id(
    make: MakeWebhook, there: Receiver, status: int
) -> None:
    webhook, secret = make(there.url)
    happen()
    there.answer = lambda request, send: send(status, b"no \x00 thanks" + b"x" * 9000, Location="http://127.0.0.1:1/")
    before = utcnow()
    assert send_due(webhook.pk) == 1
    delivery = only_delivery()
    assert (delivery.status, delivery.failures, delivery.last_status) == ("pending", 1, status)
    assert before + 5 * SECOND <= delivery.next_attempt_at <= utcnow() + 6 * SECOND
    attempt = WebhookAttempt.objects.get()
    assert (attempt.number, attempt.status, attempt.error_code) == (1, status, f"HTTP_{status}")
    assert attempt.answer.startswith("no \ufffd thanks")
    assert len(attempt.answer) == 2048
    assert attempt.latency_ms is not None
    assert send_due(webhook.pk) == 0, "its pause is not over"
    wait_over(delivery)
    there.answer = lambda request, send: send(204)
    assert send_due(webhook.pk) == 1
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.next_attempt_at) == ("delivered", 2, None)
    first, second = there.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(first, secret) == verified(second, secret)
    webhook.refresh_from_db()
    assert webhook.failing_since is None
    assert webhook.last_success_at is not None


@pytest.mark.django_db
def test_the_pauses_are_those_of_standard_webhooks_and_then_it_has_failed(make: MakeWebhook, there: Receiver) -> None:
    there.answer = lambda request, send: send(500)
    webhook, _ = make(there.url)
    happen()
    pauses = []
    while (delivery := only_delivery()).status == "pending":
        wait_over(delivery)
        assert send_due(webhook.pk) == 1
        delivery.refresh_from_db()
        if delivery.next_attempt_at is not None:
            pauses.append((delivery.next_attempt_at - utcnow()).total_seconds())
    assert (delivery.status, delivery.attempts) == ("failed", 10)
    wanted = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert len(pauses) == len(wanted)
    for pause, least in zip(pauses, wanted, strict=True):
        assert least - 2 <= pause <= least * 1.2 + 1
    assert WebhookAttempt.objects.count() == len(there.requests) == 10


def test_a_pause_is_never_shorter_and_up_to_a_fifth_longer() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    times = [schedule.next_attempt(2, now) for _ in range(200)]
    pauses = [(moment - now).total_seconds() for moment in times if moment is not None]
    assert len(set(pauses)) > 100
    assert 300 <= min(pauses) < 315
    assert 345 < max(pauses) <= 360
    assert schedule.next_attempt(10, now) is None


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("120", 120, 120),
        ("0", 5, 6),
        ("99999999999999", 86400, 86400),
        ("Mon, 05 Jan 2026 00:10:00 GMT", 600, 600),
        ("Mon, 05 Jan 2025 00:10:00 GMT", 5, 6),
        ("soon", 5, 6),
        ("-5", 5, 6),
        ("", 5, 6),
    ],
)
def test_a_receiver_may_ask_for_a_longer_pause_up_to_a_day(said: str, least: int, most: int) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    again = schedule.next_attempt(1, now, schedule.retry_after({"retry-after": said}, now))
    assert again is not None
    assert least <= (again - now).total_seconds() <= most


@given(text() | from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d{1,3}:\d{1,3}:\d{1,3} ([+-]\d{1,20}|GMT|)"))
def test_whatever_a_receiver_asks_for_is_a_pause_or_nothing(said: str) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    asked = schedule.retry_after({"retry-after": said}, now)
    assert asked is None or asked >= timedelta(0)
    again = schedule.next_attempt(1, now, asked)
    assert again is not None
    assert 5 * SECOND <= again - now <= timedelta(hours=24)


@pytest.mark.django_db
def test_the_pause_that_a_receiver_asks_for_is_kept(make: MakeWebhook, there: Receiver) -> None:
    there.answer = lambda request, send: send(503, Retry_After="3600")
    webhook, _ = make(there.url)
    happen()
    send_due(webhook.pk)
    pause = only_delivery().next_attempt_at - utcnow()
    assert timedelta(minutes=59) < pause <= timedelta(minutes=60)


@pytest.mark.django_db
def test_a_receiver_that_hangs_is_left_after_its_time(
    make: MakeWebhook, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    ended = threading.Event()
    there.answer = lambda request, send: ended.wait(10)
    webhook, _ = make(there.url)
    happen()
    started = time.monotonic()
    send_due(webhook.pk)
    ended.set()
    assert time.monotonic() - started < 2
    assert WebhookAttempt.objects.get().error_code == "OUTBOUND_TIMED_OUT"
    assert only_delivery().failures == 1


@pytest.mark.django_db
def test_an_address_that_has_become_an_inner_one_is_not_called(
    make: MakeWebhook, there: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOWED = []
    addresses = ["1.1.1.1"]
    monkeypatch.setattr(outbound_rules.socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (addresses[0], 80))])
    webhook, _ = make(f"http://hooks.example:{there.port}/hook")
    happen()
    addresses[0] = "127.0.0.1"
    send_due(webhook.pk)
    assert WebhookAttempt.objects.get().error_code == "ADDRESS_REFUSED"
    assert only_delivery().status == "pending"
    assert there.requests == []
    with pytest.raises(AddressRefused):
        make(f"http://hooks.example:{there.port}/hook")


# --- the end of a webhook


@pytest.mark.django_db
def test_410_ends_the_webhook_and_says_so(make: MakeWebhook, there: Receiver) -> None:
    there.answer = lambda request, send: send(410)
    webhook, _ = make(there.url)
    announce(Event(TRIAL.slug, {"number": 1}), Event(TRIAL.slug, {"number": 2}))
    assert send_due(webhook.pk) == 1, "the second one is not sent to an address that is gone"
    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_because) == (False, "gone")
    assert sorted(WebhookDelivery.objects.values_list("status", flat=True)) == ["failed", "pending"]
    assert AuditLog.objects.get(action="webhook.disable").actor_kind == "system"
    assert happen() == 0


@pytest.mark.django_db
def test_a_webhook_that_fails_for_five_days_is_disabled(
    make: MakeWebhook, there: Receiver, actor: Actor, frozen_clock: Callable[[datetime], None]
) -> None:
    start = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
    there.answer = lambda request, send: send(500)
    webhook, _ = make(there.url)
    for after, enabled in (
        (timedelta(0), True),
        (timedelta(days=4, hours=23), True),
        (timedelta(days=5), False),
    ):
        frozen_clock(start + after)
        happen()
        delivery = WebhookDelivery.objects.filter(attempts=0).latest("id")
        WebhookDelivery.objects.exclude(pk=delivery.pk).delete()
        send_due(webhook.pk)
        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.disabled_because) == (enabled, "" if enabled else "failing"), after
    # Enabled again, it has five days from its next failure.
    services.webhook_update(actor=actor, webhook_id=webhook.pk, changes={"enabled": True})
    happen()
    send_due(webhook.pk)
    webhook.refresh_from_db()
    assert webhook.enabled


@pytest.mark.django_db
def test_a_success_in_between_starts_the_five_days_anew(
    make: MakeWebhook, there: Receiver, frozen_clock: Callable[[datetime], None]
) -> None:
    start = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
    webhook, _ = make(there.url)
    for days, status in ((0, 500), (4, 200), (6, 500), (10, 500)):
        frozen_clock(start + timedelta(days=days))
        there.answer = lambda request, send, status=status: send(status)
        WebhookDelivery.objects.all().delete()
        happen()
        send_due(webhook.pk)
    webhook.refresh_from_db()
    assert webhook.enabled
    assert webhook.failing_since == start + timedelta(days=6)


@pytest.mark.django_db
def test_what_waits_for_a_disabled_webhook_is_sent_when_it_is_enabled(
    make: MakeWebhook, there: Receiver, actor: Actor
) -> None:
    webhook, _ = make(there.url)
    happen()
    services.webhook_update(actor=actor, webhook_id=webhook.pk, changes={"enabled": False})
    assert send_due(webhook.pk) == 0
    assert duties.enqueue_due() == 0
    services.webhook_update(actor=actor, webhook_id=webhook.pk, changes={"enabled": True})
    assert send_due(webhook.pk) == 1
    assert len(there.requests) == 1


@pytest.mark.django_db
def test_a_deleted_webhook_is_told_nothing_and_keeps_no_secret(
    make: MakeWebhook, there: Receiver, actor: Actor
) -> None:
    webhook, _ = make(there.url)
    services.webhook_rotate_secret(actor=actor, webhook_id=webhook.pk)
    happen()
    services.webhook_delete(actor=actor, webhook_id=webhook.pk)
    assert send_due(webhook.pk) == 0
    assert happen() == 0
    assert there.requests == []
    row = Webhook.objects.get()
    assert (row.secret, row.old_secret) == ("", "")
