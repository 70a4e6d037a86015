"""Making, changing, snoozing and deleting alert rules."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F

from market import selectors as market
from market.sources import demo
from safety.alerting.kinds import KINDS, config_checked
from safety.choices import AlertChannel, Severity
from safety.errors import AlertRuleNotDeleted, AlertRuleNotFound
from safety.models import EVERYTHING, AlertEvent
from safety.models.alert_rules import AlertRule, AlertState
from tradingsite.common import audit, live
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.directories import STRATEGY, WORKFLOW, is_known
from tradingsite.common.decimals import decimal_string, to_decimal
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.owners import require_owner

Precondition = Callable[[AlertRule], None]
COOLDOWN_MAX_S = 31 * 86_400
SNOOZE_MAX = timedelta(days=366)
BODY: Mapping[str, Any] = {
    "symbol": "",
    "threshold": None,
    "config": {},
    "severity": Severity.WARNING.value,
    "cooldown_s": 0,
    "channels": [AlertChannel.IN_APP.value],
    "enabled": True,
}
# What a look depends on. The rest may change without the rule forgetting what it has seen.
_WATCHED = frozenset({"kind", "symbol", "threshold", "config"})


def _nothing(row: AlertRule) -> None:
    return None


@transaction.atomic
def alert_rule_create(*, actor: Actor, name: str, kind: str, **fields: Any) -> AlertRule:
    """Write a rule; the next round looks at it.

    Raises:
        ValidationFailed: naming every wrong field.
    """
    row = AlertRule(created_by_id=actor.user_id)
    _fill(row, {"name": name, "kind": kind, **BODY, **fields})
    row.save(force_insert=True)
    audit.record(actor=actor, action="alert.create", target=row, after=summary(row))
    return row


@transaction.atomic
def alert_rule_update(
    *, actor: Actor, rule_id: UUID, changes: Mapping[str, Any], precondition: Precondition = _nothing
) -> AlertRule:
    """Change fields of a rule. One that watches something else now, or is enabled again, starts anew.

    Raises:
        AlertRuleNotFound, PermissionDenied, PreconditionFailed
        ValidationFailed: naming every wrong field.
    """
    row = _locked(actor, rule_id)
    precondition(row)
    before, earlier = summary(row), {name: getattr(row, name) for name in ("name", "kind", *BODY)}
    _fill(row, {**earlier, **changes})
    after = summary(row)
    if after == before:
        return row
    anew = any(getattr(row, name) != earlier[name] for name in _WATCHED) or (row.enabled and not earlier["enabled"])
    _save(row, anew=anew)
    audit.record(actor=actor, action="alert.update", target=row, before=before, after=after)
    return row


def alert_rule_switch(*, actor: Actor, rule_id: UUID, enabled: bool) -> AlertRule:
    """Let a rule be looked at, or no more. Enabled again it knows nothing of the time between.

    Raises:
        AlertRuleNotFound, PermissionDenied
    """
    return alert_rule_update(actor=actor, rule_id=rule_id, changes={"enabled": enabled})


@transaction.atomic
def alert_rule_snooze(*, actor: Actor, rule_id: UUID, until: datetime | None) -> AlertRule:
    """Let a rule raise nothing until a moment; None ends that at once. It goes on being looked at.

    Raises:
        AlertRuleNotFound, PermissionDenied
        ValidationFailed: for a moment that is past, or more than a year away.
    """
    row = _locked(actor, rule_id)
    now = utcnow()
    if until is not None and not now < until <= now + SNOOZE_MAX:
        detail = f"Must be later than now and within {SNOOZE_MAX.days} days."
        raise ValidationFailed(errors=[FieldError("until", "out_of_range", detail)])
    before = row.snoozed_until
    if before != until:
        row.snoozed_until = until
        _save(row, anew=False)
        audit.record(
            actor=actor,
            action="alert.snooze" if until else "alert.unsnooze",
            target=row,
            before={"snoozed_until": before and rfc3339(before)},
            after={"snoozed_until": until and rfc3339(until)},
        )
    return row


@transaction.atomic
def alert_rule_acknowledge(*, actor: Actor, rule_id: UUID) -> int:
    """Mark every alert of a rule as seen that nobody has seen yet, and return how many those were.

    Raises:
        AlertRuleNotFound, PermissionDenied
    """
    row = _locked(actor, rule_id)
    now = utcnow()
    waiting = AlertEvent.objects.select_for_update(of=("self",)).filter(alert_id=row.pk, acknowledged_at=None)
    ids = list(waiting.order_by("id").values_list("pk", flat=True))
    if not ids:
        return 0
    AlertEvent.objects.filter(pk__in=ids).update(acknowledged_at=now, acknowledged_by=actor.name[:150], updated_at=now)
    at = rfc3339(now)
    audit.record(actor=actor, action="alert.acknowledge_all", target=row, after={"alerts": len(ids)})
    told = [{"id": str(pk), "acknowledged_at": at, "by": actor.name} for pk in ids]
    live.publish_all("alerts", "alert_acknowledged", told)
    return len(ids)


@transaction.atomic
def alert_rule_delete(*, actor: Actor, rule_id: UUID, precondition: Precondition = _nothing) -> None:
    """Hide a rule; its history stays.

    Raises:
        AlertRuleNotFound, PermissionDenied, PreconditionFailed
    """
    row = _locked(actor, rule_id)
    precondition(row)
    row.deleted_at = utcnow()
    _save(row, anew=False)
    audit.record(actor=actor, action="alert.delete", target=row, before=summary(row))


@transaction.atomic
def alert_rule_restore(*, actor: Actor, rule_id: UUID) -> AlertRule:
    """Bring a deleted rule back, disabled.

    Raises:
        AlertRuleNotFound, AlertRuleNotDeleted, PermissionDenied
    """
    if AlertRule.objects.alive().filter(pk=rule_id).exists():
        raise AlertRuleNotDeleted
    row = _locked(actor, rule_id, deleted=True)
    row.deleted_at, row.enabled = None, False
    _save(row, anew=True)
    audit.record(actor=actor, action="alert.restore", target=row, after=summary(row))
    return row


def summary(row: AlertRule) -> dict[str, Any]:
    """Return what the audit keeps of a rule."""
    plain = ("name", "kind", "symbol", "config", "severity", "cooldown_s", "channels", "enabled")
    threshold = None if row.threshold is None else decimal_string(row.threshold)
    return {**{name: getattr(row, name) for name in plain}, "threshold": threshold}


def _locked(actor: Actor, rule_id: UUID, *, deleted: bool = False) -> AlertRule:
    rows = AlertRule.objects.dead() if deleted else AlertRule.objects.alive()
    row: AlertRule | None = rows.select_for_update(of=("self",)).filter(pk=rule_id).first()
    if row is None:
        raise AlertRuleNotFound(f"There is no alert rule {rule_id}.")
    require_owner(actor=actor, created_by_id=row.created_by_id)
    return row


def _save(row: AlertRule, *, anew: bool) -> None:
    """Save a locked rule as its next version, by which a look that began before is found to be out of date."""
    row.version += 1
    if anew:
        row.watched_since = utcnow()
        # What it has told and when stays known: a cool-down is not ended by a change.
        AlertState.objects.filter(rule=row).update(
            revision=F("revision") + 1, met=None, problem="", detail="", value=None, observed_at=None, since=None
        )
    row.save()


def _fill(row: AlertRule, said: Mapping[str, Any]) -> None:
    errors = [
        FieldError(name, "unknown_field", "This field is not known here.")
        for name in said
        if name not in BODY and name not in ("name", "kind")
    ]
    if said["kind"] not in KINDS:
        errors.append(FieldError("kind", "invalid_choice", f"Must be one of {', '.join(KINDS)}."))
    if said["severity"] not in Severity.values:
        errors.append(FieldError("severity", "invalid_choice", f"Must be one of {', '.join(Severity.values)}."))
    if not isinstance(said["enabled"], bool):
        errors.append(FieldError("enabled", "invalid", "Must be true or false."))
    errors += [*_name_errors(said["name"]), *_cooldown_errors(said["cooldown_s"])]
    threshold = _threshold(said["threshold"], errors)
    errors += _channel_errors(said["channels"], row.created_by_id)
    config: dict[str, Any] = {}
    if said["kind"] in KINDS:
        try:
            config = config_checked(said["kind"], symbol=said["symbol"], threshold=threshold, config=said["config"])
        except ValidationFailed as failure:
            errors += failure.errors
        else:
            errors += [*_symbol_errors(said["symbol"], config), *_directory_errors(config, row.config)]
    if errors:
        raise ValidationFailed("The alert rule is not valid.", errors=errors)
    row.name, row.kind, row.symbol = said["name"].strip(), said["kind"], said["symbol"]
    row.threshold, row.config = threshold, config
    row.severity, row.cooldown_s, row.enabled = said["severity"], said["cooldown_s"], said["enabled"]
    row.channels = [channel for channel in AlertChannel.values if channel in said["channels"]]


def _name_errors(name: object) -> list[FieldError]:
    text = name.strip() if isinstance(name, str) else ""
    if text and len(text) <= 120 and text.isprintable():
        return []
    return [FieldError("name", "invalid", "Must be 1 to 120 printable characters.")]


def _cooldown_errors(value: object) -> list[FieldError]:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COOLDOWN_MAX_S:
        return []
    return [FieldError("cooldown_s", "out_of_range", f"Must be a whole number from 0 to {COOLDOWN_MAX_S}.")]


def _threshold(value: object, errors: list[FieldError]) -> Decimal | None:
    if value is None:
        return None
    try:
        return to_decimal(value, "threshold")
    except ValidationFailed as failure:
        errors += failure.errors
        return None


def _channel_errors(channels: object, owner_id: int | None) -> list[FieldError]:
    if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
        return [FieldError("channels", "invalid", f"Must be a list of {', '.join(AlertChannel.values)}.")]
    errors = []
    for index, channel in enumerate(channels):
        if channel not in AlertChannel.values:
            detail = f"Must be one of {', '.join(AlertChannel.values)}."
            errors.append(FieldError(f"channels/{index}", "invalid_choice", detail))
        elif channel == AlertChannel.EMAIL and not settings.EMAIL_ENABLED:
            detail = "This desk sends no e-mails: its administrator sets EMAIL_URL."
            errors.append(FieldError(f"channels/{index}", "email_not_set_up", detail))
        elif channel == AlertChannel.EMAIL and not _has_address(owner_id):
            detail = "The rule's owner has no e-mail address: an administrator adds it to the account."
            errors.append(FieldError(f"channels/{index}", "owner_without_email", detail))
    return errors


def _has_address(user_id: int | None) -> bool:
    return user_id is not None and get_user_model().objects.filter(pk=user_id).exclude(email="").exists()


def _symbol_errors(symbol: str, config: Mapping[str, Any]) -> list[FieldError]:
    """Refuse a symbol that nobody knows: a slip of the finger would be found at the first look only."""
    if not symbol or config.get("source") == demo.SLUG or symbol in market.instruments_by_symbol([symbol]):
        return []
    detail = f"{symbol!r} is not known. Import bars for it, or add it under market/instruments."
    return [FieldError("symbol", "unknown_symbol", detail)]


def _directory_errors(config: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """Refuse a strategy or a workflow that is not there: the rule would listen for ever and hear nothing.

    One that the rule has may have been deleted since: its other fields can still be changed.
    """
    named = (
        ("workflow_id", WORKFLOW, "workflows"),
        ("strategy_id", STRATEGY, "strategies"),
        ("scope", STRATEGY, "strategies"),
    )
    errors = []
    for name, slug, path in named:
        said = config.get(name)
        if said is None or said == before.get(name) or (name == "scope" and said == EVERYTHING):
            continue
        if not _is_known(slug, said):
            detail = f"There is no such {slug}: take an id of GET /api/{path}, or null for any."
            errors.append(FieldError(f"config/{name}", f"unknown_{slug}", detail))
    return errors


def _is_known(slug: str, said: str) -> bool:
    try:
        return is_known(slug, parse_uuid(said, slug))
    except ValidationFailed:
        return False
