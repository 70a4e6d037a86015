"""Holding an account's books against its broker's on a person's request.

Who compares stands on a floor above, and is installed at start-up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.actor import Actor


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        compared: False when the broker gave no certain answer, or the books never stood still.
        differences: what differs, one sentence each.
        problem: why it was not compared.
    """

    compared: bool
    differences: Sequence[str] = ()
    problem: str = ""


Compare = Callable[[Actor, UUID], Comparison]

_compare: Compare | None = None


def install(compare: Compare) -> None:
    """Let `compare` hold the account of an id against its broker from now on, in the name of an actor."""
    global _compare
    _compare = compare


def compare(actor: Actor, account_id: UUID) -> Comparison:
    """Hold an account against its broker. May take as long as the broker takes to answer."""
    if _compare is None:
        raise ImproperlyConfigured("nothing is installed that compares accounts: add the portfolio app")
    return _compare(actor, account_id)
