"""Corrections for many tests, and Wilcoxon's test, against published examples and by counting everything out."""

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.honesty import benjamini_hochberg, holm, signed_rank

# Benjamini and Hochberg 1995, section 3.2 (thrombolysis after myocardial infarction).
PAPER = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
# Darwin's maize, the classic pairs: heights of crossed less self-fertilised plants, in eighths of an inch.
MAIZE = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]


def test_benjamini_and_hochberg_reject_the_four_that_their_paper_rejects_and_holm_three() -> None:
    assert (benjamini_hochberg(PAPER) <= 0.05).tolist() == [True] * 4 + [False] * 11
    assert (holm(PAPER) <= 0.05).tolist() == [True] * 3 + [False] * 12


def test_adjusted_values_by_hand_in_the_order_they_came() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]).size == benjamini_hochberg([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusting_never_makes_a_value_smaller_nor_changes_their_order(p_values: list[float]) -> None:
    for adjusted in (holm(p_values), benjamini_hochberg(p_values)):
        assert (adjusted >= np.array(p_values) - 1e-12).all()
        assert (adjusted <= 1).all()
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(adjusted[order]) >= 0).all()
    assert (holm(p_values) >= benjamini_hochberg(p_values) - 1e-12).all()


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [float("nan")], [[0.1]]])
def test_what_is_no_probability_is_refused(p_values: list[float]) -> None:
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="from 0 to 1"):
            adjust(p_values)


def test_wilcoxons_test_of_darwins_maize_is_as_published() -> None:
    answer = signed_rank(MAIZE)
    assert (answer.statistic, answer.count, answer.exact) == (96, 15, True)
    assert answer.p == 0.041259765625
    assert signed_rank(MAIZE, "greater").p == 0.0206298828125
    assert signed_rank([-each for each in MAIZE], "less").p == 0.0206298828125


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_small_samples_with_ties_and_zeros_are_counted_out_exactly(differences: list[int]) -> None:
    values = np.array([each for each in differences if each], dtype=float)
    answers = {way: signed_rank(differences, way).p for way in ("greater", "less", "two-sided")}  # type: ignore[arg-type]
    if not values.size:
        assert set(answers.values()) == {1.0}
        return
    ranks = [(np.abs(values) < abs(v)).sum() + ((np.abs(values) == abs(v)).sum() + 1) / 2 for v in values]
    observed = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    sums = [sum(r for r, up in zip(ranks, signs, strict=True) if up) for signs in product((0, 1), repeat=len(ranks))]
    assert answers["greater"] == pytest.approx(np.mean([each >= observed for each in sums]))
    assert answers["less"] == pytest.approx(np.mean([each <= observed for each in sums]))
    assert answers["two-sided"] == pytest.approx(min(1, 2 * min(answers["greater"], answers["less"])))


def test_large_samples_are_close_to_what_the_next_smaller_counts_out() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0.25, 1, 51)
    large, small = signed_rank(values), signed_rank(values[:50])
    assert (large.exact, small.exact) == (False, True)
    forged = signed_rank(np.append(values[:50], 1e-9))  # one difference of no weight
    assert forged.p == pytest.approx(small.p, rel=0.1)


def test_five_folds_that_all_speak_for_it_are_the_least_that_can_convince() -> None:
    assert signed_rank([1, 2, 3, 4, 5], "greater").p == 1 / 32
    assert signed_rank([1, 2, 3, 4], "greater").p == 1 / 16


@pytest.mark.parametrize("differences", [[float("nan"), 1.0], [[1.0]]])
def test_pairs_with_holes_are_refused(differences: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        signed_rank(differences)


def test_it_becomes_json() -> None:
    assert json.loads(json.dumps(signed_rank([1, 2]).as_dict()))["count"] == 2
