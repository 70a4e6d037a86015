"""Telling safety what accounts are worth, often enough for its breaker."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from portfolio.equity import equity_at_day_start, valuation
from portfolio.errors import AccountUnknown
from portfolio.models import Account, Fill
from safety import selectors as safety
from safety.errors import KillSwitchUnwritable
from safety.models import DrawdownBreaker
from safety.services import breaker_enforce, breaker_note


def drawdowns_watch(*, wall: datetime) -> int:
    """Have the breaker look at every account that has traded and that nobody has looked at a moment ago.

    An account with a position that has no price is left out: the breaker judges no guesses, and the gate takes no order
    of it that adds to a risk, since its equity is a missing fact.

    Returns:
        How many accounts were looked at.

    Raises:
        KillSwitchUnwritable: when an account called for a kill that nothing would take, after a look at the others.
    """
    looked, failed = 0, None
    for account in Account.objects.filter(Exists(Fill.objects.filter(account=OuterRef("pk")))):
        seen = safety.breaker_of(account.pk)
        if seen is not None and safety.just_sampled(seen, wall):
            continue
        row = _look(account.pk, wall)
        if row is None:
            continue
        try:
            # After the commit: a kill may take seconds, and nothing of the account is locked meanwhile.
            breaker_enforce(row)
        except KillSwitchUnwritable as error:
            failed = error
        looked += 1
    if failed is not None:
        raise failed
    return looked


def _look(account_id: UUID, wall: datetime) -> DrawdownBreaker | None:
    """Lock the account, then look: cash, positions and the breaker's memory are of one moment. None for no valuation."""
    with transaction.atomic():
        try:
            account = Account.objects.locked(account_id)
        except AccountUnknown:
            return None
        worth = valuation(account=account, wall=wall)
        if not worth.complete:
            return None
        return breaker_note(
            account_id=account_id,
            equity=worth.equity,
            day_pnl=worth.equity - equity_at_day_start(account),
            at=wall,
        )
