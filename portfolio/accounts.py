"""Making the account that the desk trades in."""

from decimal import Decimal

from django.db import transaction

from portfolio.models import Account
from tradingsite.common import audit
from tradingsite.common.actor import Actor

DEFAULT_NAME = "Paper account"
STARTING_CASH = Decimal(100_000)


def account_ensure_default(*, actor: Actor) -> Account:
    """Return the desk's default account, made when it is missing: a paper account of 100,000 USD."""
    with transaction.atomic():
        account = Account.objects.filter(is_default=True).first()
        if account is not None:
            return account
        # Two first starts at once: the unique constraint lets one of them make it, the other finds it here.
        account, made = Account.objects.get_or_create(
            name=DEFAULT_NAME,
            defaults={"starting_cash": STARTING_CASH, "cash": STARTING_CASH, "is_default": True},
        )
        if made:
            audit.record(
                actor=actor,
                action="account.create",
                target=account,
                after={"name": account.name, "currency": account.currency, "starting_cash": str(STARTING_CASH)},
            )
    return account
