"""What a webhook can be told of: each type with one line of help and an event as it looks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.contracts.registry import Registry

EVERY = "*"
PING = "ping"


@dataclass
class EventType:
    """One kind of event.

    Attributes:
        slug: `<noun>.<what happened>`.
        help: one sentence, for whoever chooses.
        example: the `data` of such an event, with every member that it can have.
    """

    slug: str
    help: str
    example: Mapping[str, Any]


def _check(event_type: EventType) -> None:
    if event_type.slug != PING and not re.fullmatch(r"[a-z][a-z_]{1,29}\.[a-z][a-z_]{1,29}", event_type.slug):
        raise ImproperlyConfigured(f"webhook event type {event_type.slug!r} must be named <noun>.<what happened>")


event_types: Registry[EventType] = Registry("webhook event type", _check)
event_types.register(
    EventType(
        PING,
        "A trial, sent on request only.",
        {"webhook_id": "0190a0b0-0000-7000-8000-000000000000", "message": "It works."},
    )
)
