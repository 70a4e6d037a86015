"""Watching accounts with the graduated breaker, and letting a person end what it has stopped."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from safety import drawdown, selectors
from safety.choices import AlertKind, BreakerLevel, Severity
from safety.errors import BreakerNotTripped, BreakerUnknown
from safety.models import DrawdownBreaker
from safety.services.alerts import alert_raise
from safety.services.killing import kill
from safety.services.people import person_required
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

BREAKER = Actor.system("drawdown breaker")

_SEVERITY = {
    BreakerLevel.WARN: Severity.WARNING,
    BreakerLevel.REDUCE: Severity.CRITICAL,
    BreakerLevel.KILL: Severity.CRITICAL,
}
_MEANS = {
    BreakerLevel.WARN: "Nothing is stopped yet",
    BreakerLevel.REDUCE: "It only takes orders that make a position smaller, until a person resumes it",
    BreakerLevel.KILL: "Everything is being stopped",
}


def breaker_sample(*, account_id: UUID, equity: Decimal, day_pnl: Decimal, at: datetime) -> DrawdownBreaker:
    """Look at an account once and do what its level calls for: `breaker_note`, then `breaker_enforce`.

    Raises:
        KillSwitchUnwritable: when the level calls for a kill that nothing would take; the level itself is kept.
    """
    return breaker_enforce(breaker_note(account_id=account_id, equity=equity, day_pnl=day_pnl, at=at))


def breaker_note(*, account_id: UUID, equity: Decimal, day_pnl: Decimal, at: datetime) -> DrawdownBreaker:
    """Take one sample of an account: raise its level, with an alert, when two samples agree.

    All that is remembered stands in the database, so that any process goes on where another one stopped. Who knows the
    account locks it before looking at what it is worth, and until this sample is committed: cash that moved in between
    would be in the peak and not in the equity.

    Args:
        equity: what the account is worth, unrealised losses included. The drawdown of an account that is looked at for
            the first time begins with it: what it was worth before was never confirmed by a second look.
        day_pnl: what it has won or lost today, to be shown.
    """
    with transaction.atomic():
        row = _locked(account_id=account_id, equity=equity, at=at)
        before = row.watch
        after = drawdown.sampled(before, equity=equity, at=at, thresholds=selectors.breaker_thresholds())
        if after is not before:
            row.watch, row.day_pnl = after, day_pnl
            if after.level is not before.level:
                # The kill of this fall has yet to be done, whatever is remembered of an earlier one.
                row.killed_at = None
                _changed(row, before.level)
            row.save()
    return row


def breaker_enforce(row: DrawdownBreaker) -> DrawdownBreaker:
    """Kill when the account's level calls for it and that was not done yet; outside the transaction of the sample.

    A kill that could not be done is tried again with every sample, until the account is resumed.

    Raises:
        KillSwitchUnwritable: when nothing would take the kill; the level itself is kept.
    """
    account_id = row.account_id
    if row.level == BreakerLevel.KILL and row.killed_at is None:
        kill(actor=BREAKER, reason=f"Account {account_id} is {row.fall:.2%} below its highest equity")
        # A kill may take seconds, and nothing is locked meanwhile: a person may have resumed the account by now, and a
        # row that says that it was killed would let its next fall pass without a kill.
        of_this_fall = DrawdownBreaker.objects.filter(pk=account_id, level=BreakerLevel.KILL, killed_at=None)
        of_this_fall.update(killed_at=utcnow())
        row.refresh_from_db()
    return row


def _locked(*, account_id: UUID, equity: Decimal, at: datetime) -> DrawdownBreaker:
    row = DrawdownBreaker.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        first = DrawdownBreaker(account_id=account_id)
        first.watch = drawdown.begin(equity=equity, peak=equity, at=at)
        DrawdownBreaker.objects.bulk_create([first], ignore_conflicts=True)
        row = DrawdownBreaker.objects.select_for_update().get(pk=account_id)
    return row


def _changed(row: DrawdownBreaker, before: BreakerLevel) -> None:
    row.since = utcnow()
    level = BreakerLevel(row.level)
    audit.record(
        actor=BREAKER,
        action="breaker.level",
        target=row,
        before={"level": before},
        after={"level": level, "fall": str(row.fall), "equity": str(row.equity), "peak": str(row.peak)},
    )
    if level is not BreakerLevel.NORMAL:
        alert_raise(
            kind=AlertKind.DRAWDOWN,
            name=f"Drawdown breaker: {level.label.lower()}",
            severity=_SEVERITY[level],
            message=f"Account {row.account_id} is {row.fall:.2%} below its highest equity. {_MEANS[level]}.",
            value=row.fall,
            threshold=selectors.breaker_thresholds()[level],
            actor=BREAKER,
        )


def breaker_cash_moved(*, account_id: UUID, amount: Decimal) -> None:
    """Take cash that came to an account (or went, below zero) for neither a profit nor a loss.

    Raises:
        RuntimeError: outside the transaction that writes the movement, where the breaker could see one without the other.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("breaker_cash_moved needs the transaction of the movement")
    row = DrawdownBreaker.objects.select_for_update().filter(pk=account_id).first()
    if row is not None:
        row.watch = drawdown.moved(row.watch, amount)
        row.save()


def breaker_resume(*, actor: Actor, account_id: UUID, reason: str) -> DrawdownBreaker:
    """Let an account trade again, and measure its drawdown from its present equity on.

    A kill switch that the breaker has set stays set: resuming it is a decision of its own.

    Raises:
        ResumeNeedsPerson: for a program, or a person below operator.
        ValidationFailed: without a reason.
        BreakerUnknown: for an account that was never looked at.
        BreakerNotTripped: when there is nothing to resume: the account stands at its peak, at the normal level.
    """
    person_required(actor=actor, reason=reason)
    with transaction.atomic():
        row = DrawdownBreaker.objects.select_for_update().filter(pk=account_id).first()
        if row is None:
            raise BreakerUnknown(f"No account {account_id} has been watched yet.")
        if row.level == BreakerLevel.NORMAL and row.fall == 0:
            raise BreakerNotTripped(f"Account {account_id} is at its normal level, and at its peak.")
        before = {"level": row.level, "fall": str(row.fall), "peak": str(row.peak)}
        row.watch = drawdown.resumed(row.watch)
        row.since, row.killed_at = utcnow(), None
        row.save()
        audit.record(
            actor=actor,
            action="breaker.resume",
            target=row,
            before=before,
            after={"level": row.level, "peak": str(row.peak)},
            reason=reason,
        )
        alert_raise(
            kind=AlertKind.DRAWDOWN,
            name="Drawdown breaker: resumed",
            severity=Severity.WARNING,
            message=f"{actor.name} resumed account {account_id}: {reason}",
            actor=actor,
        )
    return row
