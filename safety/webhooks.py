"""What safety tells webhooks: alerts and the kill switch."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseFault
from django.db import transaction

from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.event_types import EventType, event_types

logger = logging.getLogger(__name__)

ALERT_TRIGGERED = EventType(
    "alert.triggered",
    "An alert was raised: by a rule, by a workflow's notice, or by the desk itself.",
    {
        "id": "0190a0b0-0000-7000-8000-000000000001",
        "alert_id": None,
        "name": "Kill switch",
        "kind": "kill_switch",
        "severity": "critical",
        "symbol": "",
        "value": None,
        "threshold": None,
        "message": "olga stopped everything: prices look wrong.",
        "triggered_at": "2026-01-05T15:00:00Z",
    },
)
KILL_SWITCH_CHANGED = EventType(
    "kill_switch.changed",
    "Everything, or one strategy, was stopped or may go on.",
    {"scope": "all", "active": True, "reason": "prices look wrong", "by": "olga"},
)
for _type in (ALERT_TRIGGERED, KILL_SWITCH_CHANGED):
    event_types.register(_type)


def alert_told(alert: Mapping[str, Any]) -> None:
    """Tell webhooks of an alert, given as the socket tells it."""
    alerts_told([alert])


def alerts_told(alerts: Sequence[Mapping[str, Any]]) -> None:
    """Tell webhooks of several alerts at once, each given as the socket tells it."""
    if alerts:
        _tell(*(Event(ALERT_TRIGGERED.slug, alert) for alert in alerts))


def kill_switch_told(*, scope: str, active: bool, reason: str, by: str, strategy_id: UUID | None) -> None:
    """Tell webhooks of a change of the kill switch of `scope`."""
    data = {"scope": scope, "active": active, "reason": reason, "by": by}
    _tell(Event(KILL_SWITCH_CHANGED.slug, data, strategy_id=strategy_id))


def _tell(*events: Event) -> None:
    """Announce in a savepoint: that somebody may be told must never be why the desk could not be stopped."""
    try:
        with transaction.atomic():
            announce(*events)
    except DatabaseFault:
        logger.exception("no webhook is told of this %s", events[0].type)
