"""Sharpe ratios and the doubt about them, against the figures that the papers print."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optimize.honesty import (
    Moments,
    Trials,
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record,
    moments,
    probabilistic_sharpe,
    sharpe_from_sums,
    t_from_sums,
    trial_variance,
)

RETURNS = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.2, 0.2).map(lambda x: round(x, 4)))


def figures(sharpe: float, count: int, skew: float, kurtosis: float) -> Moments:
    return Moments(count, sharpe, 1.0, skew, kurtosis, sharpe, sharpe * math.sqrt(count))


# ------------------------------------------------------------------------------------------------- as the papers print


def test_the_deflated_sharpe_ratio_equals_the_papers_example() -> None:
    daily = figures(2.5 / math.sqrt(250), 1250, -3, 10)
    answer = deflated_sharpe(daily, 100, 0.5 / 250)
    assert round(answer.benchmark, 4) == 0.1132
    assert answer.dsr is not None
    assert round(answer.dsr, 4) == 0.9004


@pytest.mark.parametrize(("trials", "skew", "kurtosis"), [(46, -3, 10), (88, 0, 3)])
def test_the_papers_investor_would_have_accepted_46_trials_and_88_of_normal_returns(
    trials: int, skew: float, kurtosis: float
) -> None:
    answer = deflated_sharpe(figures(2.5 / math.sqrt(250), 1250, skew, kurtosis), trials, 0.5 / 250)
    assert answer.dsr is not None
    assert round(answer.dsr, 4) == 0.9505


def test_the_probabilistic_sharpe_ratio_equals_the_papers_example() -> None:
    normal = probabilistic_sharpe(0.458, 24)
    skewed = probabilistic_sharpe(0.458, 24, -2.448, 10.164)
    assert normal is not None
    assert skewed is not None
    assert (round(normal, 3), round(skewed, 3)) == (0.982, 0.913)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(250, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_minimum_track_record_length_equals_the_papers_examples(
    periods: int, skew: float, kurtosis: float, years: float
) -> None:
    root = math.sqrt(periods)
    length = min_track_record(2 / root, skew, kurtosis, 1 / root)
    assert length is not None
    assert round(length / periods, 2) == years


def test_the_expected_maximum_of_ten_trials_is_1_57_standard_deviations() -> None:
    """Bailey, Borwein, López de Prado, Zhu: "Pseudo-Mathematics and Financial Charlatanism", Notices of the AMS 2014."""
    assert round(expected_max_sharpe(10, 1.0), 2) == 1.57


# ------------------------------------------------------------------------------------------------------------ by itself


@pytest.mark.parametrize("trials", [5, 50, 400])
def test_the_expected_maximum_is_that_of_noise(trials: int) -> None:
    noise = np.random.default_rng(7).normal(0, 0.3, (20_000, trials)).max(axis=1).mean()
    assert expected_max_sharpe(trials, 0.09) == pytest.approx(noise, rel=0.04)


def test_of_one_trial_nothing_is_deflated() -> None:
    answer = deflated_sharpe(figures(0.1, 500, 0, 3), 1, None)
    assert answer.benchmark == 0
    assert answer.dsr == answer.psr == probabilistic_sharpe(0.1, 500)


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_more_trials_never_make_a_result_surer(one: int, other: int) -> None:
    few, many = sorted((one, other))
    daily = figures(0.1, 1000, -0.5, 6)
    surer, doubtful = deflated_sharpe(daily, few, 1e-3).dsr, deflated_sharpe(daily, many, 1e-3).dsr
    assert surer is not None
    assert doubtful is not None
    assert surer >= doubtful


def test_an_unknown_variance_counts_as_that_of_returns_without_an_edge() -> None:
    answer = deflated_sharpe(figures(0.1, 401, 0, 3), 50, None)
    assert answer.assumed
    assert answer.variance == 1 / 400
    assert answer.benchmark == expected_max_sharpe(50, 1 / 400)


@given(RETURNS)
def test_ratio_and_t_are_the_same_from_a_series_and_from_its_sums(
    returns: npt.NDArray[np.float64],
) -> None:
    series = moments(returns)
    sums = (returns.size, returns.sum(), np.square(returns).sum())
    if series.sharpe is None:
        assert np.isnan(sharpe_from_sums(*sums))
        return
    assert float(sharpe_from_sums(*sums)) == pytest.approx(series.sharpe, rel=1e-6)
    assert float(t_from_sums(*sums)) == pytest.approx(series.t, rel=1e-6)
    assert series.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))


@pytest.mark.parametrize("returns", [[], [0.01], [0.0] * 20, [0.01] * 20, [1e-9] * 7])
def test_returns_that_do_not_vary_have_no_ratio(returns: list[float]) -> None:
    figure = moments(returns)
    assert figure.sharpe is figure.t is figure.skew is figure.kurtosis is None
    answer = deflated_sharpe(figure, 10, 0.01)
    assert answer.dsr is answer.psr is answer.min_track_record is None
    assert np.isnan(sharpe_from_sums(len(returns), sum(returns), sum(r * r for r in returns)))


def test_skewness_and_kurtosis_are_those_of_the_population() -> None:
    figure = moments([0.0, 0.0, 0.0, 1.0])
    assert figure.skew == pytest.approx(2 / math.sqrt(3))
    assert figure.kurtosis == pytest.approx(7 / 3)


@pytest.mark.parametrize("returns", [[0.1, math.nan], [0.1, math.inf], [[0.1, 0.2]]])
def test_returns_with_holes_are_refused(returns: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        moments(returns)


def test_a_ratio_below_its_benchmark_is_never_proved_by_waiting() -> None:
    assert min_track_record(0.05, benchmark=0.05) is None
    assert min_track_record(-0.1) is None


@pytest.mark.parametrize("call", [(0, 1.0), (2, -1.0), (2, math.nan)])
def test_trials_and_variances_that_cannot_be_are_refused(call: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        expected_max_sharpe(*call)


def test_confidence_is_above_a_half() -> None:
    with pytest.raises(ValueError, match="confidence"):
        min_track_record(0.1, confidence=0.5)


# --------------------------------------------------------------------------------------------------- across all trials


def test_the_variance_across_jobs_is_that_of_all_their_trials_together() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 0.05, 6), rng.normal(0.02, 0.05, 7)
    together = trial_variance([Trials.of(one, 500), Trials.of(other, 500)], 500)
    assert together == pytest.approx(np.concatenate([one, other]).var(ddof=1))


def test_a_narrow_search_around_the_peak_does_not_thin_out_the_variance_of_the_wide_one() -> None:
    rng = np.random.default_rng(3)
    wide = Trials.of(rng.normal(0, 0.05, 200), 500)
    narrow = Trials.of(rng.normal(0.1, 0.001, 20_000), 500)
    assert trial_variance([wide, narrow], 500) == pytest.approx(wide.variance)


def test_ratios_over_a_shorter_period_scatter_more_and_are_scaled() -> None:
    ratios = np.random.default_rng(3).normal(0, 0.1, 100)
    assert trial_variance([Trials.of(ratios, 101)], 1001) == pytest.approx(ratios.var(ddof=1) / 10)


def test_trials_without_a_ratio_do_not_count() -> None:
    assert Trials.of([math.nan, 0.1, math.inf, 0.3], 100) == Trials(2, pytest.approx(0.2), pytest.approx(0.02), 100)
    assert trial_variance([Trials.of([math.nan], 100), Trials.of([0.1], 100)], 100) is None


def test_everything_becomes_json() -> None:
    answer = deflated_sharpe(moments([0.01, -0.02, 0.03]), 3, 0.01)
    assert json.loads(json.dumps(answer.as_dict(), allow_nan=False))["trials"] == 3
    assert json.dumps(moments([0.0, 0.0]).as_dict(), allow_nan=False)
    assert json.dumps(Trials.of([0.1], 5).as_dict(), allow_nan=False)
