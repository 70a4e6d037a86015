"""Blocking an account whose books differ from its broker's, and letting it trade again."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from safety.models import ReconciliationBlock
from tradingsite.common import audit
from tradingsite.common.actor import Actor


def reconciliation_block(*, actor: Actor, account_id: UUID, code: str, detail: str = "") -> bool:
    """Let no order of the account pass the gate until this reason is cleared.

    Blocking twice for the same reason keeps the first time, and writes nothing unless the detail is another.

    Args:
        code: the kind of mismatch, upper case; an account may be blocked for several at once.
        detail: for people: what differs, and by how much.

    Returns:
        Whether anything was written.
    """
    with transaction.atomic():
        row, made = ReconciliationBlock.objects.select_for_update().get_or_create(
            account_id=account_id, code=code, defaults={"detail": detail}
        )
        if not made and row.detail == detail:
            return False
        before = None if made else {"detail": row.detail}
        if not made:
            row.detail = detail
            row.save(update_fields=["detail"])
        audit.record(
            actor=actor,
            action="reconciliation.block" if made else "reconciliation.update",
            target=row,
            before=before,
            after={"account_id": str(account_id), "code": code, "detail": detail},
        )
    return True


def reconciliation_clear(
    *, actor: Actor, account_id: UUID, codes: Collection[str] | None = None, reason: str
) -> list[str]:
    """Take reasons away; the account trades again once none is left.

    Args:
        codes: the reasons that no longer hold; all of them when None.
        reason: how that is known: what was compared, or who looked.

    Returns:
        The codes that were cleared.
    """
    with transaction.atomic():
        rows = ReconciliationBlock.objects.select_for_update().filter(account_id=account_id)
        if codes is not None:
            rows = rows.filter(code__in=list(codes))
        cleared = []
        for row in list(rows):
            before = {"account_id": str(account_id), "code": row.code, "detail": row.detail}
            audit.record(actor=actor, action="reconciliation.clear", target=row, before=before, reason=reason)
            row.delete()
            cleared.append(row.code)
    return cleared
