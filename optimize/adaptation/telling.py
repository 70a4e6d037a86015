"""What sockets and the history of alerts hear of adaptations."""

from datetime import datetime

from optimize.adaptation.choices import EventStatus, Trigger
from optimize.adaptation.models import AdaptationEvent, LiveAdaptation
from optimize.news import stream_of
from safety.choices import AlertKind, Severity
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339
from tradingsite.common.live import publish

# What is worth an alert, and how much; the rest is in the history and on the socket.
_SEVERITIES = {
    EventStatus.APPLIED: Severity.INFO,
    EventStatus.PROPOSED: Severity.INFO,
    EventStatus.ROLLED_BACK: Severity.WARNING,
    EventStatus.FROZEN: Severity.WARNING,
    EventStatus.FAILED: Severity.WARNING,
}


def tell_event(event: AdaptationEvent, *, actor: Actor) -> None:
    """Tell of an event, in the transaction that writes it."""
    adaptation = event.adaptation
    data = {
        "strategy_id": str(adaptation.strategy_id),
        "proposed_params": event.proposed_params,
        "status": event.status,
        "adaptation_id": str(adaptation.pk),
        "event": event.number,
        "about": event.about,
        "applied_params": event.applied_params,
    }
    publish(stream_of(adaptation.created_by_id), "adaptation_result", data)
    status = EventStatus(event.status)
    severity = _SEVERITIES.get(status)
    if event.trigger == Trigger.BREACH:
        # Also where it could not be taken back: somebody has to.
        severity = Severity.WARNING
    if severity is not None:
        alert_raise(
            kind=AlertKind.ADAPTATION,
            name=f"{status.label}: parameters of {adaptation.strategy.name}",
            severity=severity,
            message=event.message,
            actor=actor,
        )


def tell_regime(
    adaptation: LiveAdaptation,
    *,
    regime_type: str,
    value: str,
    before: str,
    measure: float | None,
    symbol: str,
    bar_time: datetime,
    triggered: bool,
    code: str | None,
    reason: str | None,
) -> None:
    """Tell that a regime changed, in the transaction that writes it.

    Args:
        regime_type: the kind of the detector.
        value, before: the labels of the new regime and of the one before.
        measure: what the detector read of the bar that confirmed it.
        triggered: whether it began a round; `code` and `reason` say why not.
    """
    data = {
        "strategy_id": str(adaptation.strategy_id),
        "regime_type": regime_type,
        "value": value,
        "adaptation_id": str(adaptation.pk),
        "before": before,
        "measure": measure,
        "symbol": symbol,
        "bar_time": rfc3339(bar_time),
        "triggered": triggered,
        "code": code,
        "reason": reason,
    }
    publish(stream_of(adaptation.created_by_id), "regime_change", data)
