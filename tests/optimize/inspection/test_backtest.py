"""`POST /api/strategies/{id}/backtest`: what a saved strategy would have done, answered at once."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rest_framework.test import APIClient

from market import store
from market.selectors import bars_load
from optimize.engine import Settings, prepare, simulate
from optimize.inspection import backtest as module
from safety.models import AuditLog
from tests.optimize.inspection.conftest import SYSTEM
from tradingsite.common.errors import FieldError
from workflows.models import Strategy
from workflows.services import strategy_create
from workflows.strategies import strategy_types

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
Crossing = Callable[..., Strategy]
PERIOD = {"start": "2003-01-01", "end": "2007-12-31"}
COSTS = {"fee": 0.001, "slippage": 0.0005}


@pytest.fixture(autouse=True)
def _prices(sample: None) -> None:
    store.cache_clear()


def asked(client: APIClient, strategy: Strategy | str, **body: Any) -> Any:
    key = strategy if isinstance(strategy, str) else strategy.pk
    return client.post(f"/api/strategies/{key}/backtest", {**PERIOD, **body}, format="json")


def told(client: APIClient, strategy: Strategy, **body: Any) -> dict[str, Any]:
    answer = asked(client, strategy, **body)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_a_backtest_is_that_of_the_engine(api: Api, crossing: Crossing) -> None:
    found = told(api("trader"), crossing(), costs=COSTS)
    bars = bars_load(symbol="IBM", source="sample")
    inside = [i for i in range(len(bars)) if 2003 <= bars.opened_at(i).year <= 2007]
    kind = strategy_types.get("sma_crossover")
    path = simulate(
        kind,
        kind.clean({"fast": 10, "slow": 40}),
        prepare(bars),
        (inside[0], inside[-1] + 1),
        Settings(fee=0.001, slippage=0.0005, periods_per_year=found["settings"]["periods_per_year"]),
    )
    assert [point["equity"] for point in found["equity"]] == pytest.approx(path.equity.tolist(), rel=1e-9)
    assert [trade["profit"] for trade in found["trades"]] == pytest.approx(path.trades["profit"].tolist(), rel=1e-9)
    for name in ("total_return", "sharpe", "max_drawdown", "win_rate", "trades"):
        assert found["statistics"][name] == pytest.approx(path.statistics[name], rel=1e-9)
    assert found["equity"][0]["time"].startswith("2003-01-02")
    assert found["data"][0]["fingerprint"]


def test_the_answer_says_what_the_market_did_what_trading_cost_and_when_it_hurt(api: Api, crossing: Crossing) -> None:
    found = told(api("trader"), crossing(), costs=COSTS)
    assert found["equity"][-1]["benchmark"] == pytest.approx(found["benchmark"]["final_equity"])
    fees = sum(trade["fees"] for trade in found["trades"])
    assert found["costs"]["fees"] == pytest.approx(fees)
    assert fees > 0
    assert found["drawdowns"][0]["depth"] == pytest.approx(found["statistics"]["max_drawdown"])
    assert found["symbols"][0]["bars"] == len(found["equity"])
    assert found["symbols"][0]["bars_skipped"] == 0
    free = told(api("trader"), Strategy.objects.get(), costs={"fee": 0, "slippage": 0})
    assert free["costs"]["fees"] == 0
    assert free["statistics"]["total_return"] > found["statistics"]["total_return"]


def test_several_symbols_are_told_together_and_each(api: Api, crossing: Crossing) -> None:
    strategy = crossing(["IBM", "MSFT", "GOOG"])
    found = told(api("trader"), strategy)
    assert [one["symbol"] for one in found["symbols"]] == ["IBM", "MSFT", "GOOG"]
    alone = told(api("trader"), strategy, symbols=["MSFT"])
    assert found["symbols"][1]["statistics"] == alone["statistics"]
    entries = [trade["entry_at"] for trade in found["trades"]]
    assert entries == sorted(entries)
    assert {trade["symbol"] for trade in found["trades"]} == {"IBM", "MSFT", "GOOG"}
    assert found["statistics"]["trades"] == sum(one["statistics"]["trades"] for one in found["symbols"])
    # GOOG came in 2004: before, the curve is that of the other two.
    assert found["equity"][0]["time"].startswith("2003-01-02")


def test_params_and_levels_of_the_step_are_taken_and_may_be_replaced(api: Api, crossing: Crossing) -> None:
    strategy = crossing(stop_pct=5.0, target_pct=20.0)
    client = api("trader")
    found = told(client, strategy)
    assert (found["settings"]["stop_loss"], found["settings"]["take_profit"]) == (0.05, 0.2)
    assert {trade["reason"] for trade in found["trades"]} >= {"stop", "signal"}
    free = told(client, strategy, stop_loss=None, take_profit=None, params={"fast": 5})
    assert (free["settings"]["stop_loss"], free["params"]) == (None, {"fast": 5, "slow": 40})
    assert {trade["reason"] for trade in free["trades"]} <= {"signal", None}


def test_what_the_definition_does_and_a_backtest_does_not_is_said(api: Api, crossing: Crossing) -> None:
    condition = {
        "name": "calm",
        "type": "condition",
        "config": {"rules": [{"left": "close", "op": ">", "right": 1}]},
    }
    found = told(api("trader"), crossing(steps=[condition], entry="event", stop_atr=2.0))
    assert len(found["notes"]) == 3
    assert told(api("trader"), Strategy.objects.get(), symbols=["IBM"])["notes"] == found["notes"]


def test_a_backtest_changes_nothing(api: Api, crossing: Crossing) -> None:
    strategy = crossing()
    events = AuditLog.objects.count()
    told(api("trader"), strategy)
    assert AuditLog.objects.count() == events
    assert Strategy.objects.get().updated_at == strategy.updated_at


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"start": "2008-01-01"}, "end", "invalid"),
        ({"start": "soon"}, "start", "invalid"),
        ({"symbols": ["NOPE"]}, "symbols/0", "unknown_symbol"),
        ({"symbols": ["FB"]}, "symbols/0", "no_bars"),
        ({"params": {"fast": 50}}, "params/fast", "constraint"),
        ({"params": {"speed": 5}}, "params/speed", "unknown_parameter"),
        ({"params": [1]}, "params", "invalid"),
        ({"costs": {"fee": -0.1}}, "costs/fee", "min_value"),
        ({"costs": {"tax": 0.1}}, "costs/tax", "unknown_field"),
        ({"step": "prices"}, "step", "unknown"),
        ({"initial_cash": "much"}, "initial_cash", "invalid"),
        ({"direction": "long_short", "take_profit": 2.0}, "take_profit", "invalid"),
        ({"leverage": 2}, "leverage", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named(api: Api, crossing: Crossing, body: dict[str, Any], pointer: str, code: str) -> None:
    answer = asked(api("trader"), crossing(), **body)
    assert answer.status_code == 400, answer.json()
    assert (pointer, code) in [(error["pointer"].lstrip("/"), error["code"]) for error in answer.json()["errors"]]


def test_a_strategy_without_symbols_asks_for_some(api: Api, crossing: Crossing) -> None:
    answer = asked(api("trader"), crossing([]))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].lstrip("/") == "symbols"


def test_a_strategy_that_decides_by_nothing_is_refused_with_a_code(api: Api) -> None:
    steps = [{"name": "prices", "type": "market_data", "config": {}}]
    strategy = strategy_create(actor=SYSTEM, name="Silent", symbols=["IBM"], param={"steps": steps})
    answer = asked(api("trader"), strategy)
    assert (answer.status_code, answer.json()["code"]) == (422, "STRATEGY_WITHOUT_SIGNAL")


def test_an_unknown_strategy_is_not_found(api: Api) -> None:
    assert asked(api("trader"), str(uuid.uuid4())).status_code == 404
    assert asked(api("trader"), "nonsense").status_code in (400, 404)


def test_more_than_can_be_answered_at_once_is_refused(
    api: Api, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BARS_MAX", 1_000)
    answer = asked(api("trader"), crossing())
    assert answer.json()["errors"][0]["code"] == "too_many_bars"


def test_a_long_curve_and_many_trades_are_thinned_and_counted(
    api: Api, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, strategy = api("trader"), crossing()
    whole = told(client, strategy)
    monkeypatch.setattr(module, "POINTS_MAX", 100)
    monkeypatch.setattr(module, "TRADES_MAX", 3)
    short = told(client, strategy)
    assert len(short["equity"]) <= 100
    assert short["equity"][-1] == whole["equity"][-1]
    assert short["trades"] == whole["trades"][:3]
    assert short["trades_left_out"] == len(whole["trades"]) - 3
    assert short["statistics"] == whole["statistics"]


def test_a_strategy_is_not_judged_on_bars_that_it_learnt_from(
    api: Api, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = strategy_types.get("sma_crossover")
    knows = replace(kind, objection=lambda params, first: FieldError("params/fast", "learnt_from", "It knows them."))
    monkeypatch.setitem(strategy_types._items, kind.slug, knows)
    answer = asked(api("trader"), crossing())
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "learnt_from"
