"""Whose position is it? Which part of what an account holds of an instrument the fills of each strategy brought."""

from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

ZERO = Decimal(0)


def shares(fills: Iterable[tuple[UUID | None, Decimal]], *, held: Decimal = ZERO) -> dict[UUID | None, Decimal]:
    """Return the signed units that each strategy has of one position.

    A strategy's units are what its own fills come to since the position was last flat. Whatever one has closed of
    another's is taken off by the bounds: no share is against the position, and none is larger than it.

    Args:
        fills: strategy (None for orders by hand) and signed units, in the order in which the ledger took them.
        held: the position before the first of them. Where that is not flat, the fills must lead through flat.
    """
    brought: dict[UUID | None, Decimal] = {}
    position = held
    for strategy, units in fills:
        before, position = position, position + units
        if before * position < 0:
            # Through flat to the other side: only what is beyond it is held, and by whoever went there.
            brought = {strategy: position}
        elif position == 0:
            brought = {}
        else:
            brought[strategy] = brought.get(strategy, ZERO) + units
    bounded = {strategy: _within(units, position) for strategy, units in brought.items()}
    return {strategy: units for strategy, units in bounded.items() if units}


def _within(units: Decimal, position: Decimal) -> Decimal:
    if units * position <= 0:
        return ZERO
    return min(units, position) if position > 0 else max(units, position)
