"""The figures of a workflow's runs. Plain data in, plain data out: what adds up, and what is said of the sum.

A `Tally` holds only what can be added: those of days make that of a month, those of versions that of their workflow.
Rates, means and percentiles are taken from the sum and never averaged.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workflows.metrics_sketch import DurationSketch

COMPLETED, FAILED = "completed", "failed"
STATUSES = ("pending", "running", COMPLETED, FAILED, "cancelled")
ACTIONS = ("BUY", "SELL", "HOLD")


@dataclass
class Tally:
    """What some runs come to.

    Attributes:
        by_status: how many runs stand at each status.
        durations: from first start to end, of completed runs that were never retried: of one that was, the time until
            somebody did so is none that it took.
        decisions: how many of each action.
        r_sum, r_count: the sum of R over the decisions that state one, and how many do.
        trades, wins: round trips that orders of these runs opened and that are over, and those of them with a profit
            after all fees.
    """

    by_status: Counter[str] = field(default_factory=Counter)
    durations: DurationSketch = field(default_factory=DurationSketch)
    decisions: Counter[str] = field(default_factory=Counter)
    orders_placed: int = 0
    r_sum: float = 0.0
    r_count: int = 0
    trades: int = 0
    wins: int = 0

    def add(self, other: "Tally") -> None:
        """Add what other runs come to."""
        self.by_status.update(other.by_status)
        self.durations.add(other.durations)
        self.decisions.update(other.decisions)
        self.orders_placed += other.orders_placed
        self.r_sum += other.r_sum
        self.r_count += other.r_count
        self.trades += other.trades
        self.wins += other.wins

    @property
    def runs(self) -> int:
        return self.by_status.total()

    @property
    def decided(self) -> int:
        """How many runs succeeded or failed; a cancelled one did neither."""
        return self.by_status[COMPLETED] + self.by_status[FAILED]

    @property
    def success_rate(self) -> float | None:
        """Completed runs of those that completed or failed, 0 to 1; None when none did."""
        return self.by_status[COMPLETED] / self.decided if self.decided else None

    @property
    def win_rate(self) -> float | None:
        """Trades with a profit of all that are over, 0 to 1; None when none is."""
        return self.wins / self.trades if self.trades else None

    @property
    def average_r(self) -> float | None:
        return self.r_sum / self.r_count if self.r_count else None

    def summary(self) -> dict[str, Any]:
        """Return the figures as the API shows them. Durations are seconds, rates 0 to 1, None what nothing says."""
        return {
            "total_executions": self.runs,
            "by_status": {status: self.by_status[status] for status in STATUSES},
            "success_rate": self.success_rate,
            "average_duration": self.durations.average,
            "duration_p50": self.durations.percentile(0.50),
            "duration_p95": self.durations.percentile(0.95),
            "decisions_breakdown": {action: self.decisions[action] for action in ACTIONS},
            "orders_placed": self.orders_placed,
            "average_r_coefficient": self.average_r,
            "completed_trades": self.trades,
            "win_rate": self.win_rate,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the tally as a row of `workflow_metrics` holds it.

        What cannot be added (`success_rate`, `avg_duration`) stands there for those who read the table, not for us.
        """
        return {
            "total_executions": self.runs,
            "by_status": {status: self.by_status[status] for status in STATUSES if self.by_status[status]},
            "success_rate": self.success_rate,
            "avg_duration": self.durations.average,
            "decisions_by_type": {action: self.decisions[action] for action in ACTIONS},
            "orders_placed": self.orders_placed,
            "r_sum": self.r_sum,
            "r_count": self.r_count,
            "completed_trades": self.trades,
            "won_trades": self.wins,
            "durations": self.durations.to_json(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            by_status=Counter(stored["by_status"]),
            durations=DurationSketch.from_json(stored["durations"]),
            decisions=Counter(stored["decisions_by_type"]),
            orders_placed=stored["orders_placed"],
            r_sum=stored["r_sum"],
            r_count=stored["r_count"],
            trades=stored["completed_trades"],
            wins=stored["won_trades"],
        )

    def differences(self, other: "Tally") -> dict[str, tuple[Any, Any]]:
        """Return what differs as {figure: (here, there)}.

        A sum of floats depends on the order in which the database adds, so the last digits of `r_sum` may differ.
        """
        mine, theirs = self.to_json(), other.to_json()
        if math.isclose(self.r_sum, other.r_sum, rel_tol=1e-9, abs_tol=1e-9):
            mine["r_sum"] = theirs["r_sum"] = None
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}
