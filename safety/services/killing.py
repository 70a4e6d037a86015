"""Setting and clearing the kill switch."""

import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import Error as DatabaseFault
from django.db import transaction

from safety import killswitch, sentinel
from safety.choices import AlertKind, KillAction, Severity
from safety.errors import KillSwitchNotActive, KillSwitchStuck, KillSwitchUnwritable, ResumeNeedsPerson
from safety.events import KillSwitchChanged, kill_switch_changed
from safety.models import EVERYTHING, KillSwitch, KillSwitchEvent
from safety.services.alerts import alert_raise
from safety.webhooks import kill_switch_told
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

logger = logging.getLogger(__name__)


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
    strategy_id = None if row.scope == EVERYTHING else UUID(row.scope)
    kill_switch_told(scope=row.scope, active=active, reason=reason, by=actor.name, strategy_id=strategy_id)


def _tell(scope: str, active: bool, reason: str, actor: Actor) -> None:
    # A listener that fails is logged by the dispatcher; it never undoes a kill.
    event = KillSwitchChanged(scope=scope, active=active, reason=reason, by=actor.name)
    kill_switch_changed.send_robust(KillSwitch, event=event)
