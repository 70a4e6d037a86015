"""Whether this process has held an account's books against its broker's since it began.

The order service asks before an order of a broker elsewhere; who compares is installed at start-up, since it stands
above the order service.
"""

from collections.abc import Callable
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from portfolio.choices import BrokerKind
from portfolio.models import Account

_reconcile: Callable[[Account], bool] | None = None
_done: set[UUID] = set()


def install(reconcile: Callable[[Account], bool]) -> None:
    """Let `reconcile` compare from now on; it returns whether the comparison was made."""
    global _reconcile
    _reconcile = reconcile


def mark(account: Account) -> None:
    """Remember that the account has been compared in this process."""
    _done.add(account.pk)


def forget() -> None:
    """Begin anew, as a process that has just started."""
    _done.clear()


def ensure(account: Account) -> bool:
    """Compare the account once in this process before its first order; say whether that has been done.

    The paper book is in the desk's own database and has no life of its own while the desk is away.
    """
    if account.broker == BrokerKind.PAPER or account.pk in _done:
        return True
    if _reconcile is None:
        raise ImproperlyConfigured("nothing is installed that reconciles accounts: add the portfolio app")
    return _reconcile(account)
