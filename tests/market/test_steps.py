"""The two step types, run as the runner runs them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import talib

from market import selectors
from market.models import BarImport, Instrument
from market.steps import IndicatorStep, MarketDataStep
from tests.market.conftest import daily_csv
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated
from tradingsite.common.contracts.steps import StepContext, StepError, StepInterrupted, StepType, step_types
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.ids import uuid7

WALL = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def run(
    step: type[StepType],
    config: Mapping[str, Any],
    *,
    symbols: tuple[str, ...] = ("IBM",),
    outputs: Mapping[str, Any] | None = None,
    as_of: datetime = WALL,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    context = StepContext(
        execution_id=uuid7(),
        step_index=0,
        step_name="step",
        attempt=1,
        actor=Actor.system("tests"),
        strategy_id=None,
        strategy_name="",
        workflow_name="",
        symbols=symbols,
        params={},
        config=validated(step.config_class, dict(config)),
        as_of=as_of,
        mode="paper",
        outputs=outputs or {},
        log=lambda _: None,
        progress=lambda _: None,
        check=check,
    )
    return dict(step().run(context).output)


def test_both_steps_are_registered() -> None:
    assert step_types.get("market_data") is MarketDataStep
    assert step_types.get("indicator") is IndicatorStep


def test_market_data_pins_what_the_run_sees(sample: BarImport) -> None:
    output = run(MarketDataStep, {}, symbols=("IBM", "TSLA"))
    pin = output["series"]["IBM"]
    assert pin["series_id"] == str(selectors.series_get(symbol="IBM").pk)
    assert {name: pin[name] for name in ("source", "timeframe", "adjustment", "version", "bars")} == {
        "source": "sample",
        "timeframe": "1d",
        "adjustment": "split_dividend",
        "version": 1,
        "bars": 400,
    }
    assert pin["decision_time"] == "2013-02-28T14:30:00Z"
    assert pin["market_now"] == "2013-03-01T14:30:00Z"
    assert list(output["skipped"]) == ["TSLA"]
    assert "INSTRUMENT_UNKNOWN" in output["skipped"]["TSLA"]


def test_the_decision_close_is_the_price_as_it_was(sample: BarImport) -> None:
    output = run(MarketDataStep, {"adjustment": "none"}, symbols=("GOOG",))
    bars = selectors.bars_load(symbol="GOOG", adjustment="none")
    assert float(output["series"]["GOOG"]["decision_close"]) == bars.close[-2]


def test_the_generated_market_is_entered_when_it_is_named(db: None) -> None:
    output = run(MarketDataStep, {"source": "demo", "timeframe": "15m", "lookback": 50}, symbols=("ACME",))
    pin = output["series"]["ACME"]
    assert (pin["generated"], pin["bars"], pin["market_now"]) == (True, 50, "2026-01-05T15:00:00Z")
    assert Instrument.objects.filter(symbol="ACME").exists()


def test_an_indicator_is_computed_on_the_pinned_bars_only(put: Callable[..., BarImport]) -> None:
    put(daily_csv(60))
    data = run(MarketDataStep, {"lookback": 50}, symbols=("ACME",))
    put(daily_csv(80))
    output = run(IndicatorStep, {"indicator": "rsi", "params": {"period": 5}}, outputs={"data": data})
    bars = selectors.bars_load(symbol="ACME", version=1).slice(0, 59).last(50)
    expected = talib.RSI(np.array(bars.close), 5)
    assert output["indicators"] == {"rsi_5": {"ACME": {"value": expected[-1], "previous": expected[-2]}}}


def test_a_resumed_run_on_the_generated_market_sees_the_same(db: None) -> None:
    data = run(MarketDataStep, {"source": "demo"}, symbols=("ACME",))
    config = {"indicator": "ema", "params": {"period": 10}}
    one = run(IndicatorStep, config, outputs={"data": data})
    two = run(IndicatorStep, config, outputs={"data": data}, as_of=WALL + timedelta(days=30))
    assert one == two


def test_every_output_of_an_indicator_has_a_name(sample: BarImport) -> None:
    data = run(MarketDataStep, {})
    output = run(IndicatorStep, {"indicator": "bbands", "name": "bands"}, outputs={"data": data})
    assert set(output["indicators"]) == {"bands", "bands_upper", "bands_middle", "bands_lower"}
    low, high = (output["indicators"][name]["IBM"]["value"] for name in ("bands_lower", "bands_upper"))
    assert low < high


def test_an_indicator_that_still_warms_up_has_no_value(put: Callable[..., BarImport]) -> None:
    put(daily_csv(10))
    data = run(MarketDataStep, {}, symbols=("ACME",))
    output = run(IndicatorStep, {"indicator": "sma", "params": {"period": 50}}, outputs={"data": data})
    assert output["indicators"]["sma_50"]["ACME"] == {"value": None, "previous": None}


def test_steps_fail_with_a_code_that_says_what_is_missing(sample: BarImport) -> None:
    with pytest.raises(StepError) as caught:
        run(MarketDataStep, {}, symbols=())
    assert caught.value.code == "NO_SYMBOLS"
    with pytest.raises(StepError) as caught:
        run(MarketDataStep, {}, symbols=("TSLA",))
    assert caught.value.code == "NO_MARKET_DATA"
    with pytest.raises(StepError) as caught:
        run(IndicatorStep, {"indicator": "sma"})
    assert caught.value.code == "NO_MARKET_DATA"


def test_too_few_bars_skip_a_symbol(put: Callable[..., BarImport], sample: BarImport) -> None:
    put(daily_csv(10))
    output = run(MarketDataStep, {"min_bars": 100}, symbols=("ACME", "IBM"))
    assert list(output["series"]) == ["IBM"]
    assert "TOO_FEW_BARS" in output["skipped"]["ACME"]


def test_a_step_stops_when_the_run_must_stop(sample: BarImport) -> None:
    def stop() -> None:
        raise StepInterrupted

    with pytest.raises(StepInterrupted):
        run(MarketDataStep, {}, check=stop)


@pytest.mark.parametrize(
    ("step", "config", "pointer"),
    [
        (MarketDataStep, {"timeframe": "2d"}, "timeframe"),
        (MarketDataStep, {"lookback": 1}, "lookback"),
        (MarketDataStep, {"lookback": 10, "min_bars": 20}, "min_bars"),
        (MarketDataStep, {"source": "../x"}, "source"),
        (MarketDataStep, {"sauce": "demo"}, "sauce"),
        (IndicatorStep, {}, "indicator"),
        (IndicatorStep, {"indicator": "magic"}, "indicator"),
        (IndicatorStep, {"indicator": "rsi", "params": {"period": 1}}, "params/period"),
        (IndicatorStep, {"indicator": "rsi", "params": {"length": 9}}, "params/length"),
        (IndicatorStep, {"indicator": "macd", "params": {"fast": 30}}, "params/fast"),
        (IndicatorStep, {"indicator": "atr", "on": "open"}, "params/on"),
        (IndicatorStep, {"indicator": "sma", "name": "No Good"}, "name"),
        (IndicatorStep, {"indicator": "sma", "params": [1]}, "params"),
    ],
)
def test_a_wrong_config_is_named(step: type[StepType], config: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        validated(step.config_class, config)
    assert [error.pointer for error in caught.value.errors] == [pointer]
