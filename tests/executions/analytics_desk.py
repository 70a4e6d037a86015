"""Runs as they are left behind, without carrying them, and what they come to by counting them one by one."""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from executions.models import EarlierTask, RunEnding, WorkflowExecution
from market.models import Instrument
from portfolio.models import Account, Order, RoundTrip
from workflows.models import Strategy, Workflow, WorkflowVersion

UNKNOWN = ("success_rate", "average_duration", "duration_p50", "duration_p95", "average_r_coefficient", "win_rate")


@dataclass
class Desk:
    """Workflows with versions, by number from 0, and runs of them."""

    workflows: list[Workflow]
    versions: list[list[WorkflowVersion]]
    strategy: Strategy

    def run(self, created_at: datetime, workflow: int = 0, version: int = 1, **fields: Any) -> WorkflowExecution:
        """Write a run; without more said, one that was completed in a minute."""
        said = {"status": "completed", "took": timedelta(minutes=1), **fields}
        took = said.pop("took")
        started = None if said["status"] == "pending" else created_at + timedelta(seconds=1)
        ended = said["status"] not in ("pending", "running")
        return WorkflowExecution.objects.create(
            workflow=self.workflows[workflow],
            workflow_version=self.versions[workflow][version - 1],
            strategy=self.strategy,
            task_id=str(uuid.uuid4()),
            created_at=created_at,
            started_at=started,
            completed_at=started + took if ended and started else None,
            **said,
        )

    def retry(self, run: WorkflowExecution) -> None:
        """Let a run have been retried once."""
        EarlierTask.objects.create(task_id=str(uuid.uuid4()), execution=run, status="FAILURE")

    def trade(self, run: WorkflowExecution, profit: int | None) -> RoundTrip:
        """Write a trade that the run's order opened, over with this profit or still open."""
        account, _ = Account.objects.get_or_create(name="Measured", starting_cash=Decimal(1000), cash=Decimal(1000))
        instrument = Instrument.objects.create(symbol=f"M{Instrument.objects.count()}")
        order = Order.objects.create(
            client_order_id=instrument.symbol, account=account, instrument=instrument, execution_id=run.pk, mode="paper",
            side="buy", type="market", quantity=Decimal(1), source="x", timeframe="1d", adjustment="none", status="filled",
        )  # fmt: skip
        return RoundTrip.objects.create(
            account=account,
            instrument=instrument,
            opening_order=order,
            execution_id=run.pk,
            opened_at=run.created_at,
            closed_at=None if profit is None else run.created_at + timedelta(days=3),
            realized_before=Decimal(0),
            profit=None if profit is None else Decimal(profit),
        )

    def end(
        self, run: WorkflowExecution, status: str = "completed", took: timedelta = timedelta(minutes=1)
    ) -> RunEnding:
        """End an unfinished run and note it, as the run's own transaction does."""
        run.status, run.started_at = status, run.started_at or run.created_at
        run.completed_at = run.started_at + took
        run.save()
        return note(run)


def note(run: WorkflowExecution) -> RunEnding:
    return RunEnding.objects.create(
        execution_id=run.pk,
        workflow_id=run.workflow_id,
        task_id=run.task_id,
        status=run.status,
        run_created_at=run.created_at,
    )


def make_desk(workflows: int = 2, versions: int = 2) -> Desk:
    made = [Workflow.objects.create(name=f"Measured {number}", type="custom") for number in range(workflows)]
    numbers = range(1, versions + 1)
    return Desk(
        workflows=made,
        versions=[
            [WorkflowVersion.objects.create(workflow=each, version_number=n, type="custom") for n in numbers]
            for each in made
        ],
        strategy=Strategy.objects.create(name="Measured"),
    )


def by_hand(runs: Iterable[WorkflowExecution], trips: Iterable[RoundTrip] = ()) -> dict[str, Any]:
    """Count runs one by one, with those of the trades that are theirs: the API's figures, with the true percentiles."""
    runs = list(runs)
    statuses = [run.status for run in runs]
    decided = statuses.count("completed") + statuses.count("failed")
    seconds = sorted(
        (run.completed_at - run.started_at).total_seconds()
        for run in runs
        if run.status == "completed" and run.started_at and run.completed_at and not run.earlier_tasks.all()
    )
    keys = {run.pk for run in runs}
    profits = [trip.profit for trip in trips if trip.execution_id in keys and trip.profit is not None]
    r_count = sum(run.r_count for run in runs)
    return {
        "total_executions": len(runs),
        "by_status": {s: statuses.count(s) for s in ("pending", "running", "completed", "failed", "cancelled")},
        "success_rate": statuses.count("completed") / decided if decided else None,
        "average_duration": sum(seconds) / len(seconds) if seconds else None,
        "duration_p50": nearest_rank(seconds, 0.50),
        "duration_p95": nearest_rank(seconds, 0.95),
        "decisions_breakdown": {
            "BUY": sum(run.buys for run in runs),
            "SELL": sum(run.sells for run in runs),
            "HOLD": sum(run.holds for run in runs),
        },
        "orders_placed": sum(run.orders_placed for run in runs),
        "completed_trades": len(profits),
        "win_rate": sum(profit > 0 for profit in profits) / len(profits) if profits else None,
        "average_r_coefficient": sum(run.r_sum for run in runs) / r_count if r_count else None,
    }


def nearest_rank(ordered: Sequence[float], fraction: float) -> float | None:
    return ordered[math.ceil(fraction * len(ordered)) - 1] if ordered else None


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare figures: percentiles within one percent, floats but for their last digits, all else exactly."""
    tolerance = {"duration_p50": 0.0100001, "duration_p95": 0.0100001}
    for name, value in expected.items():
        if name in UNKNOWN and value is not None:
            assert found[name] == pytest.approx(value, rel=tolerance.get(name, 1e-9), abs=1e-9), name
        else:
            assert found[name] == value, name
