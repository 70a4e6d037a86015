"""Comparing an account at the moment in which a person clears what blocks it."""

from uuid import UUID

from portfolio.models import Account
from portfolio.reconciliation import account_reconcile
from safety.comparison import Comparison
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow


def account_compare(actor: Actor, account_id: UUID) -> Comparison:
    """Hold an account against its broker; one that is gone has no books that could differ."""
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        return Comparison(compared=True)
    found = account_reconcile(actor=actor, account=account, wall=utcnow())
    differences = tuple(f"{each.kind}: {each}" for each in found.differences)
    return Comparison(found.compared, differences, found.problem)
