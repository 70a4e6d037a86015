"""Strategy types: against recorded figures of other code, against look-ahead, and in their declarations."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workflows.samples import made_bars, sample_bars
from tradingsite.common.errors import ValidationFailed
from workflows.strategies import (
    Column,
    Columns,
    ColumnSource,
    Comparison,
    Rule,
    Signals,
    column_sources,
    confidence,
    strategy_types,
    target_position,
)
from workflows.strategies.base import Condition, Study
from workflows.strategies.rules import evaluate

CASES = json.loads((Path(__file__).parent / "figures" / "strategies.json").read_text())
EVERY = 251
# A model must be trained before it is looked at: tests/optimize/modelling.
TYPES = [kind for kind in strategy_types.all() if not kind.references]

# Small parameters for generated histories of a few dozen bars.
SHORT: dict[str, dict[str, Any]] = {
    "momentum": {"lookback": 3},
    "sma_crossover": {"fast": 2, "slow": 5},
    "ema_crossover": {"fast": 2, "slow": 5},
    "rsi_reversion": {"period": 3, "oversold": 45.0, "overbought": 55.0},
    "macd": {"fast": 2, "slow": 4, "signal": 2},
    "bollinger_breakout": {"period": 4, "deviations": 0.5},
    "donchian_breakout": {"entry_period": 4, "exit_period": 2},
    "two_indicator": {"trend_period": 4, "rsi_period": 3},
    "three_indicator": {"trend_period": 4, "rsi_period": 3, "macd_fast": 2, "macd_slow": 4, "macd_signal": 2},
}

# Steps down to single ticks, so that equal prices and tiny margins occur.
prices = st.lists(
    st.one_of(st.integers(50, 150).map(float), st.floats(50.0, 150.0, allow_nan=False)), min_size=1, max_size=60
)


def _bits(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))[:count].astype(bool)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['strategy_type']}-{c['symbol']}-{CASES.index(c)}")
def test_signals_and_figures_equal_the_recorded_ones(case: dict[str, Any]) -> None:
    kind = strategy_types.get(case["strategy_type"])
    bars = sample_bars(case["symbol"])
    assert len(bars) == case["bars"]

    study = kind.study(bars, kind.clean(case["params"]))

    np.testing.assert_array_equal(study.signals.entries, _bits(case["entries"], len(bars)))
    np.testing.assert_array_equal(study.signals.exits, _bits(case["exits"], len(bars)))
    for (name, values), recorded in zip(study.figures.items(), case["figures"], strict=True):
        expected = np.array([np.nan if x is None else x for x in recorded])
        np.testing.assert_allclose(values[::EVERY], expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['strategy_type']}-{c['symbol']}-{CASES.index(c)}")
def test_the_target_is_what_vectorbt_holds_one_bar_later(case: dict[str, Any]) -> None:
    kind = strategy_types.get(case["strategy_type"])
    bars = sample_bars(case["symbol"])
    target = target_position(kind.signals(bars, kind.clean(case["params"])))
    held = _bits(case["held"], len(bars))
    np.testing.assert_array_equal(target[:-1], held[1:])
    assert not held[0]


def test_every_strategy_type_has_recorded_figures_and_trades_in_them() -> None:
    traded = {case["strategy_type"] for case in CASES if _bits(case["held"], case["bars"]).any()}
    assert traded == {kind.slug for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
@given(closes=prices, later=prices)
def test_a_signal_never_changes_when_later_bars_are_added(kind: Any, closes: list[float], later: list[float]) -> None:
    params = kind.clean(SHORT[kind.slug])
    now, then = kind.study(made_bars(closes), params), kind.study(made_bars(closes + later), params)
    count = len(closes)
    np.testing.assert_array_equal(now.signals.entries, then.signals.entries[:count])
    np.testing.assert_array_equal(now.signals.exits, then.signals.exits[:count])
    np.testing.assert_array_equal(target_position(now.signals), target_position(then.signals)[:count])
    for name, values in now.figures.items():
        np.testing.assert_allclose(values, then.figures[name][:count], rtol=1e-12, atol=1e-12)
    wanted = int(target_position(now.signals)[-1])
    assert confidence(now, count - 1, wanted) == pytest.approx(confidence(then, count - 1, wanted), abs=1e-6)


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_a_signal_on_real_prices_never_changes_when_later_bars_are_added(kind: Any) -> None:
    params, bars = kind.clean({}), sample_bars("MSFT")
    whole = kind.signals(bars, params)
    for count in (1, 2, 30, 64, 200, 777, 2500, len(bars) - 1):
        part = kind.signals(bars.slice(0, count), params)
        np.testing.assert_array_equal(part.entries, whole.entries[:count])
        np.testing.assert_array_equal(part.exits, whole.exits[:count])


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_a_bar_with_nan_gives_no_signal_and_nothing_is_carried_over_it(kind: Any) -> None:
    bars = sample_bars("IBM").slice(0, 600)
    params = kind.clean({})
    for column in ("open", "high", "low", "close"):
        values = getattr(bars, column).copy()
        values[300] = np.nan
        signals = kind.signals(replace(bars, **{column: values}), params)
        assert not signals.entries[300]
        assert not signals.exits[300]


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_no_signal_comes_before_the_declared_warm_up(kind: Any) -> None:
    for params in itertools.islice(kind.default_grid(), 12):
        clean = kind.clean(params)
        bars = sample_bars("AAPL")
        signals = kind.signals(bars, clean)
        first = int(np.argmax(signals.entries | signals.exits))
        assert first >= kind.warmup(clean) - 1
        short = kind.signals(bars.slice(0, kind.warmup(clean) - 1), clean)
        assert not (short.entries | short.exits).any()


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_no_bars_give_no_signals(kind: Any) -> None:
    signals = kind.signals(made_bars([]), kind.clean({}))
    assert len(signals.entries) == len(signals.exits) == len(target_position(signals)) == 0


def test_the_default_grid_of_momentum_has_eighteen_combinations() -> None:
    assert len(list(strategy_types.get("momentum").default_grid())) == 18


@pytest.mark.parametrize("kind", TYPES, ids=lambda k: k.slug)
def test_every_combination_of_a_default_grid_is_valid_and_different(kind: Any) -> None:
    grid = list(kind.default_grid())
    assert len(grid) >= 8
    assert len({json.dumps(kind.clean(params), sort_keys=True) for params in grid}) == len(grid)


@pytest.mark.parametrize(
    ("slug", "params", "pointer"),
    [
        ("sma_crossover", {"fast": 50, "slow": 20}, "params/fast"),
        ("sma_crossover", {"fast": 20, "slow": 20}, "params/fast"),
        ("sma_crossover", {"fast": 1}, "params/fast"),
        ("sma_crossover", {"fast": 2.5}, "params/fast"),
        ("sma_crossover", {"fast": True}, "params/fast"),
        ("sma_crossover", {"fast": "20"}, "params/fast"),
        ("sma_crossover", {"fast": float("nan")}, "params/fast"),
        ("sma_crossover", {"fast": float("inf")}, "params/fast"),
        ("sma_crossover", {"quick": 20}, "params/quick"),
        ("ema_crossover", {"slow": 1001}, "params/slow"),
        ("momentum", {"threshold": 0, "exit_threshold": 1}, "params/exit_threshold"),
        ("rsi_reversion", {"oversold": 70, "overbought": 30}, "params/oversold"),
        ("macd", {"fast": 26, "slow": 12}, "params/fast"),
        ("bollinger_breakout", {"deviations": 0}, "params/deviations"),
        ("donchian_breakout", {"entry_period": 10, "exit_period": 20}, "params/exit_period"),
        ("two_indicator", {"rsi_entry": 40, "rsi_exit": 50}, "params/rsi_exit"),
        ("three_indicator", {"votes": 1}, "params/votes"),
        ("three_indicator", {"macd_fast": 30}, "params/macd_fast"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(slug: str, params: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as failure:
        strategy_types.get(slug).clean(params)
    assert [error.pointer for error in failure.value.errors] == [pointer]


def test_the_target_stays_until_something_else_is_said() -> None:
    entries = np.array([0, 1, 1, 0, 0, 1, 0, 1, 0], dtype=bool)
    exits = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    # At index 5 both are true: a contradiction, which changes nothing.
    assert target_position(Signals(entries, exits)).tolist() == [0, 1, 1, 1, 0, 0, 0, 1, 1]


def test_confidence_is_the_mean_of_agreeing_ranks() -> None:
    nothing = np.zeros(4, dtype=bool)
    study = Study(
        Signals(nothing, nothing),
        (Condition("a", np.array([1.0, 3.0, -4.0, 2.0])), Condition("b", np.array([np.nan, 1.0, 2.0, -3.0]))),
    )
    # For long at the last bar: a agrees and is no smaller than 2 of 4 margins; b speaks against and counts nothing.
    assert confidence(study, 3, 1) == pytest.approx((2 / 4 + 0) / 2)
    # For flat: a speaks against; b agrees and is the largest of its three.
    assert confidence(study, 3, 0) == pytest.approx((0 + 3 / 3) / 2)
    # NaN supports nothing.
    assert confidence(study, 0, 1) == pytest.approx((1 + 0) / 2)


def _rises(count: int) -> Any:
    return made_bars([100.0 + step for step in range(count)])


def test_a_figure_of_earlier_bars_is_shifted_and_never_looks_ahead() -> None:
    columns = Columns(_rises(4))
    assert columns.get(Column("close", shift=1)).tolist()[1:] == [100.0, 101.0, 102.0]
    assert np.isnan(columns.get(Column("close", shift=1))[0])
    assert np.isnan(columns.get(Column("close", shift=9))).all()
    with pytest.raises(ValueError, match="look ahead"):
        Column("close", shift=-1)


def test_equal_columns_are_computed_once_whatever_the_order_of_their_parameters() -> None:
    asked: list[Any] = []

    def compute(bars: Any, params: Any) -> dict[str, np.ndarray]:
        asked.append(params)
        return {"value": bars.close, "other": bars.open}

    with column_sources.temporarily(ColumnSource("expectation", compute)):
        columns = Columns(_rises(3))
        first = columns.get(Column("expectation", (("b", 1), ("a", 2))))
        second = columns.get(Column.of("expectation", output="other", a=2, b=1))
    np.testing.assert_array_equal(first, columns.bars.close)
    np.testing.assert_array_equal(second, columns.bars.open)
    assert asked == [{"a": 2, "b": 1}]


def test_a_column_of_the_wrong_length_is_refused() -> None:
    short = ColumnSource("short", lambda bars, params: {"value": bars.close[1:]})
    with column_sources.temporarily(short), pytest.raises(ValueError, match="2 figures for 3 bars"):
        Columns(_rises(3)).get(Column("short"))


@pytest.mark.parametrize("name", ["close", "sma"])
def test_a_column_source_may_not_take_the_name_of_a_price_or_an_indicator(name: str) -> None:
    with pytest.raises(ValueError, match=name), column_sources.temporarily(ColumnSource(name, lambda b, p: {})):
        pass


def test_a_rule_speaks_where_enough_comparisons_hold_and_every_column_is_known() -> None:
    nan = math.nan
    figures = {"a": [1.0, 1, 0, 1, nan, 0], "b": [1.0, 0, 1, math.inf, 1, 0]}
    sources = [
        ColumnSource(name, lambda bars, params, v=values: {"value": np.array(v)}) for name, values in figures.items()
    ]
    a, b = Column("a"), Column("b")
    entries, exits = (Comparison(a, True, 0.5), Comparison(b, True, 0.5)), (Comparison(a, False, b),)
    with column_sources.temporarily(*sources):
        columns = Columns(_rises(6))
        either, _ = evaluate(Rule(entries, 1, exits, 1), columns)
        both, leaves = evaluate(Rule(entries, 2, exits, 1), columns)
    assert either.tolist() == [True, True, True, False, False, False]
    assert both.tolist() == [True, False, False, False, False, False]
    assert leaves.tolist() == [False, False, True, False, False, False]


def test_a_rule_that_nothing_needs_to_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rule((), 0, (), 1)
