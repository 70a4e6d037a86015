"""A whole search: ranked and judged by what is out of sample, chosen by what is in sample."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from optimize.honesty import (
    Assessment,
    Search,
    Sums,
    Trials,
    assess,
    axes_of,
    block_bounds,
    deflated_sharpe,
    moments,
    ranked,
    t_from_sums,
    trial_variance,
)

FloatArray = npt.NDArray[np.float64]
FOLDS, BARS, TRAIN = 4, 400, 60


def sums(returns: FloatArray, bounds: list[tuple[int, int]]) -> Sums:
    parts = [returns[:, first:last] for first, last in bounds]
    return Sums(
        np.array([part.shape[1] for part in parts]),
        np.stack([part.sum(axis=1) for part in parts], axis=1),
        np.stack([np.square(part).sum(axis=1) for part in parts], axis=1),
    )


def search_of(returns: FloatArray, **changes: Any) -> Search:
    """Return a search in four folds of 100 bars, 60 of them in sample."""
    combinations = [{"fast": at} for at in range(len(returns))]
    nothing = np.zeros((len(returns), FOLDS), dtype=bool)
    search = Search(
        axes=axes_of(combinations),
        combinations=combinations,
        in_sample=sums(returns, [(at, at + TRAIN) for at in range(0, BARS, 100)]),
        out_of_sample=sums(returns, [(at + TRAIN, at + 100) for at in range(0, BARS, 100)]),
        blocks=sums(returns, list(pairwise(block_bounds(BARS, 8).tolist()))),
        trades=np.full(len(returns), 50),
        ruined_in=nothing,
        ruined_out=nothing,
    )
    return replace(search, **changes)


def stitched_of(returns: FloatArray) -> FloatArray:
    return returns.reshape(len(returns), FOLDS, 100)[:, :, TRAIN:].reshape(len(returns), -1)


def assessed(returns: FloatArray, search: Search | None = None, **settings: Any) -> Assessment:
    out = stitched_of(returns)
    settings = {"trials": len(returns), **settings}
    return assess(search or search_of(returns), lambda at: out[at], **settings)


@pytest.fixture
def returns() -> FloatArray:
    return np.random.default_rng(4).normal(0.0002, 0.01, (7, BARS))


def test_the_order_is_that_of_the_t_statistic_of_the_stitched_out_of_sample_returns(returns: FloatArray) -> None:
    # The best in sample of all, and bad out of sample: it must not come first.
    folds = returns.reshape(7, FOLDS, 100)
    folds[3, :, :TRAIN] += 0.02
    folds[3, :, TRAIN:] -= 0.005
    order, t, sharpe = ranked(search_of(returns))
    values = stitched_of(returns)
    expected = values.mean(axis=1) / values.std(axis=1, ddof=1)
    assert sharpe == pytest.approx(expected)
    assert t == pytest.approx(expected * math.sqrt(values.shape[1]))
    assert order.tolist() == np.argsort(-expected).tolist()
    assert order[-1] == 3
    assert assessed(returns).candidate == order[0]


def test_ruined_combinations_and_those_that_did_nothing_come_last(returns: FloatArray) -> None:
    returns[2] += 0.01
    returns[5] = 0.0
    ruined = np.zeros((7, FOLDS), dtype=bool)
    ruined[2, 1] = True
    for window in ("ruined_in", "ruined_out"):
        order, t, _ = ranked(search_of(returns, **{window: ruined}))
        assert set(order[-2:].tolist()) == {2, 5}
        assert order[-2] == 2
        assert np.isnan(t[5])


def test_equals_keep_the_order_in_which_they_were_searched(returns: FloatArray) -> None:
    returns[:] = returns[0]
    assert ranked(search_of(returns))[0].tolist() == list(range(7))


def test_each_folds_choice_knows_nothing_of_what_became_of_it(returns: FloatArray) -> None:
    """Whatever happens out of sample, ruin included, the choices stay."""
    before = assessed(returns).walk_forward
    changed = returns.copy()
    changed.reshape(7, FOLDS, 100)[:, :, TRAIN:] = np.random.default_rng(9).normal(-0.01, 0.05, (7, FOLDS, 40))
    after = assessed(changed, search_of(changed, ruined_out=np.ones((7, FOLDS), dtype=bool))).walk_forward
    assert [each.chosen for each in before.folds] == [each.chosen for each in after.folds]
    assert [each.in_sample for each in before.folds] == [each.in_sample for each in after.folds]
    assert [each.out_of_sample for each in before.folds] != [each.out_of_sample for each in after.folds]


def test_what_is_ruined_in_sample_is_not_chosen_there(returns: FloatArray) -> None:
    first = assessed(returns).walk_forward.folds[0].chosen
    assert first is not None
    ruined = np.zeros((7, FOLDS), dtype=bool)
    ruined[first, 0] = True
    assert assessed(returns, search_of(returns, ruined_in=ruined)).walk_forward.folds[0].chosen != first


def test_choices_by_another_objective_are_taken_as_given(returns: FloatArray) -> None:
    walk = assessed(returns, search_of(returns, chosen=np.array([6, 5, 4, -1]))).walk_forward
    assert [each.chosen for each in walk.folds] == [6, 5, 4, None]


def test_the_judged_one_is_deflated_by_all_trials_of_the_ledger(returns: FloatArray) -> None:
    others = [Trials.of(np.random.default_rng(1).normal(0, 0.05, 50), 200)]
    answer = assessed(returns, trials=57, others=others)
    figures = moments(stitched_of(returns)[answer.candidate])
    own = Trials.of(answer.sharpe, 160)
    assert answer.trials == own
    assert answer.deflated == deflated_sharpe(figures, 57, trial_variance([own, *others], 160))
    assert (answer.verdict.evidence.trials, answer.verdict.evidence.dsr) == (57, answer.deflated.dsr)


def test_a_search_never_counts_fewer_trials_than_it_has(returns: FloatArray) -> None:
    assert assessed(returns, trials=1).deflated.trials == 7


def test_another_than_the_best_may_be_judged(returns: FloatArray) -> None:
    ruined = np.zeros((7, FOLDS), dtype=bool)
    ruined[4, 2] = True
    answer = assessed(returns, search_of(returns, ruined_out=ruined), candidate=4)
    assert answer.candidate == 4
    assert answer.verdict.reasons[0].code == "RUINED"
    assert answer.deflated.sharpe == pytest.approx(moments(stitched_of(returns)[4]).sharpe)


def test_what_holding_had_out_of_sample_is_compared_with(returns: FloatArray) -> None:
    best = assessed(returns).candidate
    same = assessed(returns, holding=stitched_of(returns)[best])
    assert same.verdict.evidence.holding == same.verdict.evidence.sharpe
    assert "NO_BETTER_THAN_HOLDING" in [each.code for each in same.verdict.reasons]
    falling = assessed(returns, holding=-np.abs(stitched_of(returns)[best]))
    assert "NO_BETTER_THAN_HOLDING" not in [each.code for each in falling.verdict.reasons]
    assert assessed(returns).verdict.evidence.holding is None


def test_the_stitched_returns_and_their_sums_say_the_same(returns: FloatArray) -> None:
    answer = assessed(returns)
    out = stitched_of(returns)[answer.candidate]
    assert moments(out).t == pytest.approx(answer.t[answer.candidate])
    assert float(t_from_sums(out.size, out.sum(), np.square(out).sum())) == pytest.approx(answer.t[answer.candidate])


def test_a_short_period_without_blocks_is_not_promoted(returns: FloatArray) -> None:
    returns += 0.01
    codes = [each.code for each in assessed(returns, search_of(returns, blocks=None)).verdict.reasons]
    assert "PBO_UNKNOWN" in codes


def test_where_nothing_ever_traded_it_is_rejected_and_says_so() -> None:
    answer = assessed(np.zeros((3, BARS)))
    assert answer.verdict.outcome == "reject"
    assert answer.verdict.reasons[0].code == "NO_RETURNS"
    assert answer.steadiness == ()
    assert answer.sensitivity is None


def test_a_single_combination_is_judged_without_what_only_a_choice_has(returns: FloatArray) -> None:
    one = returns[:1] + 0.004
    answer = assessed(one)
    assert answer.overfitting is None
    assert answer.verdict.outcome == "promote"
    assert assessed(one, trials=2).verdict.outcome == "review"


def test_a_search_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one combination"):
        assessed(np.zeros((1, BARS)), replace(search_of(np.zeros((1, BARS))), combinations=[]))


def test_it_becomes_json(returns: FloatArray) -> None:
    data = json.loads(json.dumps(assessed(returns).as_dict(), allow_nan=False))
    assert data["verdict"]["outcome"] in ("promote", "review", "reject")
    assert len(data["walk_forward"]["folds"]) == FOLDS
    assert data["steadiness"][0]["name"] == "fast"
