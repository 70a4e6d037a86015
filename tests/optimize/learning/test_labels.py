"""Labels: what a position taken after the bar would have come to, and until when that was open."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import Bars
from market.indicators import compute
from optimize.learning.errors import ModelConfigInvalid
from optimize.learning.labels import UNKNOWN, LabelConfig, label_config, labels
from tests.optimize.learning.samples import noise

CONFIGS = (
    LabelConfig(horizon=1),
    LabelConfig(horizon=4, threshold=0.01),
    LabelConfig(kind="triple_barrier", horizon=6, upper=1.0, lower=0.7, period=5),
    LabelConfig(kind="triple_barrier", horizon=9, upper=1.5, lower=2.5, period=8, scale="volatility"),
)
configs = st.sampled_from(CONFIGS)


def _expected(bars: Bars, config: LabelConfig, t: int) -> tuple[int, int, float]:
    """Walk through the bars as a person would."""
    nothing = (UNKNOWN, UNKNOWN, float("nan"))
    if config.kind == "horizon":
        last = t + 1 + config.horizon
        if last >= len(bars):
            return nothing
        move = bars.open[last] / bars.open[t + 1] - 1
        return int(move > config.threshold), last, move
    if t + config.horizon >= len(bars):
        return nothing
    fill = bars.open[t + 1]
    if config.scale == "atr":
        distance = compute("atr", bars, {"period": config.period})["value"][t]
    else:
        changes = np.diff(np.log(bars.close[: t + 1]))
        distance = fill * np.std(changes[-config.period :], ddof=1) if len(changes) >= config.period else np.nan
    if not np.isfinite(distance):
        return nothing
    upper, lower = fill + config.upper * distance, fill - config.lower * distance
    for day in range(t + 1, t + 1 + config.horizon):
        if bars.low[day] <= lower:
            return 0, day, min(lower, bars.open[day]) / fill - 1
        if bars.high[day] >= upper:
            return 1, day, max(upper, bars.open[day]) / fill - 1
    move = bars.close[t + config.horizon] / fill - 1
    return int(move > config.threshold), t + config.horizon, move


@given(config=configs, seed=st.integers(0, 500), count=st.integers(0, 60))
def test_labels_equal_a_walk_through_the_bars(config: LabelConfig, seed: int, count: int) -> None:
    bars = noise(60, seed).slice(0, count)
    found = labels(bars, config)
    for t in range(count):
        up, end, move = _expected(bars, config, t)
        assert (found.up[t], found.end[t]) == (up, end)
        np.testing.assert_allclose(found.move[t], move, rtol=1e-9, atol=1e-12)


@given(config=configs, seed=st.integers(0, 500), t=st.integers(0, 59))
def test_a_label_depends_on_no_bar_behind_its_end(config: LabelConfig, seed: int, t: int) -> None:
    bars = noise(60, seed)
    found = labels(bars, config)
    if found.up[t] == UNKNOWN:
        return
    end = int(found.end[t])
    assert end > t
    later = np.arange(60) > end
    other = replace(
        bars, **{name: np.where(later, 3.0, getattr(bars, name)) for name in ("open", "high", "low", "close")}
    )
    again = labels(other, config)
    assert (again.up[t], again.end[t], again.move[t]) == (found.up[t], end, found.move[t])


def test_a_bar_that_touches_both_barriers_counts_as_a_loss() -> None:
    bars = noise(40, 3)
    high, low = bars.high.copy(), bars.low.copy()
    high[30], low[30] = 1e6, 1e-6
    config = LabelConfig(kind="triple_barrier", horizon=5, upper=50.0, lower=50.0, period=5)
    found = labels(replace(bars, high=high, low=low), config)
    assert found.up[29] == 0
    assert found.end[29] == 30


def test_bars_near_the_end_have_no_label_though_a_barrier_was_touched() -> None:
    bars = noise(60, 1)
    config = LabelConfig(kind="triple_barrier", horizon=10, upper=0.1, lower=0.1, period=5)
    found = labels(bars, config)
    assert (found.up[-10:] == UNKNOWN).all()
    assert (found.up[10:-10] != UNKNOWN).all()


def test_a_bar_without_an_open_to_fill_at_has_no_label() -> None:
    bars = noise(60, 1)
    opens = bars.open.copy()
    opens[31] = np.nan
    for config in CONFIGS:
        assert labels(replace(bars, open=opens), config).up[30] == UNKNOWN


def test_a_configuration_reads_itself_again() -> None:
    for config in (LabelConfig(), CONFIGS[2]):
        assert label_config(config.as_json()) == config


@pytest.mark.parametrize(
    ("value", "name", "code"),
    [
        ({"kind": "meta"}, "kind", "invalid_choice"),
        ({"horizon": 0}, "horizon", "out_of_range"),
        ({"horizon": 1.5}, "horizon", "invalid"),
        ({"horizon": True}, "horizon", "invalid"),
        ({"threshold": float("inf")}, "threshold", "invalid"),
        ({"kind": "triple_barrier", "upper": -1}, "upper", "out_of_range"),
        ({"upper": 3.0}, "upper", "contradiction"),
        ({"barrier": 3.0}, "barrier", "unknown"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_named(value: dict[str, Any], name: str, code: str) -> None:
    with pytest.raises(ModelConfigInvalid) as caught:
        label_config(value)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(f"label_config/{name}", code)]
