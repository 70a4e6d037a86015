"""How far an account is from its target weights, and when that is worth an alert. Pure.

A weight is a fraction of equity. The targets that a goal names leave a rest, which is cash; whatever is held beyond them
has the target 0. Drift is current weight minus target weight, so that the drifts of all symbols and of cash add up to
nothing, and the total drift, half the sum of their absolute values, is the part of the equity that would have to change
hands. No single symbol drifts further than the total.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from portfolio.ledger import ONE, ZERO, divide

RECOVERY = Decimal("0.8")
"""The part of the threshold at or below which a drift that was over it has recovered. Between the two nothing changes,
so that a drift which trembles about its threshold is told once."""


@dataclass(frozen=True)
class Held:
    """What is held of a symbol: signed units, and their signed worth in the account's currency."""

    quantity: Decimal
    value: Decimal


@dataclass(frozen=True)
class Allocation:
    """Where one symbol stands; the weights and the drift are fractions of equity.

    Attributes:
        outside: it is held, and the goal does not name it.
    """

    symbol: str
    target_weight: Decimal
    current_weight: Decimal
    value: Decimal
    quantity: Decimal
    outside: bool

    @property
    def drift(self) -> Decimal:
        return self.current_weight - self.target_weight


@dataclass(frozen=True)
class Measure:
    """An account beside its targets at one moment."""

    allocations: tuple[Allocation, ...]
    cash_weight: Decimal
    cash_target: Decimal

    @property
    def total(self) -> Decimal:
        """Half the sum of the absolute drifts of all symbols and of cash: 0 on target, 1 with nothing where it belongs."""
        apart = sum(
            (abs(allocation.drift) for allocation in self.allocations), abs(self.cash_weight - self.cash_target)
        )
        return apart / 2


def measure(targets: Mapping[str, Decimal], held: Mapping[str, Held], *, cash: Decimal) -> Measure | None:
    """Return where an account of these holdings and this cash stands, symbols in order; None without equity, of which
    nothing is a fraction.
    """
    equity = cash + sum((position.value for position in held.values()), ZERO)
    if equity <= 0:
        return None
    nothing = Held(ZERO, ZERO)
    allocations = tuple(
        Allocation(
            symbol=symbol,
            target_weight=targets.get(symbol, ZERO),
            current_weight=divide(position.value, equity),
            value=position.value,
            quantity=position.quantity,
            outside=symbol not in targets,
        )
        for symbol, position in ((symbol, held.get(symbol, nothing)) for symbol in sorted({*targets, *held}))
    )
    return Measure(allocations, divide(cash, equity), ONE - sum(targets.values(), ZERO))


@dataclass(frozen=True)
class Watch:
    """What is remembered of a goal between two looks: since when its drift has been over the threshold, if it is."""

    over_since: datetime | None = None


def watched(watch: Watch, *, total: Decimal, threshold: Decimal, at: datetime) -> Watch:
    """Return what is remembered after a look at `at`: over from above the threshold on, until it has recovered."""
    if watch.over_since is None:
        return Watch(at) if total > threshold else watch
    return Watch() if total <= threshold * RECOVERY else watch
