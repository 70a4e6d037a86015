"""Every change of state in safety: limits, verdicts, the kill switch, alerts, audit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import Error as DatabaseFault
from django.db import connection, models, transaction

from safety import counters, gate, killswitch, selectors, sentinel
from safety.choices import AlertKind, CounterName, Door, KillAction, Severity
from safety.errors import (
    KillSwitchNotActive,
    KillSwitchStuck,
    KillSwitchUnwritable,
    ResumeNeedsPerson,
)
from safety.events import KillSwitchChanged, kill_switch_changed
from safety.models import (
    EVERYTHING,
    SETTINGS_ID,
    AlertEvent,
    AuditLog,
    GateDecision,
    KillSwitch,
    KillSwitchEvent,
    SafetySettings,
)
from tradingsite.common import audit, live
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.decimals import DIGITS, PLACES, to_decimal
from tradingsite.common.errors import FieldError, PermissionDenied, PreconditionFailed, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

logger = logging.getLogger(__name__)

_STORABLE = Decimal(10) ** (DIGITS - PLACES)

# ------------------------------------------------------------------------------------------------------------ gate


def order_check(*, intent: gate.OrderIntent, exposure: gate.Exposure, actor: Actor, consume: bool) -> gate.Verdict:
    """Ask the gate, and record the verdict with the facts that it saw.

    Args:
        consume: True for an order that is sent when allowed: it takes its place in the day's count, in the caller's
            transaction. False for a preview, which counts nothing.

    Raises:
        RuntimeError: for `consume` outside a transaction, where a crash could count an order that never was.
    """
    if consume and not connection.in_atomic_block:
        raise RuntimeError("order_check needs the transaction of the order that it lets pass")
    limits = selectors.limits_current()
    switch = killswitch.state(strategy_id=intent.strategy_id)
    state = gate.SafetyState(
        kill_switch_active=switch.active,
        kill_switch_detail=switch.detail,
        trades_today=selectors.trades_today(intent.account_id),
    )
    verdict = gate.evaluate(intent, exposure, limits, state)
    if consume and verdict.allowed:
        # An order that reduces risk passes the limit, and still counts as one of the day's trades.
        limit = None if verdict.facts["reduces"] else limits.daily_trade_limit
        if not counters.take(account_id=intent.account_id, name=CounterName.TRADES, limit=limit):
            # Others took the last places since we looked.
            used = max(selectors.trades_today(intent.account_id), limits.daily_trade_limit or 0)
            verdict = gate.evaluate(intent, exposure, limits, replace(state, trades_today=used))
    decision = GateDecision.objects.create(
        allowed=verdict.allowed,
        code=verdict.code,
        detail=verdict.detail,
        preview=not consume,
        client_order_id=intent.client_order_id[:128],
        account_id=intent.account_id,
        strategy_id=intent.strategy_id,
        execution_id=intent.execution_id,
        symbol=intent.symbol[:32],
        side=intent.side[:10],
        order_type=intent.order_type[:20],
        quantity=_text(intent.quantity),
        limit_price=_text(intent.limit_price),
        reference_price=_text(intent.reference_price),
        mode=intent.mode[:10],
        notional=_storable(verdict.facts["notional"]),
        resulting_value=_storable(verdict.facts["resulting_value"]),
        facts=verdict.facts,
        actor_name=actor.name[:150],
    )
    return replace(verdict, decision_id=decision.pk)


def _text(number: object) -> str:
    return "" if number is None else str(number)[:80]


def _storable(text: str | None) -> Decimal | None:
    """Return a computed amount as the column takes it, None when it is beyond what a column holds."""
    if text is None:
        return None
    number = Decimal(text)
    if not number.is_finite() or abs(number) >= _STORABLE:
        return None
    return number.quantize(Decimal(1).scaleb(-PLACES))


# ---------------------------------------------------------------------------------------------------------- limits

_MONEY = ("position_limit", "order_notional_limit")


def limits_update(
    *, actor: Actor, changes: Mapping[str, Any], expected_version: int | None = None, reason: str = ""
) -> SafetySettings:
    """Change some limits; all are checked before one is written.

    Args:
        changes: limits by name; money as decimal strings or Decimals.
        expected_version: refuse when the settings have changed since this version was read.

    Raises:
        PermissionDenied: for anybody but an admin.
        ValidationFailed: naming every unknown name, wrong type, wrong sign, NaN or empty value.
        PreconditionFailed: on another version.
    """
    if not actor.may(Role.ADMIN):
        raise PermissionDenied("Only an admin changes limits.")
    with transaction.atomic():
        SafetySettings.objects.bulk_create([SafetySettings()], ignore_conflicts=True)
        row = SafetySettings.objects.select_for_update().get(pk=SETTINGS_ID)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(f"The limits are at version {row.version}, not {expected_version}.")
        before = selectors.limits_as_json(row)
        _apply_limits(row, changes)
        after = selectors.limits_as_json(row)
        changed = {name for name in after if after[name] != before[name]}
        if not changed:
            return row
        row.version += 1
        row.updated_at = utcnow()
        row.updated_by = actor.name[:150]
        row.save()
        audit.record(
            actor=actor,
            action="limits.update",
            target=row,
            before={name: before[name] for name in sorted(changed)},
            after={name: after[name] for name in sorted(changed)},
            reason=reason,
        )
    return row


def _apply_limits(row: SafetySettings, changes: Mapping[str, Any]) -> None:
    errors: list[FieldError] = []
    for name, value in changes.items():
        if name not in selectors.CODE_OF:
            errors.append(FieldError(name, "unknown_field", "There is no such limit."))
            continue
        kind = type(SafetySettings._meta.get_field(name))
        try:
            if name in _MONEY:
                value = to_decimal(value, name)
            elif kind is models.BooleanField and not isinstance(value, bool):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be true or false.")])
            elif kind is models.PositiveIntegerField and (not isinstance(value, int) or isinstance(value, bool)):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be a whole number.")])
            elif kind is models.CharField and not isinstance(value, str):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be a word.")])
        except ValidationFailed as error:
            errors.extend(error.errors)
            continue
        setattr(row, name, value)
    if errors:
        raise ValidationFailed("Some limits are not valid.", errors=errors)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise ValidationFailed(
            "Some limits are not valid.",
            errors=[FieldError(name, "invalid", " ".join(messages)) for name, messages in error.message_dict.items()],
        ) from None


# ----------------------------------------------------------------------------------------------------- kill switch


@dataclass(frozen=True)
class KillResult:
    """What a kill achieved.

    Attributes:
        sources: the halves that are set now: `database`, `file`.
        degraded: one half could not be written; the other one halts all the same. Kill again once it can.
        changed: False when the scope was already set in both halves.
    """

    scope: str
    sources: tuple[str, ...]
    degraded: bool
    changed: bool
    detail: str


def scope_named(scope: str | UUID) -> str:
    """Return the canonical name of a scope: `all`, or a strategy's id.

    Raises:
        ValidationFailed: for anything else; a scope names a file, too.
    """
    return EVERYTHING if scope == EVERYTHING else str(parse_uuid(scope, "scope"))


def kill(*, actor: Actor, reason: str = "", scope: str | UUID = EVERYTHING) -> KillResult:
    """Set the switch of `scope`: the file first, since it needs no database, then the row.

    Latched: a second kill keeps the first one's reason and time.

    Raises:
        KillSwitchUnwritable: when neither half took it.
    """
    name = scope_named(scope)
    note = {"scope": name, "reason": reason, "by": actor.name, "since": rfc3339(utcnow())}
    changed, problems, sources = False, [], []
    try:
        changed = not sentinel.is_set(name)
        sentinel.write(name, note)
        sources.append(killswitch.FILE)
    except OSError as error:
        logger.critical("the kill switch's file of %s could not be written: %s", name, error)
        problems.append(f"the file could not be written ({error.strerror or error})")
    try:
        changed = _kill_row(actor=actor, name=name, reason=reason) or changed
        sources.append(killswitch.DATABASE)
    except DatabaseFault as error:
        logger.critical("the kill switch's row of %s could not be written: %s", name, error)
        problems.append("the database did not take it")
        _tell(name, True, reason, actor)
    if not sources:
        raise KillSwitchUnwritable(f"Nothing is stopped: {' and '.join(problems)}. Stop the processes by hand.")
    if killswitch.FILE in sources:
        try:
            # A resume that was under way may have removed the file while this kill waited for the row.
            sentinel.write(name, note)
        except OSError as error:
            logger.critical("the kill switch's file of %s could not be written again: %s", name, error)
            problems.append("the file could not be written again")
    detail = f"Set, but {' and '.join(problems)}." if problems else ("Set." if changed else "It was already set.")
    return KillResult(name, tuple(sorted(sources)), bool(problems), changed, detail)


def _kill_row(*, actor: Actor, name: str, reason: str) -> bool:
    """Set the row, and return whether that changed it."""
    with transaction.atomic():
        KillSwitch.objects.bulk_create([KillSwitch(scope=name)], ignore_conflicts=True)
        row = KillSwitch.objects.select_for_update().get(pk=name)
        if row.active:
            return False
        row.active, row.reason, row.since = True, reason, utcnow()
        row.by, row.by_user_id = actor.name[:150], actor.user_id
        row.save()
        _remember(actor=actor, row=row, action=KillAction.KILLED, reason=reason)
        what = "everything" if name == EVERYTHING else f"strategy {name}"
        alert_raise(
            kind=AlertKind.KILL_SWITCH,
            name="Kill switch",
            severity=Severity.CRITICAL,
            message=f"{actor.name} stopped {what}{': ' + reason if reason else ''}.",
            actor=actor,
        )
        transaction.on_commit(lambda: _tell(name, True, reason, actor))
    return True


def resume(*, actor: Actor, reason: str, scope: str | UUID = EVERYTHING) -> None:
    """Clear both halves of the switch of `scope`.

    Raises:
        ResumeNeedsPerson: for a program, or a person below operator.
        ValidationFailed: without a reason.
        KillSwitchNotActive: when neither half is set.
        KillSwitchStuck: when one half could not be cleared; everything stays as it was, halted.
    """
    name = scope_named(scope)
    if actor.kind != "user" or not actor.may(Role.OPERATOR):
        raise ResumeNeedsPerson(
            "An operator or an admin resumes, signed in as themselves; a key or a program does not."
        )
    if not reason.strip():
        raise ValidationFailed(errors=[FieldError("reason", "required", "Say why it is safe to go on.")])
    try:
        with transaction.atomic():
            KillSwitch.objects.bulk_create([KillSwitch(scope=name)], ignore_conflicts=True)
            row = KillSwitch.objects.select_for_update().get(pk=name)
            if not row.active and not sentinel.is_set(name):
                raise KillSwitchNotActive(f"The switch of {name} is not set.")
            row.active = False
            row.save(update_fields=["active"])
            _remember(actor=actor, row=row, action=KillAction.RESUMED, reason=reason)
            alert_raise(
                kind=AlertKind.KILL_SWITCH,
                name="Kill switch",
                severity=Severity.WARNING,
                message=f"{actor.name} resumed {'everything' if name == EVERYTHING else f'strategy {name}'}: {reason}",
                actor=actor,
            )
            transaction.on_commit(lambda: _tell(name, False, reason, actor))
            # Last, and inside: when the file stays, so does the row; when the commit fails, the row still halts.
            sentinel.clear(name)
    except OSError as error:
        raise KillSwitchStuck(f"The file could not be cleared ({error.strerror or error}); still halted.") from error
    except DatabaseFault as error:
        raise KillSwitchStuck("The database did not take it; still halted.") from error


def _remember(*, actor: Actor, row: KillSwitch, action: KillAction, reason: str) -> None:
    KillSwitchEvent.objects.create(
        scope=row.scope,
        action=action,
        reason=reason,
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        actor_user_id=actor.user_id,
        request_id=actor.request_id[:64],
    )
    active = action == KillAction.KILLED
    audit.record(
        actor=actor,
        action="kill_switch.kill" if active else "kill_switch.resume",
        target=row,
        before={"active": not active},
        after={"active": active},
        reason=reason,
    )


def _tell(scope: str, active: bool, reason: str, actor: Actor) -> None:
    # A listener that fails is logged by the dispatcher; it never undoes a kill.
    event = KillSwitchChanged(scope=scope, active=active, reason=reason, by=actor.name)
    kill_switch_changed.send_robust(KillSwitch, event=event)


# ---------------------------------------------------------------------------------------------------------- alerts


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


# ----------------------------------------------------------------------------------------------------------- audit


def audit_write(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str,
) -> None:
    """Write one audit row, in the caller's transaction: a change that cannot be recorded does not happen."""
    AuditLog.objects.create(
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        actor_user_id=actor.user_id,
        actor_role=actor.role.slug if actor.role is not None else "",
        door=_door(actor),
        request_id=actor.request_id[:64],
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_repr=str(target)[:200],
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        reason=reason,
    )


def _door(actor: Actor) -> Door:
    if actor.kind == "system":
        return Door.SYSTEM
    return Door.API if actor.kind == "api_key" or actor.request_id else Door.SITE
