"""A desk to look at: runs in every state, a position, verdicts and alerts, written straight into the tables."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser

from executions.choices import TERMINAL
from executions.models import StepExecution, WorkflowExecution
from market.models import DataSource, Instrument
from portfolio import services as portfolio
from portfolio.models import Account, EquitySnapshot, Fill, Order, Position
from safety.models import GateDecision
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from workflows.models import Strategy, Workflow, WorkflowVersion

DECISIONS = [
    {
        "symbol": "ACME", "action": "BUY", "confidence": 0.61, "r_coefficient": 2.0,
        "reason": "sma 10 above sma 30", "price": "102", "stop": "97", "target": "112", "bar_time": "2026-01-02T14:30:00Z",
    },
    {
        "symbol": "OTHER", "action": "HOLD", "confidence": 0.2, "r_coefficient": None,
        "reason": "already flat", "price": "10", "stop": None, "target": None, "bar_time": "2026-01-02T14:30:00Z",
    },
]  # fmt: skip
INTENTS = [
    {
        "symbol": "ACME", "side": "buy", "quantity": "100", "order_type": "market", "reference_price": "102",
        "notional": "10200", "reduces": False, "verdict": {"allowed": True, "code": "", "detail": ""},
    },
    {
        "symbol": "BIG", "side": "buy", "quantity": "900", "order_type": "market", "reference_price": "102",
        "notional": "91800", "reduces": False,
        "verdict": {"allowed": False, "code": "ORDER_NOTIONAL_EXCEEDS_LIMIT", "detail": "91800 is more than 25000"},
    },
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_data(data_dir: Path) -> Path:
    """The kill switch's files belong to the test alone."""
    return data_dir


@pytest.fixture
def account(db: None) -> Account:
    return portfolio.account_ensure_default(actor=Actor.system("test"))


@pytest.fixture
def strategy(db: None) -> Strategy:
    workflow = Workflow.objects.create(name="Two averages", type="custom")
    version = WorkflowVersion.objects.create(workflow=workflow, version_number=3, type="custom")
    Workflow.objects.filter(pk=workflow.pk).update(current_version=version)
    return Strategy.objects.create(name="Averages on ACME", workflow=workflow, symbols=["ACME"])


@pytest.fixture
def make_run(strategy: Strategy) -> Callable[..., WorkflowExecution]:
    def make(status: str = "completed", *, by: AbstractBaseUser | None = None, **fields: Any) -> WorkflowExecution:
        now = utcnow()
        defaults: dict[str, Any] = {
            "started_at": None if status == "pending" else now - timedelta(seconds=4),
            "completed_at": now if status in TERMINAL else None,
            "progress": 100 if status == "completed" else 40,
            "symbols": ["ACME"],
            "params": {"fast": 10},
            "decisions_made": 2,
            "orders_placed": 1,
        }
        return WorkflowExecution.objects.create(
            workflow=strategy.workflow,
            workflow_version=strategy.workflow.versions.get(),
            strategy=strategy,
            status=status,
            task_id=str(uuid7()),
            created_by=by,
            **{**defaults, **fields},
        )

    return make


@pytest.fixture
def told_run(make_run: Callable[..., WorkflowExecution], account: Account) -> WorkflowExecution:
    """A finished run with decisions, a passed and a denied intent, a filled order, and a step's log."""
    run = make_run(results={"decisions": DECISIONS, "orders": [], "decisions_made": 2, "orders_placed": 1})
    now = utcnow()
    outputs = [
        ("prices", "market_data", {"series": {"ACME": {"bars": 400}}}),
        ("signal", "signal", {"decisions": DECISIONS}),
        ("risk", "risk_check", {"intents": INTENTS}),
        ("order", "order", {"orders": []}),
    ]
    for index, (name, type_, output) in enumerate(outputs):
        StepExecution.objects.create(
            execution=run, index=index, name=name, type=type_, status="completed", attempts=1, output=output,
            config={"timeframe": "1d"}, summary=f"{name} is done", started_at=now, completed_at=now,
            logs=[{"at": "2026-01-02T14:30:00Z", "message": "looked at <b>400</b> bars"}],
        )  # fmt: skip
    order = make_order(account, execution_id=run.pk, client_order_id=f"{run.pk}-3-ACME-0")
    Fill.objects.create(
        venue_fill_id="f1", account=account, order=order, instrument=order.instrument, sequence=1, side="buy",
        quantity=Decimal(100), price=Decimal("102.051"), fee=Decimal("10.2051"), occurred_at=now,
    )  # fmt: skip
    return run


def make_order(account: Account, **fields: Any) -> Order:
    source, _ = DataSource.objects.get_or_create(
        slug="made-up", defaults={"title": "Made-up market", "kind": "demo", "clock": "historical", "generated": True}
    )
    instrument, _ = Instrument.objects.get_or_create(
        symbol="ACME", defaults={"name": "Acme Incorporated", "default_source": source}
    )
    return Order.objects.create(
        account=account, instrument=instrument, mode="paper", side="buy", type="market", quantity=Decimal(100),
        source=source.slug, timeframe="1d", adjustment="none", status="filled", filled_quantity=Decimal(100),
        average_price=Decimal("102.051"), fees=Decimal("10.2051"), **fields,
    )  # fmt: skip


@pytest.fixture
def busy_desk(told_run: WorkflowExecution, account: Account, make_run: Callable[..., WorkflowExecution]) -> Account:
    """Every panel of the overview has something to show."""
    make_run("running")
    make_run("failed", error_code="STEP_TIMED_OUT", error_message="The step took longer than 60 s.")
    Position.objects.create(
        account=account, instrument=Instrument.objects.get(symbol="ACME"), quantity=Decimal(100), cost=Decimal(10205),
        average_price=Decimal("102.05"), source="made-up", timeframe="1d", adjustment="none",
    )  # fmt: skip
    now = utcnow()
    for minute, equity in enumerate((100_000, 100_250, 99_800)):
        EquitySnapshot.objects.create(
            account=account, at=now + timedelta(minutes=minute), cash=Decimal(90_000),
            positions_value=Decimal(equity - 90_000), equity=Decimal(equity),
        )  # fmt: skip
    GateDecision.objects.create(
        allowed=False, code="POSITION_EXCEEDS_LIMIT", detail="60000 is more than 50000", client_order_id="c1",
        account_id=account.pk, symbol="ACME", side="buy", order_type="market", quantity="500", mode="paper",
        actor_name="test",
    )  # fmt: skip
    alert_raise(
        kind="notify", name="Notice", severity="warning", message="ACME moved <script>alert(1)</script>", symbol="ACME",
        actor=Actor.system("test"),
    )  # fmt: skip
    return account
