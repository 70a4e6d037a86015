"""Runs of the desk, day by day on the generated market, beside a back-test over the same bars."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from executions.leases import keeper
from executions.models import StepExecution
from executions.runner import run_execution
from executions.services import execution_create
from market.services import demo_series_ensure
from portfolio.models import Account
from tests.optimize.inspection.conftest import SYSTEM
from workflows import steps
from workflows.models import Strategy
from workflows.services import strategy_create, workflow_create

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
Analysed = Callable[..., dict[str, Any]]
FIRST = datetime(2025, 9, 1, 22, 0, tzinfo=UTC)
DAYS = 40


@pytest.fixture
def strategy(db: None, data_dir: Any, monkeypatch: pytest.MonkeyPatch) -> Strategy:
    while keeper._thread is not None:
        time.sleep(0.05)
    # Nothing is committed, so another thread would find no run whose lease it could renew.
    monkeypatch.setattr(keeper, "_thread", threading.current_thread())
    signal = {"strategy_type": "sma_crossover", "params": {"fast": 2, "slow": 6}}
    workflow = workflow_create(
        actor=SYSTEM,
        name="Daily",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {"source": "demo"}},
            {"name": "signal", "type": "signal", "config": signal},
        ],
        default_params={},
    )
    Account.objects.create(name="Paper", starting_cash=Decimal(10_000), cash=Decimal(10_000), is_default=True)
    demo_series_ensure(actor=SYSTEM, symbol="DEMO1", timeframe="1d")
    return strategy_create(actor=SYSTEM, name="Daily", workflow_id=workflow.pk, symbols=["DEMO1"])


@pytest.fixture
def traded(
    strategy: Strategy, frozen_clock: Callable[[datetime], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return `traded(fills)`: run the strategy on forty evenings; what it orders is filled where `fills` says so."""

    def trade(fills: bool = True) -> list[str]:
        held = {"DEMO1": Decimal(0)}
        monkeypatch.setattr(steps, "position_quantity", lambda account, symbol: held[symbol])
        actions = []
        for day in range(DAYS):
            moment = FIRST + timedelta(days=day)
            if moment.weekday() >= 5:
                continue
            frozen_clock(moment)
            run = execution_create(actor=SYSTEM, workflow=strategy.workflow, strategy=strategy)
            run_execution(run.pk, "tests")
            (decision,) = StepExecution.objects.get(execution=run, type="signal").result["decisions"]
            actions.append(decision["action"])
            if fills and decision["action"] != "HOLD":
                held["DEMO1"] = Decimal(decision["action"] == "BUY")
        frozen_clock(FIRST + timedelta(days=DAYS))
        return actions

    return trade


def body(strategy: Strategy, **changes: Any) -> dict[str, Any]:
    return {"strategy_id": str(strategy.pk), "start": "2025-09-01", "end": "2025-12-31", **changes}


def test_runs_whose_orders_were_filled_decided_as_a_backtest_does(
    strategy: Strategy, traded: Callable[..., list[str]], analysed: Analysed
) -> None:
    actions = traded()
    assert {"BUY", "SELL", "HOLD"} == set(actions)
    found = analysed("parity", body(strategy))
    assert found["equal"] is True, found["results"]
    assert found["decided"] == found["agreed"] == len(actions)
    (row,) = found["results"]
    assert (row["symbol"], row["step"], row["strategy_type"]) == ("DEMO1", "signal", "sma_crossover")


def test_runs_whose_orders_were_not_filled_differ_and_every_bar_is_named(
    strategy: Strategy, traded: Callable[..., list[str]], analysed: Analysed
) -> None:
    actions = traded(fills=False)
    found = analysed("parity", body(strategy))
    assert found["equal"] is False
    (row,) = found["results"]
    kinds = {one["kind"] for one in row["differences"]}
    assert kinds == {"action"}
    # It wanted to buy again on every bar on which the back-test held already.
    assert {(one["live"], one["backtest"]) for one in row["differences"]} <= {("BUY", "HOLD"), ("HOLD", "SELL")}
    assert found["agreed"] == len(actions) - row["differences_count"]
    assert all(one["run"] and one["bar"].startswith("2025-") for one in row["differences"])


def test_a_strategy_that_has_not_run_has_nothing_to_compare(api: Api, strategy: Strategy) -> None:
    answer = api("trader").post("/api/optimize/parity", body(strategy), format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "no_decisions"


def test_what_is_wrong_is_named(api: Api, strategy: Strategy, traded: Callable[..., list[str]]) -> None:
    client = api("trader")
    traded()
    for changes, status, code in (
        ({"symbols": ["IBM"]}, 400, "no_decisions"),
        ({"end": "2025-08-01"}, 400, "invalid"),
        ({"strategy_id": "x"}, 400, "invalid"),
    ):
        answer = client.post("/api/optimize/parity", body(strategy, **changes), format="json")
        assert answer.status_code == status
        assert code in [error["code"] for error in answer.json()["errors"]]
    unknown = client.post("/api/optimize/parity", body(strategy, strategy_id=str(uuid4())), format="json")
    assert unknown.status_code == 404
