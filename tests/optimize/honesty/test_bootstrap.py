"""Monte Carlo bands: block lengths as others compute them, and paths that keep what they are made of."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.honesty import bands, block_lengths, bootstrap

FloatArray = npt.NDArray[np.float64]


def autoregressive(count: int, weight: float, seed: int) -> FloatArray:
    steps = np.random.RandomState(seed).standard_normal(count + 100)
    for at in range(1, steps.size):
        steps[at] = weight * steps[at - 1] + steps[at]
    return steps[100:]


def test_block_lengths_equal_the_figures_that_arch_is_tested_with() -> None:
    """`arch.bootstrap.optimal_block_length`: 13.635665 and 15.60894 for 10,000 of an AR(1) of 0.3, RandomState(0)."""
    stationary, circular = block_lengths(autoregressive(10_000, 0.3, 0))
    assert stationary == pytest.approx(13.635665, rel=1e-4)
    assert circular == pytest.approx(15.60894, rel=1e-4)


def test_the_stronger_the_correlation_the_longer_the_blocks() -> None:
    lengths = [block_lengths(autoregressive(4_000, weight, 1))[0] for weight in (0.0, 0.3, 0.6, 0.9)]
    assert lengths == sorted(lengths)
    assert lengths[0] < 6
    assert lengths[3] > 40


@pytest.mark.parametrize("series", [[], [1.0] * 500, [0.0] * 20, [0.1, -0.1, 0.2]])
def test_blocks_of_series_that_say_nothing_are_single_periods(series: list[float]) -> None:
    assert block_lengths(series) == (1.0, 1.0)


def test_blocks_are_never_longer_than_a_third_of_the_series() -> None:
    assert max(block_lengths(np.linspace(-1, 1, 60))) <= 20


def test_the_same_seed_gives_the_same_bands_and_another_seed_others() -> None:
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 300)
    assert bands(returns, seed=5) == bands(returns, seed=5)
    assert bands(returns, seed=5) != bands(returns, seed=6)


def test_the_figures_do_not_depend_on_how_many_paths_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(1).normal(0, 0.01, 50)
    together = bands(returns, paths=45, seed=3)
    monkeypatch.setattr(bootstrap, "PATHS_AT_ONCE", 7)
    assert bands(returns, paths=45, seed=3) == together


def test_the_bands_hold_what_theory_says_of_independent_returns() -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0.001, 0.01, 1_000)
    answer = bands(returns, paths=4_000, block=1.0, seed=9)
    assert answer is not None
    logs = np.log1p(returns)
    expected, deviation = logs.sum(), logs.std() * math.sqrt(1_000)
    assert answer.final.quantiles is not None
    for quantile, normal in zip(answer.final.quantiles, (-1.645, -0.674, 0, 0.674, 1.645), strict=True):
        assert math.log(quantile) == pytest.approx(expected + normal * deviation, abs=0.12 * deviation)
    assert answer.sharpe.quantiles is not None
    spread = answer.sharpe.quantiles[4] - answer.sharpe.quantiles[0]
    assert spread == pytest.approx(2 * 1.645 / math.sqrt(1_000), rel=0.1)


def test_longer_blocks_keep_what_is_correlated_together_and_the_bands_are_wider() -> None:
    returns = autoregressive(1_000, 0.8, 4) / 100
    single, blocks = bands(returns, block=1.0), bands(returns)
    assert single is not None
    assert blocks is not None
    assert blocks.block > 10
    assert single.max_drawdown.quantiles is not None
    assert blocks.max_drawdown.quantiles is not None
    assert blocks.max_drawdown.quantiles[4] > 1.2 * single.max_drawdown.quantiles[4]


def test_the_actual_figures_are_those_of_the_returns() -> None:
    answer = bands([0.1, -0.5, 0.2, 0.0], paths=10)
    assert answer is not None
    assert answer.final.actual == pytest.approx(1.1 * 0.5 * 1.2)
    assert answer.max_drawdown.actual == pytest.approx(0.5)
    values = np.array([0.1, -0.5, 0.2, 0.0])
    assert answer.sharpe.actual == pytest.approx(values.mean() / values.std(ddof=1))
    assert answer.periods == (1, 2, 3, 4)


def test_a_loss_in_the_first_period_is_a_drawdown_from_the_start() -> None:
    answer = bands([-0.2, 0.1, 0.05], paths=3)
    assert answer is not None
    assert answer.max_drawdown.actual == pytest.approx(0.2)


def test_paths_are_made_of_the_returns_alone() -> None:
    """Of two returns a path of two has one of four ends."""
    answer = bands([0.5, -0.5], paths=500, block=1.0)
    assert answer is not None
    assert set(answer.equity[0] + answer.equity[4]) <= {1.5, 0.5, 2.25, 0.75, 0.25}
    assert answer.loss == pytest.approx(0.75, abs=0.08)


def test_long_series_are_shown_at_two_hundred_periods_and_the_last_is_the_end() -> None:
    answer = bands(np.random.default_rng(1).normal(0, 0.01, 5_003), paths=20)
    assert answer is not None
    assert len(answer.periods) == len(answer.equity[0]) == 200
    assert answer.periods[-1] == 5_003
    assert [row[-1] for row in answer.equity] == list(answer.final.quantiles or ())


def test_returns_that_do_not_vary_have_bands_without_a_ratio() -> None:
    answer = bands([0.0] * 30, paths=10)
    assert answer is not None
    assert answer.sharpe.actual is answer.sharpe.quantiles is None
    assert answer.loss == 0
    assert json.dumps(answer.as_dict(), allow_nan=False)


def test_drawing_may_be_stopped_between_paths() -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        bands([0.1, -0.1, 0.2], check=stop)


def test_of_a_single_return_there_are_no_bands() -> None:
    assert bands([0.1]) is None


@pytest.mark.parametrize(
    ("returns", "settings", "message"),
    [
        ([0.1, math.nan], {}, "finite"),
        ([0.1, 0.2], {"paths": 0}, "path"),
        ([0.1, 0.2], {"block": 0.5}, "block"),
        ([0.1, 0.2], {"block": math.nan}, "block"),
    ],
)
def test_what_cannot_be_drawn_is_refused(returns: list[float], settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bands(returns, **settings)
    if not settings:
        with pytest.raises(ValueError, match=message):
            block_lengths(returns)


def one_by_one(returns: FloatArray, restart: float, seed: int, path: int) -> list[float]:
    """Draw one path as the papers say it: a number decides whether a block begins, and another where."""
    step, ones = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mixed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & ones
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & ones
        return z ^ (z >> 31)

    state = mixed(mixed((seed + step) & ones) + path * step & ones)
    found: list[float] = []
    at = 0
    for period in range(returns.size):
        state = state + step & ones
        if period == 0 or (mixed(state) >> 11) * 2.0**-53 < restart:
            state = state + step & ones
            at = int((mixed(state) >> 11) * 2.0**-53 * returns.size)
        else:
            at = (at + 1) % returns.size
        found.append(float(returns[at]))
    return found


@pytest.mark.parametrize("block", [1.0, 1.8, 7.0, 40.0])
def test_each_path_is_the_one_that_its_numbers_say(block: float) -> None:
    returns = np.random.default_rng(4).normal(0, 0.01, 40)
    drawn = [one_by_one(returns, 1 / block, 9, path) for path in range(20)]
    answer = bands(returns, paths=20, block=block, seed=9)
    assert answer is not None
    equity = np.cumprod(1 + np.array(drawn), axis=1)
    assert np.array_equal(answer.equity, np.quantile(equity, bootstrap.QUANTILES, axis=0))
    peaks = np.maximum.accumulate(np.maximum(equity, 1.0), axis=1)
    falls = ((peaks - equity) / peaks).max(axis=1)
    assert answer.max_drawdown.quantiles == pytest.approx(np.quantile(falls, bootstrap.QUANTILES).tolist())


values = st.floats(allow_nan=False, width=32)


@given(st.integers(1, 30).flatmap(lambda size: st.lists(st.lists(values, min_size=size, max_size=size), min_size=1)))
def test_quantiles_are_those_of_numpy_to_the_last_bit(rows: list[list[float]]) -> None:
    table = np.array(rows)
    with np.errstate(invalid="ignore"):
        expected = np.quantile(table, bootstrap.QUANTILES, axis=1)
        assert np.array_equal(bootstrap.quantiles(table, bootstrap.QUANTILES), expected, equal_nan=True)
