"""Indicators against TA-Lib itself, against slow references of our own, and against the future."""

from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from market.bars import COLUMNS, Bars, FloatArray
from market.errors import IndicatorParamsInvalid, IndicatorUnknown
from market.indicators import INDICATORS, compute
from tests.market import slow


def walk(count: int, seed: int = 7) -> Bars:
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.02, count)))
    open_ = close * np.exp(random.normal(0.0, 0.005, count))
    return Bars.of(
        {
            "time": np.arange(count, dtype=np.int64) * 86_400_000_000_000,
            "open": open_,
            "high": np.maximum(open_, close) * (1 + random.uniform(0, 0.01, count)),
            "low": np.minimum(open_, close) * (1 - random.uniform(0, 0.01, count)),
            "close": close,
            "volume": np.floor(random.uniform(1e5, 1e6, count)),
        }
    )


def with_column(bars: Bars, name: str, index: int, value: float) -> Bars:
    columns: dict[str, Any] = {column: np.array(getattr(bars, column)) for column in COLUMNS}
    columns[name][index] = value
    return Bars.of(columns)


def same(ours: FloatArray, theirs: FloatArray) -> None:
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def talib_direct(name: str, b: Bars) -> tuple[FloatArray, ...]:
    hlc = (np.array(b.high), np.array(b.low), np.array(b.close))
    close = hlc[2]
    calls: dict[str, Any] = {
        "sma": lambda: talib.SMA(close, 20),
        "ema": lambda: talib.EMA(close, 20),
        "wma": lambda: talib.WMA(close, 20),
        "rsi": lambda: talib.RSI(close, 14),
        "roc": lambda: talib.ROC(close, 10),
        "mom": lambda: talib.MOM(close, 10),
        "atr": lambda: talib.ATR(*hlc, 14),
        "natr": lambda: talib.NATR(*hlc, 14),
        "adx": lambda: talib.ADX(*hlc, 14),
        "cci": lambda: talib.CCI(*hlc, 20),
        "willr": lambda: talib.WILLR(*hlc, 14),
        "macd": lambda: talib.MACD(close, 12, 26, 9),
        "bbands": lambda: talib.BBANDS(close, 20, 2.0, 2.0),
        "stoch": lambda: talib.STOCH(*hlc, fastk_period=14, slowk_period=3, slowd_period=3),
        "obv": lambda: talib.OBV(close, np.array(b.volume)),
    }
    result = calls[name]()
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", sorted(set(INDICATORS) - {"donchian", "vwap"}))
def test_each_indicator_equals_ta_lib(name: str) -> None:
    bars = walk(600)
    ours = compute(name, bars, {})
    for output, theirs in zip(ours.values(), talib_direct(name, bars), strict=True):
        same(output, theirs)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sma", {"period": 7}),
        ("ema", {"period": 7}),
        ("rsi", {"period": 5}),
        ("macd", {"fast": 5, "slow": 11, "signal": 4}),
        ("bbands", {"period": 9, "width": 1.5}),
        ("donchian", {"period": 6}),
        ("vwap", {"period": 6}),
    ],
)
def test_an_indicator_equals_its_slow_reference(name: str, params: dict[str, Any]) -> None:
    bars = walk(200)
    expected = getattr(slow, name)(bars, **params)
    ours = compute(name, bars, params)
    assert set(ours) == set(expected)
    for output in expected:
        same(ours[output], np.array(expected[output]))


@pytest.mark.parametrize("name", sorted(INDICATORS))
def test_the_declared_warm_up_is_the_number_of_leading_bars_without_a_value(name: str) -> None:
    indicator = INDICATORS[name]
    values = indicator.validate({})
    for output in compute(name, walk(400), {}).values():
        assert int(np.argmax(~np.isnan(output))) == indicator.warmup(values)


@pytest.mark.parametrize("name", sorted(INDICATORS))
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_too_few_bars_give_arrays_of_the_same_length(name: str, count: int) -> None:
    assert {len(output) for output in compute(name, walk(count), {}).values()} == {count}


@given(
    name=st.sampled_from(sorted(INDICATORS)),
    seed=st.integers(0, 1000),
    cut=st.integers(1, 179),
    factor=st.floats(0.2, 5.0),
)
def test_later_bars_change_nothing_that_was_computed(name: str, seed: int, cut: int, factor: float) -> None:
    whole = walk(180, seed)
    columns: dict[str, Any] = {column: np.array(getattr(whole, column)) for column in COLUMNS}
    for column in ("open", "high", "low", "close", "volume"):
        columns[column][cut:] *= factor
    early = compute(name, whole.slice(0, cut), {})
    late = compute(name, Bars.of(columns), {})
    for output, array in early.items():
        np.testing.assert_array_equal(array, late[output][:cut])


@pytest.mark.parametrize("name", sorted(set(INDICATORS) - {"obv", "donchian"}))
def test_a_bar_with_nan_has_no_value_and_the_indicator_warms_up_anew(name: str) -> None:
    bars = walk(300)
    broken = compute(name, with_column(bars, "close", 150, float("nan")), {})
    before = compute(name, bars.slice(0, 150), {})
    after = compute(name, bars.slice(151), {})
    for output, array in broken.items():
        assert np.isnan(array[150])
        np.testing.assert_array_equal(array[:150], before[output])
        np.testing.assert_array_equal(array[151:], after[output])


def test_a_one_price_indicator_reads_the_price_that_it_is_told() -> None:
    bars = walk(60)
    same(compute("sma", bars, {"period": 5, "on": "high"})["value"], talib.SMA(np.array(bars.high), 5))
    same(compute("sma", bars, {"period": 5, "on": "hl2"})["value"], talib.SMA((bars.high + bars.low) / 2, 5))


@pytest.mark.parametrize(
    ("name", "params", "pointer"),
    [
        ("sma", {"period": 1}, "params/period"),
        ("sma", {"period": 2.5}, "params/period"),
        ("sma", {"period": True}, "params/period"),
        ("sma", {"period": "14"}, "params/period"),
        ("sma", {"period": float("nan")}, "params/period"),
        ("sma", {"period": 10**400}, "params/period"),
        ("sma", {"period": 10**39}, "params/period"),
        ("sma", {"length": 14}, "params/length"),
        ("sma", {"on": "bid"}, "params/on"),
        ("macd", {"fast": 26, "slow": 12}, "params/fast"),
        ("bbands", {"width": 0}, "params/width"),
    ],
)
def test_wrong_parameters_are_named(name: str, params: dict[str, Any], pointer: str) -> None:
    with pytest.raises(IndicatorParamsInvalid) as caught:
        compute(name, walk(50), params)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def test_an_unknown_indicator_is_named() -> None:
    with pytest.raises(IndicatorUnknown) as caught:
        compute("magic", walk(5), {})
    assert caught.value.errors[0].pointer == "indicator"


def test_every_parameter_is_described() -> None:
    for indicator in INDICATORS.values():
        schema = indicator.schema()
        assert schema["additionalProperties"] is False
        for name, field in schema["properties"].items():
            assert field["description"], (indicator.slug, name)
            assert field["default"] is not None
