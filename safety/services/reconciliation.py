"""Blocking an account whose books differ from its broker's, and letting it trade again."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from safety import comparison
from safety.choices import AlertKind, Severity
from safety.errors import ReconciliationNotBlocked, ReconciliationNotCompared, ReconciliationStillDiffers
from safety.models import ReconciliationBlock
from safety.services.alerts import alert_raise
from safety.services.people import person_required
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed


def reconciliation_block(*, actor: Actor, account_id: UUID, code: str, detail: str = "") -> bool:
    """Let no order of the account pass the gate until this reason is cleared.

    Blocking twice for the same reason keeps the first time and the first detail, counts, and writes nothing unless the
    detail is another.

    Args:
        code: the kind of mismatch, upper case; an account may be blocked for several at once.
        detail: for people: what differs, and by how much.

    Returns:
        Whether anything was written.
    """
    now = utcnow()
    with transaction.atomic():
        row, made = ReconciliationBlock.objects.select_for_update().get_or_create(
            account_id=account_id,
            code=code,
            defaults={"detail": detail, "first_detail": detail, "since": now, "last_at": now},
        )
        if not made and row.detail == detail:
            return False
        before = None if made else {"detail": row.detail}
        if not made:
            row.detail, row.times, row.last_at = detail, row.times + 1, now
            row.save(update_fields=["detail", "times", "last_at"])
        audit.record(
            actor=actor,
            action="reconciliation.block" if made else "reconciliation.update",
            target=row,
            before=before,
            after={"account_id": str(account_id), "code": code, "detail": detail, "times": row.times},
        )
    return True


def reconciliation_clear(
    *, actor: Actor, account_id: UUID, codes: Collection[str] | None = None, reason: str
) -> list[str]:
    """Take reasons away without asking anybody: for the comparison itself. A person goes by `..._clear_by_person`.

    Args:
        codes: the reasons that no longer hold; all of them when None.
        reason: how that is known: what was compared, or who looked.

    Returns:
        The codes that were cleared; the account trades again once none is left.
    """
    with transaction.atomic():
        rows = list(ReconciliationBlock.objects.select_for_update().filter(account_id=account_id))
        left = [row.code for row in rows]
        cleared = []
        for row in rows:
            if codes is not None and row.code not in codes:
                continue
            before = {"account_id": str(account_id), "code": row.code, "detail": row.detail}
            left.remove(row.code)
            audit.record(
                actor=actor,
                action="reconciliation.clear",
                target=row,
                before=before,
                after={"account_id": str(account_id), "still_blocked_for": list(left)},
                reason=reason,
            )
            row.delete()
            cleared.append(row.code)
    return cleared


def reconciliation_clear_by_person(
    *, actor: Actor, account_id: UUID, codes: Collection[str], reason: str
) -> list[ReconciliationBlock]:
    """Take away what a person has looked at. The one door for people: command, API and admin all come through here.

    The account is held against its broker first, and nothing is cleared unless the books agree: what still differs
    would block it again with the next round, after orders on wrong books. What this comparison takes over is a
    difference as well, for nobody has looked at it yet. All of the codes are cleared, or none.

    Returns:
        What still blocks the account.

    Raises:
        ResumeNeedsPerson: for a program, or a person below operator.
        ValidationFailed: without a reason, or without a code.
        ReconciliationNotBlocked: when the account is not blocked for one of them.
        ReconciliationStillDiffers: when something differs now, or what is to be cleared has changed meanwhile.
        ReconciliationNotCompared: when the broker gives no certain answer.
    """
    person_required(actor=actor, reason=reason)
    wanted = set(codes)
    if not wanted:
        raise ValidationFailed(errors=[FieldError("codes", "required", "Name what you have looked at.")])
    seen = _details(account_id)
    if missing := sorted(wanted - seen.keys()):
        blocked = f"It is blocked for {', '.join(sorted(seen))}." if seen else "Nothing blocks it."
        raise ReconciliationNotBlocked(f"The account is not blocked for {', '.join(missing)}. {blocked}")
    # Not within a transaction: a broker may take seconds to answer.
    found = comparison.compare(actor, account_id)
    if found.differences:
        raise ReconciliationStillDiffers(f"Nothing was cleared; look again. {'; '.join(found.differences)}.")
    if not found.compared:
        raise ReconciliationNotCompared(f"Nothing was cleared; try again later. {found.problem}")
    with transaction.atomic():
        now = _details(account_id, lock=True)
        # What a comparison that succeeds takes away itself may be gone by now.
        if changed := sorted(code for code in wanted & now.keys() if now[code] != seen[code]):
            raise ReconciliationStillDiffers(
                f"Nothing was cleared; {', '.join(changed)} changed meanwhile: look again."
            )
        reconciliation_clear(actor=actor, account_id=account_id, codes=wanted, reason=reason)
        left = list(ReconciliationBlock.objects.filter(account_id=account_id))
        rest = f"It is still blocked for {', '.join(row.code for row in left)}" if left else "It trades again"
        alert_raise(
            kind=AlertKind.POSITIONS,
            name="Reconciliation: cleared",
            severity=Severity.WARNING,
            message=f"{actor.name} cleared {', '.join(sorted(wanted))} of account {account_id}: {reason}. {rest}.",
            actor=actor,
        )
    return left


def _details(account_id: UUID, *, lock: bool = False) -> dict[str, str]:
    rows = ReconciliationBlock.objects.filter(account_id=account_id)
    return dict((rows.select_for_update() if lock else rows).values_list("code", "detail"))
