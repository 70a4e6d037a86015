"""News of the market for the floors above: received in the transaction that it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.dispatch import Signal


@dataclass(frozen=True)
class BarsChanged:
    """Bars of these symbols were added or replaced."""

    symbols: Sequence[str]


# Receivers get `event=BarsChanged(...)`; what they write commits with the bars, or not at all.
bars_changed = Signal()
