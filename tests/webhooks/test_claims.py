"""One worker sends each attempt; what dies is sent again; the slow hold up nobody."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction

from tests.support.receiver import Receiver, receiver
from tests.support.webhooks import TRIAL, MakeWebhook, verified
from tests.webhooks.conftest import SECOND, happen, only_delivery, until
from tradingsite.common import housekeeping, lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from tradingsite.common.models import OutboxMessage
from tradingsite.common.webhooks import duties, sending, services
from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.errors import DeliveryUnderWay, WebhookDisabled
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from tradingsite.common.webhooks.sending import Lanes, claim_next, note, send, send_due

# --- claims


@pytest.mark.django_db
def test_a_process_that_dies_after_the_call_leaves_a_delivery_that_is_sent_again_under_its_id(
    make: MakeWebhook, there: Receiver
) -> None:
    webhook, secret = make(there.url)
    happen()
    lost = claim_next(webhook.pk)
    assert lost is not None
    assert send(lost).delivered
    # Here it dies. Nobody else sends while the claim holds.
    assert claim_next(webhook.pk) is None
    assert duties.enqueue_due() == 0
    WebhookDelivery.objects.update(claimed_until=utcnow() - SECOND)
    assert duties.enqueue_due() == 1
    assert send_due(webhook.pk) == 1
    assert [request.headers["webhook-id"] for request in there.requests] == [only_delivery().message_id] * 2
    assert verified(there.requests[1], secret)
    assert only_delivery().status == "delivered"
    assert [attempt.ended_at is None for attempt in WebhookAttempt.objects.all()] == [True, False]
    # Whoever was thought dead and comes back changes nothing any more, but its attempt is on record.
    assert note(lost, sending.Outcome(status=500, error="late")) is False
    assert only_delivery().status == "delivered"


@pytest.mark.django_db
def test_a_delivery_whose_senders_die_is_given_up_in_the_end(make: MakeWebhook, there: Receiver) -> None:
    webhook, _ = make(there.url)
    happen()
    claims = 0
    while claim_next(webhook.pk) is not None:
        claims += 1
        WebhookDelivery.objects.update(claimed_until=utcnow() - SECOND)
        assert claims < 20
    assert (claims, only_delivery().status) == (10, "failed")


@pytest.mark.django_db
def test_two_of_a_webhook_are_on_their_way_at_most(make: MakeWebhook, there: Receiver) -> None:
    webhook, _ = make(there.url)
    other, _ = make(there.url)
    announce(*[Event(TRIAL.slug, {"number": n}) for n in range(5)])
    first, second = claim_next(webhook.pk), claim_next(webhook.pk)
    assert first is not None
    assert second is not None
    assert claim_next(webhook.pk) is None
    assert claim_next(other.pk) is not None
    note(first, send(first))
    assert claim_next(webhook.pk) is not None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_gets_each_attempt(
    make: MakeWebhook, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "IN_FLIGHT", 100)
    webhook, _ = make(there.url)
    with transaction.atomic():
        announce(*[Event(TRIAL.slug, {"number": n}) for n in range(60)])

    # The control: without a claim, eight readers at once all see the same delivery first.
    seen, claimed, lock, together = [], [], threading.Lock(), threading.Barrier(8)

    def look() -> None:
        together.wait(20)
        due = sending.deliveries_due(utcnow()).order_by("next_attempt_at", "id").first()
        assert due is not None
        with lock:
            seen.append(due.pk)
        together.wait(20)
        while (claim := claim_next(webhook.pk)) is not None:
            with lock:
                claimed.append(claim.delivery_id)
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(seen)) == 1
    assert len(claimed) == len(set(claimed)) == 60


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_a_change_that_announces(make: MakeWebhook, there: Receiver) -> None:
    webhook, _ = make(there.url)
    happen()
    claimed = []

    def claim() -> None:
        claimed.append(claim_next(webhook.pk))
        connection.close()

    with transaction.atomic():
        announce(Event(TRIAL.slug, {"number": 2}))
        thread = threading.Thread(target=claim)
        thread.start()
        thread.join(5)
        assert len(claimed) == 1, "the claim waits for the locks of a transaction that only adds deliveries"
        assert claimed[0] is not None


# --- threads


@pytest.mark.django_db(transaction=True)
def test_a_slow_receiver_holds_up_nobody_else(
    make: MakeWebhook, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(total=3, each=2)
    monkeypatch.setattr(sending, "lanes", lanes)
    ended = threading.Event()
    with receiver(lambda request, send: ended.wait(20) and send(200)) as slow:
        slow_webhook, _ = make(slow.url)
        quick_webhook, _ = make(there.url)
        with transaction.atomic():
            announce(*[Event(TRIAL.slug, {"number": n}) for n in range(30)])
        try:
            assert [lanes.start(slow_webhook.pk) for _ in range(3)] == [True, True, False]
            until(lambda: len(slow.requests) == 2)
            assert lanes.start(quick_webhook.pk)
            assert lanes.full()
            assert not lanes.start(uuid7())
            until(lambda: len(there.requests) >= sending.TURN)
        finally:
            Webhook.objects.update(enabled=False, disabled_because="owner")
            ended.set()
            until(lambda: not lanes._busy)
    assert len(slow.requests) == 2


@pytest.mark.django_db(transaction=True)
def test_a_process_that_ends_begins_nothing_new(
    make: MakeWebhook, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = make(there.url)
    happen()
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr(lifecycle, "stopping", stopping)
    assert send_due(webhook.pk) == 0
    assert Lanes().start(webhook.pk) is False
    assert there.requests == []


# --- duties


@pytest.mark.django_db
def test_the_duty_sends_for_what_is_due_and_not_every_second(
    make: MakeWebhook, there: Receiver, frozen_clock: Callable[[datetime], None]
) -> None:
    start = utcnow()
    webhook, _ = make(there.url)
    happen()
    OutboxMessage.objects.all().delete()
    assert [duties.enqueue_due(), duties.enqueue_due()] == [1, 0]
    message = OutboxMessage.objects.get()
    assert (message.task, message.args, message.queue) == ("common.webhook_send", [str(webhook.pk)], "control")
    frozen_clock(start + 6 * SECOND)
    assert duties.enqueue_due() == 1
    send_due(webhook.pk)
    frozen_clock(start + 60 * SECOND)
    assert duties.enqueue_due() == 0


@pytest.mark.django_db
def test_the_log_is_kept_for_thirty_days(
    make: MakeWebhook, there: Receiver, actor: Actor, frozen_clock: Callable[[datetime], None]
) -> None:
    start = utcnow()
    webhook, _ = make(there.url)
    happen()
    send_due(webhook.pk)
    services.webhook_delete(actor=actor, webhook_id=webhook.pk)
    frozen_clock(start + timedelta(days=30) - SECOND)
    pruned = housekeeping.prune()
    assert (pruned["webhook_delivery"], pruned["webhook"]) == (0, 0)
    frozen_clock(start + timedelta(days=30) + SECOND)
    pruned = housekeeping.prune()
    assert (pruned["webhook_delivery"], pruned["webhook"]) == (1, 1)
    assert not WebhookAttempt.objects.exists()


# --- by hand


@pytest.mark.django_db
def test_a_delivery_sent_again_by_hand_keeps_its_id_and_its_log_and_starts_its_pauses_anew(
    make: MakeWebhook, there: Receiver, actor: Actor
) -> None:
    webhook, _ = make(there.url)
    happen()
    send_due(webhook.pk)
    delivery = only_delivery()
    services.delivery_redeliver(actor=actor, webhook_id=webhook.pk, delivery_id=delivery.pk)
    there.answer = lambda request, send: send(500)
    assert send_due(webhook.pk) == 1
    first, second = there.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.failures) == ("pending", 2, 1)
    assert [attempt.status for attempt in delivery.log.all()] == [200, 500]


@pytest.mark.django_db
def test_what_is_on_its_way_or_has_no_way_is_not_sent_again(make: MakeWebhook, there: Receiver, actor: Actor) -> None:
    webhook, _ = make(there.url)
    happen()
    claim = claim_next(webhook.pk)
    assert claim is not None
    with pytest.raises(DeliveryUnderWay):
        services.delivery_redeliver(actor=actor, webhook_id=webhook.pk, delivery_id=claim.delivery_id)
    note(claim, send(claim))
    services.webhook_update(actor=actor, webhook_id=webhook.pk, changes={"enabled": False})
    with pytest.raises(WebhookDisabled):
        services.delivery_redeliver(actor=actor, webhook_id=webhook.pk, delivery_id=claim.delivery_id)
    with pytest.raises(WebhookDisabled):
        services.webhook_test(actor=actor, webhook_id=webhook.pk)


@pytest.mark.django_db
def test_a_trial_reaches_a_webhook_whatever_it_asked_for(make: MakeWebhook, there: Receiver, actor: Actor) -> None:
    webhook, secret = make(there.url)
    services.webhook_test(actor=actor, webhook_id=webhook.pk)
    send_due(webhook.pk)
    body = verified(there.requests[0], secret)
    assert (body["type"], body["data"]["webhook_id"]) == ("ping", str(webhook.pk))
