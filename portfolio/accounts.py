"""Making the account that the desk trades in."""

from decimal import Decimal

from django.db import IntegrityError, transaction

from portfolio.choices import BrokerKind
from portfolio.errors import AccountInUse, BrokerTaken
from portfolio.models import Account
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.errors import FieldError

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


_EDITABLE = ("name", "currency", "mode", "broker", "starting_cash", "fee_rate", "slippage", "is_default")
_FIXED = ("currency", "mode", "broker", "starting_cash")


def account_save(*, actor: Actor, account: Account) -> Account:
    """Make an account, or change its name, rates or being the default one.

    Raises:
        AccountInUse: for another starting cash, currency, mode or broker once the account has fills, cash that
            moved at its broker, or open orders.
        BrokerTaken: when another account has the one account at the broker that the settings name.
    """
    with transaction.atomic():
        stored = Account.objects.select_for_update().filter(pk=account.pk).first()
        before = None if stored is None else {name: str(getattr(stored, name)) for name in _EDITABLE}
        if stored is None:
            account.cash = account.starting_cash
        else:
            changed = [name for name in _FIXED if getattr(stored, name) != getattr(account, name)]
            if changed and account_in_use(stored):
                raise AccountInUse(f"{', '.join(changed)} cannot change: fills, cash or open orders rest on it.")
            account.fill_sequence = stored.fill_sequence
            account.cash = stored.cash if _ledger_begun(stored) else account.starting_cash
        _refuse_taken(account)
        if account.is_default:
            Account.objects.filter(is_default=True).exclude(pk=account.pk).update(is_default=False)
        try:
            with transaction.atomic():
                account.save()
        except IntegrityError:
            # Somebody was faster between the look above and the constraint.
            _refuse_taken(account)
            raise
        audit.record(
            actor=actor,
            action="account.create" if stored is None else "account.update",
            target=account,
            before=before,
            after={name: str(getattr(account, name)) for name in _EDITABLE},
        )
    return account


def _refuse_taken(account: Account) -> None:
    if account.broker == BrokerKind.PAPER:
        return
    other = Account.objects.filter(broker=account.broker).exclude(pk=account.pk).first()
    if other is not None:
        raise BrokerTaken(
            f"Account {other.name} trades at {BrokerKind(account.broker).label} already, by the same keys: the desk "
            f"would hold each share twice. Keep {account.name} on paper, or set {other.name} to paper first.",
            errors=[FieldError("broker", BrokerTaken.code, f"Taken by account {other.name}.")],
            extra={"account_id": str(other.pk), "account": other.name},
        )


def account_in_use(account: Account) -> bool:
    """Say whether the starting cash, and what else a ledger rests on, stands: there is one, or an order may begin it."""
    return _ledger_begun(account) or account.orders.open().exists()


def _ledger_begun(account: Account) -> bool:
    return account.fills.exists() or account.cash_movements.exists()
