"""Writing the alerts of rules down and telling them, many at a time, in the transaction that changes the rules' states."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from safety import selectors
from safety.alerting.observations import Change
from safety.choices import AlertChannel
from safety.models import AlertEvent
from safety.models.alert_rules import AlertEmail
from safety.webhooks import alerts_told
from tradingsite.common import live
from tradingsite.common.bulk import insert_all, rows_known
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7

logger = logging.getLogger(__name__)
_NAMED = 50
_Json = dict[str, Any]


def raise_all(changes: Sequence[Change], *, now: datetime) -> int:
    """Write and tell the alerts of `changes` that fire, of rules that the caller has locked; return how many those are.

    Of an observation that has raised an alert of its rule already nothing is written or told again.
    """
    new = _untold([change for change in changes if change.fires])
    if not new:
        return 0
    events = [_event(change, now) for change in new]
    _write_mail(new, events, now)
    insert_all(AlertEvent, events)
    told = [selectors.alert_values_as_json(event) for event in events]
    live.publish_all("alerts", "alert", _through(AlertChannel.IN_APP, new, told))
    alerts_told(_through(AlertChannel.WEBHOOK, new, told))
    for event in events[:_NAMED]:
        logger.info("alert %s of rule %s: %s", event["severity"], event["alert_id"], event["name"])
    if len(events) > _NAMED:
        logger.info("and %d more alerts of rules", len(events) - _NAMED)
    return len(events)


def _untold(firing: Sequence[Change]) -> Sequence[Change]:
    """Return those whose observation has raised no alert of its rule yet."""
    if not firing:
        return []
    keys = {(change.rule.id, change.observation) for change in firing}
    known = rows_known(AlertEvent, ("alert_id", "observation"), keys)
    return [change for change in firing if (change.rule.id, change.observation) not in known]


def _through(channel: AlertChannel, new: Sequence[Change], told: Sequence[_Json]) -> list[_Json]:
    return [each for change, each in zip(new, told, strict=True) if channel in change.rule.channels]


def _write_mail(new: Sequence[Change], events: Sequence[_Json], now: datetime) -> None:
    """Write one e-mail for each owner who is to get any, and its id into the alerts that it tells."""
    by_mail: dict[int, list[_Json]] = {}
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
            event["email_id"] = mail.pk


def _event(change: Change, now: datetime) -> _Json:
    """Return the row of an alert, by the names of its fields."""
    rule, seen = change.rule, change.seen
    assert seen is not None
    written = utcnow()
    return {
        "id": uuid7(),
        "created_at": written,
        "updated_at": written,
        "alert_id": rule.id,
        "name": rule.name,
        "kind": rule.kind,
        "severity": rule.severity,
        "symbol": rule.symbol,
        "value": seen.value,
        "threshold": seen.threshold,
        "message": seen.text(),
        "triggered_at": now,
        "acknowledged_at": None,
        "acknowledged_by": "",
        "observation": change.observation,
        "email_id": None,
    }


def _subject(events: Sequence[_Json]) -> str:
    prefix = settings.EMAIL_SUBJECT_PREFIX
    if len(events) == 1:
        # One line, whatever a rule is named.
        return f"{prefix}{' '.join(events[0]['name'].split())}"[:200]
    return f"{prefix}{len(events)} alerts"


def _body(events: Sequence[_Json]) -> str:
    lines = [f"{event['severity'].upper()}: {event['name']}\n{event['message']}\n" for event in events[:_NAMED]]
    if len(events) > _NAMED:
        lines.append(f"and {len(events) - _NAMED} more: see the alert history.\n")
    return "\n".join(lines)
