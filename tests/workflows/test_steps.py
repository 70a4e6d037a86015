"""The signal and condition steps over the real sample prices, with the shelf of bars and the account replaced."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from market.bars import Bars, from_ns
from tests.workflows.samples import made_bars, sample_bars
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.steps import StepContext, StepInterrupted
from workflows import steps
from workflows.definitions import config_typed
from workflows.errors import NoMarketData, UnknownFigure
from workflows.strategies import strategy_types, target_position


class Desk:
    """Bars by symbol and held quantities, in place of the store and the account; remembers what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bars: dict[str, Bars] = {}
        self.held: dict[str, Decimal] = {}
        self.asked: list[dict[str, Any]] = []
        monkeypatch.setattr(steps, "bars_load", self._load)
        monkeypatch.setattr(steps, "account_default", lambda: None)
        monkeypatch.setattr(steps, "position_quantity", lambda account, symbol: self.held.get(symbol, Decimal(0)))

    def _load(self, **query: Any) -> Bars:
        self.asked.append(query)
        return self.bars[query["symbol"]].until(query["end"]).last(query["limit"])

    def series(self, symbol: str, last: int = -2) -> dict[str, Any]:
        """Return what market_data would say: the bar at `last` is the newest complete one."""
        bars = self.bars[symbol]
        return {
            "series_id": str(uuid4()),
            "source": "sample",
            "timeframe": "1d",
            "adjustment": "split_dividend",
            "version": 3,
            "bars": 400,
            "decision_time": rfc3339(from_ns(int(bars.time[last]))),
            "decision_close": str(Decimal(repr(float(bars.close[last])))),
            "market_now": rfc3339(from_ns(int(bars.time[-1]))),
        }


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def _context(slug: str, config: dict[str, Any], outputs: dict[str, Any], **changes: Any) -> StepContext:
    facts: dict[str, Any] = {
        "execution_id": uuid4(),
        "step_index": 3,
        "step_name": "step",
        "attempt": 1,
        "actor": Actor.system("tests"),
        "strategy_id": None,
        "strategy_name": "S",
        "workflow_name": "W",
        "symbols": (),
        "params": {},
        "config": config_typed(slug, config),
        "as_of": utcnow(),
        "mode": "paper",
        "outputs": outputs,
        "log": lambda line: None,
        "progress": lambda share: None,
        "check": lambda: None,
    }
    return StepContext(**{**facts, **changes})


def _signal(desk: Desk, config: dict[str, Any], last: int = -2, **changes: Any) -> list[dict[str, Any]]:
    outputs = {"prices": {"series": {symbol: desk.series(symbol, last) for symbol in desk.bars}}}
    result = steps.Signal().run(_context("signal", config, outputs, **changes))
    decisions: list[dict[str, Any]] = result.output["decisions"]
    return decisions


def test_the_step_decides_what_the_strategy_function_says(desk: Desk) -> None:
    desk.bars = {symbol: sample_bars(symbol) for symbol in ("AAPL", "GOOG", "IBM")}
    decisions = _signal(desk, {"strategy_type": "two_indicator", "stop_pct": 5, "target_pct": 10})
    kind = strategy_types.get("two_indicator")
    for decision in decisions:
        bars = sample_bars(decision["symbol"])
        wanted = target_position(kind.signals(bars, kind.clean({})))[-2]
        assert decision["action"] == ("BUY" if wanted else "HOLD")
    assert [(d["symbol"], d["action"]) for d in decisions] == [("AAPL", "HOLD"), ("GOOG", "BUY"), ("IBM", "BUY")]
    goog = decisions[1]
    close = Decimal(goog["price"])
    assert close == Decimal(repr(float(sample_bars("GOOG").close[-2])))
    assert goog["r_coefficient"] == 2.0
    assert abs(Decimal(goog["stop"]) - close * Decimal("0.95")) < Decimal("1e-9")
    assert abs(Decimal(goog["target"]) - close * Decimal("1.1")) < Decimal("1e-9")
    assert 0 < goog["confidence"] <= 1
    assert "rsi 14 = 65.5788" in goog["reason"]


def test_the_pinned_version_is_read_and_nothing_behind_the_decision_bar(desk: Desk) -> None:
    bars = sample_bars("GOOG")
    desk.bars = {"GOOG": bars}
    before = _signal(desk, {"strategy_type": "two_indicator"})
    asked = desk.asked[-1]
    assert (asked["version"], asked["source"], asked["adjustment"]) == (3, "sample", "split_dividend")
    ruined = bars.close.copy()
    ruined[-1] = 1.0
    desk.bars = {"GOOG": replace(bars, close=ruined)}
    assert _signal(desk, {"strategy_type": "two_indicator"}) == before


def test_what_is_held_and_unwanted_is_sold(desk: Desk) -> None:
    desk.bars = {"AAPL": sample_bars("AAPL"), "GOOG": sample_bars("GOOG")}
    desk.held = {"AAPL": Decimal(10), "GOOG": Decimal(10)}
    actions = {d["symbol"]: d["action"] for d in _signal(desk, {"strategy_type": "sma_crossover"})}
    assert actions == {"AAPL": "SELL", "GOOG": "HOLD"}


def test_an_event_entry_waits_for_the_bar_on_which_it_began(desk: Desk) -> None:
    closes = [100.0] * 10 + [90.0, 120.0, 121.0]
    desk.bars = {"X": made_bars(closes)}
    config = {"strategy_type": "sma_crossover", "params": {"fast": 2, "slow": 5}, "entry": "event"}
    assert _signal(desk, config, last=-2)[0]["action"] == "BUY"
    assert _signal(desk, config, last=-1)[0]["action"] == "HOLD"
    assert _signal(desk, {**config, "entry": "state"}, last=-1)[0]["action"] == "BUY"


def test_too_few_bars_hold_with_a_code(desk: Desk) -> None:
    desk.bars = {"FB": sample_bars("FB").slice(0, 30)}
    (decision,) = _signal(desk, {"strategy_type": "sma_crossover", "stop_atr": 2, "target_atr": 4})
    assert decision["action"] == "HOLD"
    assert decision["reason"].startswith("INSUFFICIENT_BARS: sma_crossover needs 50 bars")
    assert decision["r_coefficient"] is None


def test_a_stop_in_true_ranges_is_measured_from_the_close(desk: Desk) -> None:
    desk.bars = {"GOOG": sample_bars("GOOG")}
    (decision,) = _signal(desk, {"strategy_type": "sma_crossover", "stop_atr": 2, "target_atr": 3})
    assert decision["r_coefficient"] == pytest.approx(1.5)
    bars = sample_bars("GOOG").slice(0, -1)
    before = np.concatenate(([np.nan], bars.close[:-1]))
    ranges = np.maximum(bars.high, before)[1:] - np.minimum(bars.low, before)[1:]
    average = ranges[:14].mean()
    for value in ranges[14:]:
        average = (average * 13 + value) / 14
    assert float(decision["stop"]) == pytest.approx(float(decision["price"]) - 2 * average, rel=1e-9)


def test_a_bar_with_nan_is_no_signal_and_no_crash(desk: Desk) -> None:
    bars = sample_bars("GOOG")
    high = bars.high.copy()
    high[-2] = np.nan
    desk.bars = {"GOOG": replace(bars, high=high)}
    (decision,) = _signal(desk, {"strategy_type": "donchian_breakout", "stop_atr": 2, "target_atr": 3})
    assert decision["action"] in ("BUY", "HOLD")
    assert decision["stop"] is None


def test_the_signal_stops_between_symbols_when_told(desk: Desk) -> None:
    desk.bars = {"GOOG": sample_bars("GOOG")}

    def interrupted() -> None:
        raise StepInterrupted

    with pytest.raises(StepInterrupted):
        _signal(desk, {"strategy_type": "macd"}, check=interrupted)


def test_a_signal_without_prices_is_a_coded_failure() -> None:
    with pytest.raises(NoMarketData):
        steps.Signal().run(_context("signal", {"strategy_type": "macd"}, {}))


def _decision(symbol: str, action: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": action, "reason": "because", "stop": "1", "target": "3", "r_coefficient": 2.0}


def _condition(desk: Desk, config: dict[str, Any]) -> dict[str, Any]:
    outputs = {
        "prices": {"series": {symbol: desk.series(symbol) for symbol in ("GOOG", "IBM")}},
        "rsi": {
            "indicators": {"rsi": {"GOOG": {"value": 80.0, "previous": 60.0}, "IBM": {"value": 40.0, "previous": 45.0}}}
        },
        "signal": {"decisions": [_decision("GOOG", "BUY"), _decision("IBM", "BUY")]},
    }
    return dict(steps.Condition().run(_context("condition", config, outputs)).output)


@pytest.fixture
def two(desk: Desk) -> Desk:
    desk.bars = {"GOOG": sample_bars("GOOG"), "IBM": sample_bars("IBM")}
    return desk


def test_a_failed_condition_turns_a_buy_to_hold_with_the_figures(two: Desk) -> None:
    output = _condition(two, {"rules": [{"left": "rsi", "op": "<", "right": 70}]})
    assert output["active_symbols"] == ["IBM"]
    assert output["conditions"]["GOOG"] == {"passed": False, "detail": "not rsi 80 < 70"}
    goog, ibm = output["decisions"]
    assert (goog["action"], goog["stop"], goog["r_coefficient"]) == ("HOLD", None, None)
    assert goog["reason"] == "CONDITION_FAILED: not rsi 80 < 70 (it was BUY: because)"
    assert ibm == _decision("IBM", "BUY")


def test_a_condition_on_sales_leaves_buys_alone(two: Desk) -> None:
    output = _condition(two, {"rules": [{"left": "rsi", "op": "<", "right": 70}], "applies_to": "sell"})
    assert [decision["action"] for decision in output["decisions"]] == ["BUY", "BUY"]


def test_the_close_may_cross_a_figure(two: Desk) -> None:
    bars = sample_bars("GOOG")
    between = float(bars.close[-3] + bars.close[-2]) / 2
    op = "crosses_above" if bars.close[-2] > bars.close[-3] else "crosses_below"
    output = _condition(two, {"rules": [{"left": "close", "op": op, "right": between}]})
    assert output["active_symbols"] == ["GOOG"]


def test_an_unknown_figure_fails_with_a_code(two: Desk) -> None:
    with pytest.raises(UnknownFigure):
        _condition(two, {"rules": [{"left": "sma", "op": "<", "right": 70}]})
