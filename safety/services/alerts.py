"""Raising and acknowledging alerts."""

import logging
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from safety import selectors
from safety.choices import AlertKind, Severity
from safety.models import AlertEvent
from tradingsite.common import audit, live
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow

logger = logging.getLogger(__name__)


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
    actor: Actor,
) -> AlertEvent:
    """Write an alert into the history and tell whoever listens on the alerts socket.

    Raises:
        ValueError: for a kind or a severity that does not exist.
    """
    with transaction.atomic():
        event = AlertEvent.objects.create(
            alert_id=alert_id,
            name=name[:120],
            kind=AlertKind(kind),
            severity=Severity(severity),
            symbol=symbol[:32],
            value=value,
            threshold=threshold,
            message=message,
        )
        live.publish("alerts", "alert", selectors.alert_as_json(event))
    logger.info("alert %s by %s: %s", event.severity, actor.name, event.name)
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
