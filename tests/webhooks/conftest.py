"""A webhook of a trader's, a receiver on this machine, and events to tell it of."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from tests.support.receiver import Receiver, receiver
from tests.support.webhooks import TRIAL, MakeWebhook, maker
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.webhooks import sending
from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import WebhookDelivery
from tradingsite.common.webhooks.sending import Lanes

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _setting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.OUTBOUND_ALLOWED = ["127.0.0.0/8"]
    # No thread but those that a test starts.
    monkeypatch.setattr(sending, "lanes", Lanes(total=0))
    with event_types.temporarily(TRIAL):
        yield


@pytest.fixture
def make(actor: Actor) -> MakeWebhook:
    return maker(actor)


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


def happen(number: int = 1, **event: Any) -> int:
    with transaction.atomic():
        return announce(Event(TRIAL.slug, {"number": number}, **event))


def only_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def wait_over(delivery: WebhookDelivery) -> None:
    """Let the pause before the next attempt be over."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(next_attempt_at=utcnow() - SECOND)


def until(ready: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
