"""Figures of forecasts against scikit-learn's, and of following them against a plain account."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from market.bars import Bars
from optimize.learning.errors import ModelConfigInvalid
from optimize.learning.metrics import classification
from optimize.learning.trading import SignalConfig, follow, market, signal_config, statistics
from tests.optimize.learning.samples import noise


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60),
)
def test_figures_equal_those_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    up = np.array([rose for rose, _ in rows], dtype=np.int8)
    probability = np.array([step / 20 for _, step in rows])
    found = classification(up, probability)
    forecast = probability > 0.5
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(up, forecast))
    assert found["brier"] == pytest.approx(np.mean((probability - up) ** 2))
    assert found["log_loss"] == pytest.approx(reference.log_loss(up, probability, labels=[0, 1]))
    if 0 < up.sum() < len(up):
        assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(up, forecast))
        assert found["auc"] == pytest.approx(reference.roc_auc_score(up, probability))
    else:
        assert math.isnan(found["auc"])
        assert math.isnan(found["balanced_accuracy"])


def test_figures_of_no_rows_are_undefined() -> None:
    assert all(math.isnan(value) for value in classification(np.empty(0, np.int8), np.empty(0)).values())


def _account(
    bars: Bars, start: int, stop: int, says: np.ndarray, config: SignalConfig
) -> tuple[list[float], list[bool]]:
    """Keep an account bar by bar: cash, quantity, orders at the open, equity at the close."""
    cash, quantity, wanted = 1.0, 0.0, None
    mark = next((bars.close[t] for t in range(start - 1, -1, -1) if np.isfinite(bars.close[t])), math.nan)
    equity, returns, held = 1.0, [], []
    for t in range(start, stop):
        price = bars.open[t]
        if wanted is True and quantity == 0 and np.isfinite(price):
            quantity = cash / (price * (1 + config.slippage) * (1 + config.fee))
            cash = 0.0
        elif wanted is False and quantity > 0 and np.isfinite(price):
            cash, quantity = quantity * price * (1 - config.slippage) * (1 - config.fee), 0.0
        mark = bars.close[t] if np.isfinite(bars.close[t]) else mark
        now = cash + quantity * mark if quantity else cash
        returns.append(now / equity - 1)
        equity = now
        held.append(quantity > 0)
        said = says[t - start]
        wanted = True if said > config.enter else False if said < config.leave else None
    return returns, held


@given(
    seed=st.integers(0, 500),
    gaps=st.lists(st.tuples(st.sampled_from(["open", "close"]), st.integers(1, 59)), max_size=6),
    span=st.tuples(st.integers(0, 25), st.integers(28, 60)),
    fee=st.sampled_from([0.0, 0.002]),
    slippage=st.sampled_from([0.0, 0.001]),
)
def test_following_forecasts_earns_what_an_account_kept_by_hand_does(
    seed: int, gaps: list[tuple[str, int]], span: tuple[int, int], fee: float, slippage: float
) -> None:
    bars = noise(60, seed)
    for name, place in gaps:
        values = getattr(bars, name).copy()
        values[place] = np.nan
        bars = replace(bars, **{name: values})
    start, stop = span
    says = np.random.default_rng(seed).uniform(0, 1, stop - start)
    sound = np.isfinite(bars.open) & np.isfinite(bars.close)
    says = np.where(sound[start:stop], says, np.nan)
    config = SignalConfig(enter=0.6, leave=0.35, fee=fee, slippage=slippage)

    returns, held = follow(market(bars, bars.time[start:stop]), says, config)

    expected, expected_held = _account(bars, start, stop, says, config)
    np.testing.assert_allclose(returns, expected, rtol=1e-9, atol=1e-12)
    assert held.tolist() == expected_held


def test_statistics_are_those_of_the_trading_rules() -> None:
    returns = np.array([0.01, -0.02, 0.005, 0.0, 0.03])
    found = statistics(returns, 0.5, 3, 252.0)
    equity = np.cumprod(1 + returns)
    ratio = returns.mean() / returns.std(ddof=1)
    assert found["total_return"] == pytest.approx(equity[-1] - 1)
    assert found["sharpe"] == pytest.approx(ratio * math.sqrt(252))
    assert found["t_stat"] == pytest.approx(ratio * math.sqrt(5))
    assert found["max_drawdown"] == pytest.approx(1 - equity[1] / equity[0])


def test_returns_that_do_not_vary_have_no_sharpe() -> None:
    for returns in (np.zeros(5), np.full(5, 0.1), np.zeros(0), np.array([0.1])):
        found = statistics(returns, 0.0, 0, 252.0)
        assert math.isnan(found["sharpe"])
        assert math.isnan(found["t_stat"])


@pytest.mark.parametrize(
    ("value", "name"),
    [({"enter": 1.5}, "enter"), ({"fee": -0.1}, "fee"), ({"enter": 0.4}, "leave"), ({"stop": 1}, "stop")],
)
def test_what_is_wrong_with_a_configuration_is_named(value: dict[str, float], name: str) -> None:
    with pytest.raises(ModelConfigInvalid) as caught:
        signal_config(value)
    assert [error.pointer for error in caught.value.errors] == [f"signal/{name}"]
    assert signal_config(SignalConfig().as_json()) == SignalConfig()
