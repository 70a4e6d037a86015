"""What a run does next. Plain data in, plain data out: every decision of the runner, none of its effects."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executions.choices import ExecutionStatus, OnError, StepStatus

# Orders that never left the desk are results too, but they were not placed.
NOT_PLACED = frozenset({"denied"})
LOG_LINES = 1000
# No stop is so near. Sums of what a broken step may state instead would end the runs, or the figures of all days.
R_MAX = 1_000_000


@dataclass(frozen=True)
class StepState:
    """What the machine knows of a step."""

    index: int
    status: str
    on_error: str = OnError.FAIL.value

    @property
    def settled(self) -> bool:
        """Whether the run goes on without running this step (again)."""
        if self.status == StepStatus.FAILED:
            return self.on_error == OnError.CONTINUE
        return self.status == StepStatus.COMPLETED


@dataclass(frozen=True)
class RunStep:
    """Run the step at `index` next."""

    index: int


@dataclass(frozen=True)
class Finish:
    """End the run as `status`."""

    status: str


def next_action(steps: Sequence[StepState], *, cancel_requested: bool) -> RunStep | Finish:
    """Return what follows from the rows of a run, whoever left them so.

    A run whose last step is done is complete even if somebody asked to cancel it a moment before: nothing is left that
    a cancel could prevent.
    """
    for step in steps:
        if step.settled:
            continue
        if step.status == StepStatus.FAILED:
            return Finish(ExecutionStatus.FAILED)
        if cancel_requested:
            return Finish(ExecutionStatus.CANCELLED)
        return RunStep(step.index)
    return Finish(ExecutionStatus.COMPLETED)


def progress_percent(steps: Sequence[StepState], *, within: float = 0.0) -> float:
    """Return how far the run is, 0 to 100; `within` is the done part of the step under way, 0 to 1."""
    if not steps:
        return 100.0
    done = sum(step.settled for step in steps)
    part = min(max(within, 0.0), 1.0) if done < len(steps) else 0.0
    return round(100.0 * (done + part) / len(steps), 2)


@dataclass(frozen=True)
class StepTrace:
    """What one step leaves behind: its output if it completed, its lines, and its last word."""

    name: str
    output: Mapping[str, Any]
    logs: Sequence[Mapping[str, Any]] = ()
    summary: str = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The step's lines with its name, the summary last."""
        lines = [{"step": self.name, "at": line.get("at"), "message": line.get("message", "")} for line in self.logs]
        if self.summary:
            lines.append({"step": self.name, "at": None, "message": self.summary})
        return lines


def results_of(steps: Sequence[StepTrace]) -> dict[str, Any]:
    """Put a run's results together from its steps, in order.

    The newest `decisions` stand; `orders` of all steps add up. The log keeps its newest LOG_LINES lines.
    """
    outputs = [step.output for step in steps]
    decisions = next((list(o["decisions"]) for o in reversed(outputs) if isinstance(o.get("decisions"), list)), [])
    orders = [order for o in outputs if isinstance(o.get("orders"), list) for order in o["orders"]]
    symbols = {symbol for o in outputs if isinstance(o.get("series"), Mapping) for symbol in o["series"]}
    return {
        "symbols_processed": len(symbols),
        "decisions_made": len(decisions),
        "orders_placed": sum(isinstance(order, Mapping) and order.get("status") not in NOT_PLACED for order in orders),
        "execution_logs": [line for step in steps for line in step.lines][-LOG_LINES:],
        "decisions": decisions,
        "orders": orders,
    }


@dataclass(frozen=True)
class DecisionTally:
    """What a run's decisions come to. `r_sum` adds the R of the `r_count` decisions that state a possible one."""

    buys: int
    sells: int
    holds: int
    r_sum: float
    r_count: int


def tally_of(decisions: Sequence[Any]) -> DecisionTally:
    """Count a run's decisions; an action that is none of the three is not counted."""
    stated = [decision for decision in decisions if isinstance(decision, Mapping)]
    actions = Counter(str(decision.get("action")) for decision in stated)
    # Not bool, which is a whole number to Python.
    numbers = [r for d in stated if isinstance(r := d.get("r_coefficient"), int | float) and not isinstance(r, bool)]
    rs = [r for r in numbers if -R_MAX <= r <= R_MAX]
    return DecisionTally(actions["BUY"], actions["SELL"], actions["HOLD"], math.fsum(rs), len(rs))
