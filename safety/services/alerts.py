"""Raising and acknowledging alerts."""

import logging
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from safety import selectors
from safety.choices import AlertKind, Severity
from safety.models import AlertEvent
from safety.webhooks import alert_told
from tradingsite.common import audit, live
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.ids import uuid7

logger = logging.getLogger(__name__)

# A notice that all went well is in the history; in the log it would only hide what did not.
_LEVELS = {Severity.INFO: logging.DEBUG, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.ERROR}


def alert_raise(
    *,
    kind: str,
    name: str,
    severity: str,
    message: str,
    symbol: str = "",
    value: Decimal | None = None,
    threshold: Decimal | None = None,
    alert_id: UUID | None = None,
    event_id: UUID | None = None,
    actor: Actor,
) -> AlertEvent:
    """Write an alert into the history and tell whoever listens: sockets and webhooks.

    Args:
        value, threshold: the figure that raised it, and what it was held against.
        alert_id: the rule that raised it.
        event_id: for work that may be repeated: an alert of this id is raised and told once.

    Raises:
        ValueError: for a kind or a severity that does not exist.
    """
    with transaction.atomic():
        defaults = {
            "alert_id": alert_id,
            "name": name[:120],
            "kind": AlertKind(kind),
            "severity": Severity(severity),
            "symbol": symbol[:32],
            "value": value,
            "threshold": threshold,
            "message": message,
        }
        # The database decides which of two repetitions is the first.
        event, created = AlertEvent.objects.get_or_create(id=event_id or uuid7(), defaults=defaults)
        if not created:
            return event
        told = selectors.alert_as_json(event)
        live.publish("alerts", "alert", told)
        alert_told(told)
    logger.log(_LEVELS[Severity(severity)], "alert %s by %s: %s", event.severity, actor.name, event.name)
    return event


def alert_acknowledge(*, actor: Actor, alert_id: UUID) -> AlertEvent:
    """Mark an alert as seen by somebody; once seen, it stays so.

    Raises:
        AlertNotFound: when there is none of this id.
    """
    with transaction.atomic():
        changed = AlertEvent.objects.filter(pk=alert_id, acknowledged_at=None).update(
            acknowledged_at=utcnow(), acknowledged_by=actor.name[:150], updated_at=utcnow()
        )
        event = selectors.alert_get(alert_id)
        if changed and event.acknowledged_at is not None:
            at = rfc3339(event.acknowledged_at)
            audit.record(actor=actor, action="alert.acknowledge", target=event, after={"acknowledged_at": at})
            live.publish("alerts", "alert_acknowledged", {"id": str(event.pk), "acknowledged_at": at, "by": actor.name})
    return event
