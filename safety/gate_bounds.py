"""Which limit binds an order: the desk's, its strategy's or its instrument's, whichever is the strictest."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from safety.facts import Limits, NarrowerLimits, SafetyState
from safety.gate_terms import Denied, known_count, known_number, plain


@dataclass(frozen=True)
class Bound:
    """One limit as it binds an order.

    Attributes:
        scope: of what it is; empty for the whole desk.
        used: how much of it the scope has used; only for limits that are counted.
    """

    name: str
    value: Decimal
    scope: str
    used: int = 0

    def __str__(self) -> str:
        return f"the limit{self.of} is {plain(self.value)}"

    @property
    def of(self) -> str:
        """Name the scope after a noun: nothing for the desk's own."""
        return f" of {self.scope}" if self.scope else ""

    def denied(self, detail: str) -> Denied:
        return Denied(detail, limit=self.name, scope=self.scope)


def strictest(limits: Limits, narrower: tuple[NarrowerLimits, ...], name: str) -> Bound:
    """Return the limit that leaves the least; the desk's where it is as strict as a narrower one.

    Raises:
        MissingFact: when any of them is no number.
    """
    return min(_bounds(limits, narrower, name), key=lambda bound: bound.value)


def counted(
    limits: Limits, narrower: tuple[NarrowerLimits, ...], state: SafetyState, name: str, used: str
) -> Iterator[Bound]:
    """Return every limit on a count, each with what its own scope has used: the strictest is not the fullest.

    Args:
        used: the field of `SafetyState` and of `NarrowerLimits` that counts it.

    Raises:
        MissingFact: when a limit or a count is no number.
    """
    counts = [getattr(state, used), *(getattr(each, used) for each in narrower if name in each.values)]
    for bound, count in zip(_bounds(limits, narrower, name), counts, strict=True):
        yield Bound(name, bound.value, bound.scope, known_count(count, f"{used}{bound.of}"))


def _bounds(limits: Limits, narrower: tuple[NarrowerLimits, ...], name: str) -> Iterator[Bound]:
    yield Bound(name, _value(getattr(limits, name), name), "")
    for each in narrower:
        if name in each.values:
            yield Bound(name, _value(each.values[name], f"{name} of {each.scope}"), each.scope)


def _value(value: object, name: str) -> Decimal:
    return Decimal(known_count(value, name)) if isinstance(value, int) else known_number(value, name)
