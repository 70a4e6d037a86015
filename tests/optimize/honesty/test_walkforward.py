"""What became of each fold's choice."""

import json
import math

import numpy as np
import pytest

from optimize.honesty import GridAxis, axes_of, steadiness, walk_forward

NONE = math.nan
# Three combinations (rows) in four folds.
INSIDE = [[2.0, 0.5, 1.0, NONE], [1.0, 1.5, 0.5, NONE], [0.5, 1.0, 2.0, NONE]]
OUTSIDE = [[1.0, 0.3, 0.8, 0.1], [0.2, -0.5, 0.6, 0.2], [0.6, 0.4, NONE, 0.3]]


def test_each_fold_keeps_what_was_best_in_sample_and_what_became_of_it() -> None:
    answer = walk_forward(INSIDE, OUTSIDE)
    assert [each.chosen for each in answer.folds] == [0, 1, 2, None]
    first, second, third, last = answer.folds
    assert (first.in_sample, first.out_of_sample, first.degradation, first.rank) == (2.0, 1.0, 0.5, 1.0)
    assert (second.degradation, second.rank) == (pytest.approx(1 + 0.5 / 1.5), 0.0)
    # It did not trade out of sample: nothing is left of its ratio, and both others did better.
    assert (third.out_of_sample, third.degradation, third.rank) == (None, 1.0, 0.0)
    assert (last.in_sample, last.out_of_sample, last.degradation, last.rank) == (None, None, None, None)


def test_efficiency_is_the_out_of_sample_part_of_the_choices_in_sample_figure() -> None:
    answer = walk_forward(INSIDE, OUTSIDE)
    assert answer.in_sample == pytest.approx((2 + 1.5 + 2) / 3)
    assert answer.out_of_sample == pytest.approx((1 - 0.5 + 0) / 3)
    assert answer.efficiency == pytest.approx(0.5 / 5.5)
    assert answer.profitable == pytest.approx(1 / 3)


def test_the_folds_choices_may_be_given() -> None:
    answer = walk_forward(INSIDE, OUTSIDE, [2, 2, 0, -1])
    assert [each.chosen for each in answer.folds] == [2, 2, 0, None]
    assert answer.efficiency == pytest.approx((0.6 + 0.4 + 0.8) / (0.5 + 1.0 + 1.0))
    assert answer.profitable == 1


def test_there_is_no_efficiency_where_nothing_was_earned_in_sample() -> None:
    answer = walk_forward([[-0.1, -0.2]], [[0.5, 0.5]])
    assert answer.efficiency is None
    assert [each.degradation for each in answer.folds] == [None, None]
    assert walk_forward([[NONE]], [[1.0]]).efficiency is None


def test_the_correlation_says_whether_a_better_past_meant_a_better_future() -> None:
    past = np.arange(12.0).reshape(4, 3)
    assert walk_forward(past, past * 3 + 1).correlation == pytest.approx(1)
    assert walk_forward(past, -past).correlation == pytest.approx(-1)
    assert walk_forward(past[:2], past[:2]).correlation is None
    assert walk_forward(past, np.ones((4, 3))).correlation is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (([1.0], [1.0]), r"\[combinations, folds\]"),
        (([[1.0]], [[1.0, 2.0]]), r"\[combinations, folds\]"),
        (([[1.0]], [[1.0]], [1]), "for each fold"),
        (([[1.0]], [[1.0]], [0, 0]), "for each fold"),
    ],
)
def test_figures_that_do_not_fit_are_refused(call: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        walk_forward(*call)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- steadiness


def test_a_number_moves_by_steps_of_its_axis_and_a_choice_by_being_another() -> None:
    axes = (GridAxis("fast", (5, 10, 20, 40, 80), True), GridAxis("kind", ("ema", "sma", "wma"), False))
    chosen = [{"fast": fast, "kind": kind} for fast, kind in [(10, "sma"), (20, "wma"), (10, "sma"), (80, "sma")]]
    fast, kind = steadiness(axes, chosen)
    assert fast.values == (10, 20, 10, 80)
    assert (fast.commonest, fast.share) == (10, 0.5)
    assert fast.movement == pytest.approx((1 + 1 + 3) / 3 / 4)
    assert (kind.commonest, kind.share, kind.movement) == ("sma", 0.75, pytest.approx(2 / 3))


def test_what_never_moves_is_steady() -> None:
    (fast,) = steadiness((GridAxis("fast", (5, 10), True),), [{"fast": 5}] * 3)
    assert (fast.share, fast.movement) == (1, 0)
    (fast,) = steadiness((GridAxis("fast", (5,), True),), [{"fast": 5}])
    assert (fast.share, fast.movement) == (1, 0)


def test_a_choice_off_the_axis_and_no_choice_at_all_are_refused() -> None:
    axes = axes_of([{"fast": 5}, {"fast": 10}])
    with pytest.raises(ValueError, match="not on the axis fast"):
        steadiness(axes, [{"fast": 7}])
    with pytest.raises(ValueError, match="at least one"):
        steadiness(axes, [])


def test_everything_becomes_json() -> None:
    assert (
        json.loads(json.dumps(walk_forward(INSIDE, OUTSIDE).as_dict(), allow_nan=False))["folds"][3]["chosen"] is None
    )
    (fast,) = steadiness((GridAxis("fast", (5, 10), True),), [{"fast": 5}])
    assert json.loads(json.dumps(fast.as_dict()))["values"] == [5]
