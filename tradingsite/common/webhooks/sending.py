"""Sending deliveries: claimed in the database, called without a connection to it, noted afterwards.

A process that dies between the call and the note leaves a claim that runs out; the delivery is then sent again under
the same message id. Of two workers that want the same attempt the claim lets one through.
"""

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from tradingsite.common import audit, lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.background import guarded
from tradingsite.common.clock import utcnow
from tradingsite.common.outbound import AddressRefused, AnswerTooLarge, OutboundFailed, Reply, call
from tradingsite.common.webhooks import schedule, signing
from tradingsite.common.webhooks.errors import SecretUnreadable
from tradingsite.common.webhooks.events import webhook_disabled
from tradingsite.common.webhooks.models import (
    ANSWER_KEPT,
    DeliveryStatus,
    DisabledBecause,
    Webhook,
    WebhookAttempt,
    WebhookDelivery,
)
from tradingsite.common.webhooks.selectors import deliveries_due

logger = logging.getLogger(__name__)

TIMEOUT_S = 15.0
# The call, and time to note its outcome.
LEASE = timedelta(seconds=30)
# At once: a receiver that is slow to answer keeps others waiting for this many threads at most.
IN_FLIGHT = 2
LANES = 16
# So many in a row; then another webhook may have the thread, if one wants it.
TURN = 20
GONE = 410
DESK = Actor.system("webhooks")


@dataclass(frozen=True)
class Claim:
    """The right to send one attempt, with all that sending it needs."""

    webhook_id: UUID
    delivery_id: UUID
    attempt_id: int
    number: int
    url: str
    message_id: str
    body: str
    secrets: tuple[str, ...]
    more: bool


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt; without a status there was no answer."""

    status: int | None = None
    answer: str = ""
    latency_ms: int = 0
    retry_after: timedelta | None = None
    error_code: str = ""
    error: str = ""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Lanes:
    """The threads of this process that send. Workers' own threads carry runs and do not wait for strangers."""

    def __init__(self, total: int = LANES, each: int = IN_FLIGHT) -> None:
        self._total, self._each = total, each
        self._lock = threading.Lock()
        self._busy: Counter[UUID] = Counter()

    def full(self) -> bool:
        return self._busy.total() >= self._total

    def start(self, webhook_id: UUID) -> bool:
        """Send what is due to a webhook in a thread of its own; False where none is to be had."""
        with self._lock:
            if self.full() or self._busy[webhook_id] >= self._each or lifecycle.stopping.is_set():
                return False
            self._busy[webhook_id] += 1
        threading.Thread(target=self._run, args=(webhook_id,), name="webhook", daemon=True).start()
        return True

    def _run(self, webhook_id: UUID) -> None:
        try:
            guarded(f"webhook {webhook_id}", lambda: send_due(webhook_id))()
        finally:
            with self._lock:
                self._busy[webhook_id] -= 1
                self._busy += Counter()  # forgets those at zero


lanes = Lanes()


def send_due(webhook_id: UUID) -> int:
    """Send what is due to a webhook, one after the other, and return how many attempts that were."""
    sent = 0
    while not (lifecycle.stopping.is_set() or (sent >= TURN and lanes.full())):
        claim = claim_next(webhook_id)
        if claim is None:
            break
        if claim.more:
            lanes.start(webhook_id)
        note(claim, send(claim))
        sent += 1
    return sent


@transaction.atomic
def claim_next(webhook_id: UUID) -> Claim | None:
    """Claim the delivery that has been due longest; None when there is none, or enough is on its way already."""
    # The webhook's lock orders the claims, so that the count below is true. No key of it changes, so that deliveries
    # may be added meanwhile.
    webhook = Webhook.objects.listening().select_for_update(no_key=True, of=("self",)).filter(pk=webhook_id).first()
    if webhook is None:
        return None
    now = utcnow()
    if webhook.deliveries.filter(status=DeliveryStatus.PENDING, claimed_until__gt=now).count() >= IN_FLIGHT:
        return None
    due = list(deliveries_due(now).filter(webhook=webhook).order_by("next_attempt_at", "id")[:2])
    if not due:
        return None
    delivery = due[0]
    # A claim that ran out was an attempt whose outcome nobody knows. It counts: a delivery that ends its sender must
    # not be sent for ever.
    lost = delivery.claimed_until is not None
    if lost and schedule.next_attempt(delivery.failures + 1, now) is None:
        _end(delivery, now)
        return None
    taken = WebhookDelivery.objects.filter(
        pk=delivery.pk, attempts=delivery.attempts, status=DeliveryStatus.PENDING
    ).update(attempts=F("attempts") + 1, failures=F("failures") + int(lost), claimed_until=now + LEASE, updated_at=now)
    if not taken:
        return None
    number = delivery.attempts + 1
    attempt = WebhookAttempt.objects.create(delivery=delivery, number=number, started_at=now)
    return Claim(
        webhook_id=webhook.pk,
        delivery_id=delivery.pk,
        attempt_id=attempt.pk,
        number=number,
        url=webhook.url,
        message_id=delivery.message_id,
        body=delivery.body,
        secrets=_secrets_in_force(webhook, now),
        more=len(due) > 1,
    )


def send(claim: Claim) -> Outcome:
    """Make the call of a claim. Holds no connection to the database meanwhile; raises nothing that is the world's fault."""
    if not connection.in_atomic_block:
        connection.close()
    body = claim.body.encode()
    try:
        headers = signed_headers(claim, body)
        reply = call("POST", claim.url, content=body, headers=headers, timeout_s=TIMEOUT_S, max_bytes=ANSWER_KEPT)
    except AnswerTooLarge as error:
        return _answered(error.reply)
    except (OutboundFailed, AddressRefused, SecretUnreadable) as error:
        return Outcome(error_code=error.code, error=error.detail)
    return _answered(reply)


def signed_headers(claim: Claim, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks; a signature for each secret in force.

    Raises:
        SecretUnreadable
    """
    timestamp = int(utcnow().timestamp())
    signatures = [
        signing.signature(signing.decrypt(secret), claim.message_id, timestamp, body) for secret in claim.secrets
    ]
    return {
        "Content-Type": "application/json",
        "webhook-id": claim.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


@transaction.atomic
def note(claim: Claim, outcome: Outcome) -> bool:
    """Write an outcome down and decide what follows; False when the claim had run out and somebody else goes on."""
    now = utcnow()
    webhook = Webhook.objects.select_for_update(no_key=True, of=("self",)).get(pk=claim.webhook_id)
    delivery = WebhookDelivery.objects.get(pk=claim.delivery_id)
    WebhookAttempt.objects.filter(pk=claim.attempt_id).update(
        ended_at=now,
        status=outcome.status,
        latency_ms=outcome.latency_ms,
        answer=outcome.answer,
        error_code=outcome.error_code,
        error=outcome.error[:300],
    )
    mine = delivery.attempts == claim.number and delivery.status == DeliveryStatus.PENDING
    if mine:
        delivery.claimed_until = None
        delivery.last_status, delivery.last_error = outcome.status, outcome.error[:300]
        if outcome.delivered:
            delivery.status, delivery.next_attempt_at, delivery.delivered_at = DeliveryStatus.DELIVERED, None, now
        else:
            delivery.failures += 1
            again = schedule.next_attempt(delivery.failures, now, outcome.retry_after)
            if again is None or outcome.status == GONE:
                delivery.status, delivery.next_attempt_at = DeliveryStatus.FAILED, None
            else:
                delivery.next_attempt_at = again
        delivery.save()
    _judge(webhook, outcome, now)
    return mine


def _judge(webhook: Webhook, outcome: Outcome, now: datetime) -> None:
    """Let an outcome count for its webhook, and disable one that is gone or fails for days."""
    if outcome.delivered:
        webhook.last_success_at, webhook.failing_since = now, None
        webhook.save(update_fields=["last_success_at", "failing_since"])
        return
    if webhook.failing_since is None:
        webhook.failing_since = now
        webhook.save(update_fields=["failing_since"])
    if not webhook.enabled or webhook.deleted_at is not None:
        return
    if outcome.status == GONE:
        _disable(webhook, DisabledBecause.GONE, "Its address answered 410 Gone.")
    elif now - webhook.failing_since >= schedule.DISABLED_AFTER:
        _disable(webhook, DisabledBecause.FAILING, f"Nothing got through for {schedule.DISABLED_AFTER.days} days.")


def _disable(webhook: Webhook, because: DisabledBecause, reason: str) -> None:
    webhook.enabled, webhook.disabled_because, webhook.disabled_at = False, because, utcnow()
    webhook.version += 1
    webhook.save(update_fields=["enabled", "disabled_because", "disabled_at", "version"])
    audit.record(
        actor=DESK,
        action="webhook.disable",
        target=webhook,
        before={"enabled": True},
        after={"enabled": False, "disabled_because": because},
        reason=reason,
    )
    webhook_disabled.send(Webhook, webhook=webhook, reason=reason)


def _end(delivery: WebhookDelivery, now: datetime) -> None:
    delivery.status, delivery.next_attempt_at, delivery.claimed_until = DeliveryStatus.FAILED, None, None
    delivery.last_error = "The process that sent the last attempt ended before its outcome was known."
    delivery.save()


def _secrets_in_force(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    old = webhook.old_secret_until is not None and webhook.old_secret_until > now and webhook.old_secret
    return (webhook.secret, webhook.old_secret) if old else (webhook.secret,)


def _answered(reply: Reply) -> Outcome:
    # A NUL is no text to PostgreSQL.
    text = reply.body[:ANSWER_KEPT].decode(errors="replace").replace("\x00", "\ufffd")
    delivered = 200 <= reply.status < 300
    redirect = 300 <= reply.status < 400
    return Outcome(
        status=reply.status,
        answer=text,
        latency_ms=round(reply.elapsed_s * 1000),
        retry_after=schedule.retry_after(reply.headers, utcnow()),
        error_code="" if delivered else f"HTTP_{reply.status}",
        error=""
        if delivered
        else f"The answer was {reply.status}{'; redirects are not followed' if redirect else ''}.",
    )
