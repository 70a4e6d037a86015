"""Writing the alerts of rules down and telling them, many at a time, in the transaction that changes the rules' states."""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from safety import selectors
from safety.alerting.observations import Change
from safety.choices import AlertChannel
from safety.models import AlertEvent
from safety.models.alert_rules import AlertEmail
from safety.webhooks import alerts_told
from tradingsite.common import live

logger = logging.getLogger(__name__)
_NAMED = 50


def raise_all(changes: Sequence[Change], *, now: datetime) -> list[AlertEvent]:
    """Write and tell the alerts of `changes` that fire, of rules that the caller has locked.

    Of an observation that has raised an alert of its rule already nothing is written or told again.
    """
    firing = [change for change in changes if change.fires]
    if not firing:
        return []
    known = set(
        AlertEvent.objects.filter(
            alert_id__in={change.rule.id for change in firing}, observation__in={c.observation for c in firing}
        ).values_list("alert_id", "observation")
    )
    new = [change for change in firing if (change.rule.id, change.observation) not in known]
    events = [_event(change, now) for change in new]
    by_mail: dict[int, list[AlertEvent]] = {}
    for event, change in zip(events, new, strict=True):
        if AlertChannel.EMAIL in change.rule.channels:
            if change.rule.created_by_id is None:
                logger.warning("alert rule %s has no owner any more to write to", change.rule.id)
            else:
                by_mail.setdefault(change.rule.created_by_id, []).append(event)
    for user_id, theirs in sorted(by_mail.items()):
        mail = AlertEmail(user_id=user_id, subject=_subject(theirs), body=_body(theirs), next_attempt_at=now)
        mail.save(force_insert=True)
        for event in theirs:
            event.email = mail
    AlertEvent.objects.bulk_create(events, batch_size=500)
    told = {event.pk: selectors.alert_as_json(event) for event in events}
    pairs = list(zip(events, new, strict=True))
    live.publish_all("alerts", "alert", [told[e.pk] for e, c in pairs if AlertChannel.IN_APP in c.rule.channels])
    alerts_told([told[e.pk] for e, c in pairs if AlertChannel.WEBHOOK in c.rule.channels])
    for event in events[:_NAMED]:
        logger.info("alert %s of rule %s: %s", event.severity, event.alert_id, event.name)
    if len(events) > _NAMED:
        logger.info("and %d more alerts of rules", len(events) - _NAMED)
    return events


def _event(change: Change, now: datetime) -> AlertEvent:
    rule, seen = change.rule, change.seen
    assert seen is not None
    return AlertEvent(
        alert_id=rule.id,
        name=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        symbol=rule.symbol,
        value=seen.value,
        threshold=seen.threshold,
        message=seen.text(),
        triggered_at=now,
        observation=change.observation,
    )


def _subject(events: Sequence[AlertEvent]) -> str:
    prefix = settings.EMAIL_SUBJECT_PREFIX
    if len(events) == 1:
        # One line, whatever a rule is named.
        return f"{prefix}{' '.join(events[0].name.split())}"[:200]
    return f"{prefix}{len(events)} alerts"


def _body(events: Sequence[AlertEvent]) -> str:
    lines = [f"{event.severity.upper()}: {event.name}\n{event.message}\n" for event in events[:_NAMED]]
    if len(events) > _NAMED:
        lines.append(f"and {len(events) - _NAMED} more: see the alert history.\n")
    return "\n".join(lines)
