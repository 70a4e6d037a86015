"""Blocking an account whose books differ from its broker's, so that people hear of it."""

from django.db import transaction

from portfolio.comparing import UNREACHABLE
from portfolio.models import Account
from safety.selectors import reconciliation_blocks
from safety.services import alert_raise, reconciliation_block
from tradingsite.common.actor import Actor


def account_block(actor: Actor, account: Account, code: str, detail: str) -> None:
    """Block the account for a kind of difference, and raise an alert when that is new or its detail another."""
    with transaction.atomic():
        if reconciliation_block(actor=actor, account_id=account.pk, code=code, detail=detail):
            alert_raise(
                kind="positions",
                name=f"{code} of {account.name}",
                severity="critical",
                message=f"Account {account.name} trades nothing until somebody has looked: {detail}.",
                actor=actor,
            )


def account_block_unreachable(actor: Actor, account: Account, detail: str) -> None:
    """Block the account unless it is already: the words change from one failure to the next, and are no news."""
    with transaction.atomic():
        Account.objects.locked(account.pk)
        if not reconciliation_blocks(account_id=account.pk).filter(code=UNREACHABLE).exists():
            account_block(actor, account, UNREACHABLE, detail)
