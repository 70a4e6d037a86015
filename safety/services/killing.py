"""Setting and clearing the kill switch."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseFault
from django.db import transaction

from safety import killswitch, sentinel
from safety.choices import AlertKind, KillAction, Severity
from safety.errors import KillSwitchNotActive, KillSwitchStuck, KillSwitchUnwritable
from safety.events import KillSwitchChanged, kill_switch_changed
from safety.models import EVERYTHING, KillSweep, KillSwitch, KillSwitchEvent
from safety.services.alerts import alert_raise
from safety.services.people import person_required
from safety.services.sweeps import sweep_begin
from safety.webhooks import kill_switch_told
from tradingsite.common import audit, database
from tradingsite.common.actor import Actor
from tradingsite.common.clock import parse_rfc3339, rfc3339, utcnow
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.ids import parse_uuid

logger = logging.getLogger(__name__)

_KINDS = ("user", "api_key", "system")


@dataclass(frozen=True)
class KillResult:
    """What a kill achieved.

    Attributes:
        sources: the halves that are set now: `database`, `file`.
        degraded: one half could not be written; the other one halts all the same, and `halves_mend` writes the
            missing one as soon as that can be done.
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


def kill(*, actor: Actor, reason: str = "", scope: str | UUID = EVERYTHING, flatten: bool = False) -> KillResult:
    """Set the switch of `scope`: the file first, since it needs no database, then the row.

    Latched: a second kill keeps the first one's reason and time. All orders of the scope that rest are cancelled: a
    first round before this returns, the others by whatever process carries work, until two samples confirm it.

    Args:
        flatten: close the scope's positions as well, by market orders through the gate. A later kill may add it.

    Raises:
        KillSwitchUnwritable: when neither half took it.
    """
    began = time.monotonic()
    name = scope_named(scope)
    note = _note(name, reason=reason, flatten=flatten, actor=actor, since=utcnow())
    changed, problems, sources = False, [], []
    try:
        changed = not sentinel.is_set(name)
        sentinel.write(name, note)
        sources.append(killswitch.FILE)
    except OSError as error:
        logger.critical("the kill switch's file of %s could not be written: %s", name, error)
        problems.append(f"the file could not be written ({error.strerror or error})")
    try:
        # Without it, each query of a desk whose database is gone would wait for the pool, and the caller with it.
        database.require_answer()
        changed = _kill_row(actor=actor, name=name, reason=reason, flatten=flatten) or changed
        sources.append(killswitch.DATABASE)
    except DatabaseFault as error:
        logger.critical("the kill switch's row of %s could not be written: %s", name, error)
        problems.append("the database did not take it; it is written when it does")
        if flatten and not changed:
            problems.append("that positions are to be closed is not noted: ask for it again then")
        if not isinstance(error, database.NoAnswer):
            _tell(name, True, reason, actor, written=False)
    if not sources:
        raise KillSwitchUnwritable(f"Nothing is stopped: {' and '.join(problems)}. Stop the processes by hand.")
    if killswitch.FILE in sources:
        try:
            # A resume that was under way may have removed the file while this kill waited for the row.
            sentinel.write(name, note)
        except OSError as error:
            logger.critical("the kill switch's file of %s could not be written again: %s", name, error)
            problems.append("the file could not be written again")
    if changed and killswitch.DATABASE in sources:
        _note_latency(name, time.monotonic() - began)
        transaction.on_commit(lambda: _tell(name, True, reason, actor))
    elif flatten and killswitch.DATABASE in sources:
        transaction.on_commit(lambda: _tell(name, True, reason, actor))
    detail = f"Set, but {' and '.join(problems)}." if problems else ("Set." if changed else "It was already set.")
    return KillResult(name, tuple(sorted(sources)), bool(problems), changed, detail)


def _kill_row(*, actor: Actor, name: str, reason: str, flatten: bool, since: datetime | None = None) -> bool:
    """Set the row and begin its sweep; return whether that changed the row."""
    with transaction.atomic():
        KillSwitch.objects.bulk_create([KillSwitch(scope=name)], ignore_conflicts=True)
        row = KillSwitch.objects.select_for_update().get(pk=name)
        sweep_begin(actor=actor, scope=name, flatten=flatten)
        if row.active:
            return False
        row.active, row.reason, row.since = True, reason, since or utcnow()
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
    return True


def _note_latency(name: str, seconds: float) -> None:
    try:
        with transaction.atomic():
            KillSweep.objects.filter(scope=name, resumed_at=None, latched_in_s=None).update(latched_in_s=seconds)
    except DatabaseFault as error:
        logger.warning("how long the kill of %s took could not be noted: %s", name, error)


def halves_mend() -> int:
    """Write the half of each set switch that could not be written by its kill; return how many were mended.

    Only ever sets: a half that is missing is never a reason to clear the other one.

    Raises:
        OSError: when the folder of the files cannot be read; everything is halted then anyway.
    """
    files = set(sentinel.scopes())
    rows = set(KillSwitch.objects.filter(active=True).values_list("scope", flat=True))
    return sum(_mend(name) for name in sorted(files ^ rows) if _is_scope(name))


def _mend(name: str) -> bool:
    with transaction.atomic():
        # A resume holds this row until both halves are clear, so what is seen now is nobody's work in progress.
        KillSwitch.objects.bulk_create([KillSwitch(scope=name)], ignore_conflicts=True)
        row = KillSwitch.objects.select_for_update().get(pk=name)
        is_set = sentinel.is_set(name)
        if row.active == is_set:
            return False
        if row.active:
            whose = Actor(kind="system" if row.by_user_id is None else "user", name=row.by, user_id=row.by_user_id)
            flatten = KillSweep.objects.filter(scope=name, resumed_at=None, flatten=True).exists()
            note = _note(name, reason=row.reason, flatten=flatten, actor=whose, since=row.since or utcnow())
            sentinel.write(name, note)
        else:
            note = sentinel.read(name)
            actor, reason = _actor_of(note), note.get("reason", "")
            flatten = note.get("flatten") == "true"
            _kill_row(actor=actor, name=name, reason=reason, flatten=flatten, since=_since_of(note))
            transaction.on_commit(lambda: _tell(name, True, reason, actor))
    logger.warning("the kill switch of %s is set in both halves again", name)
    return True


def _is_scope(name: str) -> bool:
    try:
        return scope_named(name) == name
    except ValidationFailed:
        return False


def _note(name: str, *, reason: str, flatten: bool, actor: Actor, since: datetime) -> dict[str, str]:
    return {
        "scope": name,
        "reason": reason,
        "by": actor.name,
        "by_kind": actor.kind,
        "by_user_id": "" if actor.user_id is None else str(actor.user_id),
        "since": rfc3339(since),
        "flatten": "true" if flatten else "false",
    }


def _actor_of(note: Mapping[str, str]) -> Actor:
    """Return who a file says has set it; somebody at the machine when it says nothing."""
    kind: Any = note.get("by_kind")
    user_id = note.get("by_user_id", "")
    if kind not in _KINDS or not note.get("by"):
        return Actor.system("kill switch file")
    return Actor(kind=kind, name=note["by"], user_id=int(user_id) if user_id.isdecimal() else None)


def _since_of(note: Mapping[str, str]) -> datetime:
    try:
        return parse_rfc3339(note.get("since", ""))
    except (ValueError, OverflowError):
        return utcnow()


def resume(*, actor: Actor, reason: str, scope: str | UUID = EVERYTHING) -> None:
    """Clear both halves of the switch of `scope`. Cancels that are not confirmed are tried on; closings are not.

    Raises:
        ResumeNeedsPerson: for a program, or a person below operator.
        ValidationFailed: without a reason.
        KillSwitchNotActive: when neither half is set.
        KillSwitchStuck: when one half could not be cleared; everything stays as it was, halted.
    """
    name = scope_named(scope)
    person_required(actor=actor, reason=reason)
    try:
        with transaction.atomic():
            KillSwitch.objects.bulk_create([KillSwitch(scope=name)], ignore_conflicts=True)
            row = KillSwitch.objects.select_for_update().get(pk=name)
            if not row.active and not sentinel.is_set(name):
                raise KillSwitchNotActive(f"The switch of {name} is not set.")
            row.active = False
            row.save(update_fields=["active"])
            KillSweep.objects.filter(scope=name, resumed_at=None).update(resumed_at=utcnow())
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


def _tell(scope: str, active: bool, reason: str, actor: Actor, *, written: bool = True) -> None:
    # A listener that fails is logged by the dispatcher; it never undoes a kill.
    event = KillSwitchChanged(scope=scope, active=active, reason=reason, by=actor.name, written=written)
    kill_switch_changed.send_robust(KillSwitch, event=event)
