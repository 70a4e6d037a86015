"""What a run leaves behind, put together from the outputs of its steps. Plain data in, plain data out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Orders that never left the desk are results too, but they were not placed.
NOT_PLACED = frozenset({"denied"})
LOG_LINES = 1000


@dataclass(frozen=True)
class StepOutput:
    """One finished step: what it returned and what it said."""

    name: str
    output: Mapping[str, Any]
    logs: Sequence[Mapping[str, Any]] = ()


def decisions_of(outputs: Sequence[StepOutput]) -> list[Any]:
    """Return the decisions that stand in the end: a later step's replace an earlier one's."""
    for step in reversed(outputs):
        found = step.output.get("decisions")
        if isinstance(found, list):
            return found
    return []


def orders_of(outputs: Sequence[StepOutput]) -> list[Any]:
    """Return the orders of all steps, in order."""
    return [
        order for step in outputs if isinstance(step.output.get("orders"), list) for order in step.output["orders"]
    ]


def placed(orders: Sequence[Mapping[str, Any]]) -> int:
    """Count the orders that passed the gate."""
    return sum(order.get("status") not in NOT_PLACED for order in orders)


def results_of(outputs: Sequence[StepOutput], *, symbols: Sequence[str]) -> dict[str, Any]:
    """Return the run's results.

    `symbols_processed` counts the symbols that had prices, or all of them for a run that read none. The log keeps its
    newest LOG_LINES lines.
    """
    series = [step.output["series"] for step in outputs if isinstance(step.output.get("series"), Mapping)]
    seen = {symbol for mapping in series for symbol in mapping}
    decisions, orders = decisions_of(outputs), orders_of(outputs)
    lines = [{"step": step.name, **line} for step in outputs for line in step.logs]
    return {
        "symbols_processed": len(seen) if series else len(symbols),
        "decisions_made": len(decisions),
        "orders_placed": placed(orders),
        "execution_logs": lines[-LOG_LINES:],
        "decisions": decisions,
        "orders": orders,
    }
