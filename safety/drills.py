"""What marks the orders of a drill of the kill switch, so that nobody takes them for the desk's own."""

from uuid import NAMESPACE_OID, UUID, uuid5

DRILL_STRATEGY = uuid5(NAMESPACE_OID, "kill switch drill")
DRILL_SYMBOL = "KILLDRILL"
"""An instrument of this symbol exists only while a drill is under way."""


def of_drill(*, strategy_id: UUID | None, symbol: str) -> bool:
    """Say whether an order is one of a drill: by both marks, so that no order of the desk's own ever is."""
    return strategy_id == DRILL_STRATEGY and symbol == DRILL_SYMBOL
