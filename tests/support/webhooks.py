"""A webhook at a receiver on this machine, and the verdict on a request as its receiver would reach it."""

from collections.abc import Callable
from typing import Any

from standardwebhooks import Webhook as Verifier

from tests.support.receiver import Received
from tradingsite.common.actor import Actor
from tradingsite.common.webhooks.event_types import EventType
from tradingsite.common.webhooks.models import Webhook
from tradingsite.common.webhooks.services import webhook_create

TRIAL = EventType("trial.happened", "Something was tried.", {"number": 1})

MakeWebhook = Callable[..., tuple[Webhook, str]]


def maker(actor: Actor) -> MakeWebhook:
    """Return `webhook_create` for the trial type, or what is said instead."""

    def make(url: str, **changes: Any) -> tuple[Webhook, str]:
        return webhook_create(actor=actor, url=url, **{"name": "Trial", "event_types": [TRIAL.slug], **changes})

    return make


def verified(request: Received, secret: str) -> Any:
    """Return the body of a request as the reference library of Standard Webhooks reads it.

    Raises:
        WebhookVerificationError: for a wrong signature, or a timestamp that is off by minutes.
    """
    headers = {name.lower(): text for name, text in request.headers.items()}
    return Verifier(secret).verify(request.body, headers)
