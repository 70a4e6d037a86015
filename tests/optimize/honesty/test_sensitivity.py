"""How the score changes with the parameters, and that a plateau is preferred to a peak."""

import json
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimize.honesty import GridAxis, Sensitivity, axes_of, sensitivity

FAST = (5, 10, 15, 20, 25, 30, 35)
SLOW = (50, 75, 100, 125, 150, 175, 200)


def searched(scores: dict[tuple[Any, Any], float], **kwargs: Any) -> Sensitivity:
    combinations = [{"fast": fast, "slow": slow} for fast, slow in scores]
    answer = sensitivity(axes_of(combinations), combinations, list(scores.values()), **kwargs)
    assert answer is not None
    return answer


def plain(value: float = 0.1) -> dict[tuple[Any, Any], float]:
    return dict.fromkeys(product(FAST, SLOW), value)


def chosen(answer: Sensitivity) -> tuple[int, int]:
    fast, slow = divmod(answer.recommended.combination, len(SLOW))
    return FAST[fast], SLOW[slow]


# --------------------------------------------------------------------------------------------------- peaks and plateaus


def test_a_plateau_is_recommended_over_a_lone_peak_and_said_so() -> None:
    scores = plain()
    scores |= dict.fromkeys(product((20, 25, 30), (125, 150, 175)), 1.5)
    scores[10, 75] = 1.9
    answer = searched(scores)
    assert (answer.best.score, answer.best.neighbours) == (1.9, 8)
    assert (answer.best.mean, answer.best.least) == (pytest.approx(0.1), pytest.approx(0.1))
    assert answer.best.ratio == pytest.approx(0.1 / 1.9)
    assert chosen(answer) == (25, 150)
    assert answer.recommended.ratio == pytest.approx(1)
    assert answer.text == (
        "The best combination, fast=10, slow=75, scores 1.90, and its 8 neighbours 0.10 on average. fast=25, slow=150 "
        "scores 1.50 and its 8 neighbours 1.50 on average, none below 1.50: take this one, a plateau rather than a "
        "peak, since it changes less when the market does."
    )


def test_a_best_combination_on_a_plateau_is_kept() -> None:
    scores = plain()
    scores |= dict.fromkeys(product((15, 20, 25), (100, 125, 150)), 1.5)
    scores[20, 125] = 1.6
    answer = searched(scores)
    assert answer.recommended == answer.best
    assert chosen(answer) == (20, 125)
    assert answer.text.endswith("Nothing else is better surrounded: take it.")


def test_a_corner_with_one_good_neighbour_is_no_plateau() -> None:
    scores = plain()
    scores[5, 50] = scores[5, 75] = scores[10, 50] = scores[10, 75] = 1.5
    scores |= dict.fromkeys(product((20, 25, 30), (125, 150, 175)), 1.3)
    assert chosen(searched(scores)) == (25, 150)


def test_neighbours_that_a_constraint_forbids_are_left_out_and_count_as_the_median() -> None:
    scores = {key: value for key, value in plain().items() if key[0] * 5 < key[1]}
    answer = searched(scores | {(5, 50): 2.0})
    # (5, 75) and (10, 75) were searched, (10, 50) not.
    assert answer.best.neighbours == 2
    assert answer.best.mean == pytest.approx(0.1)


def test_combinations_without_a_score_are_no_neighbours() -> None:
    scores = plain() | {(20, 125): 1.0} | {(20, 100): math.nan, (15, 100): math.nan}
    assert searched(scores).best.neighbours == 6


def test_between_choices_and_between_true_and_false_there_is_no_step() -> None:
    combinations = [
        {"kind": kind, "fast": fast, "volume": volume}
        for kind in ("ema", "sma", "wma")
        for fast in (5, 10, 15)
        for volume in (False, True)
    ]
    scores = [1.0 if (each["kind"], each["volume"]) == ("sma", True) else -5.0 for each in combinations]
    answer = sensitivity(axes_of(combinations), combinations, scores)
    assert answer is not None
    assert [axis.ordered for axis in axes_of(combinations)] == [False, True, False]
    assert (answer.best.neighbours, answer.best.ratio) == (1, 1)
    assert combinations[answer.recommended.combination] == {"kind": "sma", "fast": 10, "volume": True}


def test_of_a_single_combination_and_of_choices_alone_nothing_is_said_of_neighbours() -> None:
    for combinations in ([{"fast": 5}], [{"kind": "ema"}, {"kind": "sma"}]):
        answer = sensitivity(axes_of(combinations), combinations, [1.0] * len(combinations))
        assert answer is not None
        assert (answer.best.neighbours, answer.best.mean, answer.best.ratio) == (0, None, None)
        assert "no neighbours" in answer.text
        assert answer.recommended == answer.best


def test_of_a_loss_no_part_is_reckoned() -> None:
    answer = searched(plain(-1.0) | {(20, 125): -0.5})
    assert (answer.best.mean, answer.best.ratio) == (pytest.approx(-1.0), None)


def test_a_search_that_is_no_grid_has_no_neighbours() -> None:
    rng = np.random.default_rng(1)
    combinations = [dict(zip("abcde", rng.random(5).tolist(), strict=True)) for _ in range(200)]
    answer = sensitivity(axes_of(combinations), combinations, rng.random(200))
    assert answer is not None
    assert answer.best.neighbours == 0


def test_without_any_score_there_is_nothing_to_say() -> None:
    assert sensitivity(axes_of([{"fast": 5}]), [{"fast": 5}], [math.nan]) is None
    assert sensitivity((), [], []) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_surroundings_equal_those_looked_up_one_by_one(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    axes = tuple(GridAxis(f"p{at}", tuple(range(size)), bool(rng.integers(4))) for at, size in enumerate(sizes))
    places = [place for place in product(*map(range, sizes)) if rng.random() < 0.8]
    scores = [float(rng.normal()) if rng.random() < 0.9 else math.nan for _ in places]
    combinations = [{f"p{at}": value for at, value in enumerate(place)} for place in places]
    answer = sensitivity(axes, combinations, scores)
    if answer is None:
        assert not np.isfinite(scores).any()
        return
    for found in (answer.best, answer.recommended):
        here = places[found.combination]
        around = [
            score
            for place, score in zip(places, scores, strict=True)
            if place != here
            and math.isfinite(score)
            and all(abs(a - b) <= 1 if axis.ordered else a == b for axis, a, b in zip(axes, here, place, strict=True))
        ]
        assert found.neighbours == len(around)
        assert found.mean == (pytest.approx(np.mean(around)) if around else None)
        assert found.least == (pytest.approx(min(around)) if around else None)


# ------------------------------------------------------------------------------------------------------- edges and maps


def test_a_best_value_at_the_end_of_a_long_axis_is_told_and_one_at_the_parameters_own_bound_is_not() -> None:
    combinations = [{"fast": fast, "slow": slow} for fast, slow in product(FAST, SLOW)]
    scores = [1.0 if each == {"fast": 5, "slow": 200} else 0.0 for each in combinations]
    answer = sensitivity(axes_of(combinations), combinations, scores)
    assert answer is not None
    assert answer.edges == ("fast", "slow")
    bounded = sensitivity(axes_of(combinations, {"fast": (5, 500), "slow": (2, 500)}), combinations, scores)
    assert bounded is not None
    assert bounded.edges == ("slow",)


def test_ends_of_short_axes_and_of_choices_say_nothing() -> None:
    combinations = [{"fast": fast, "kind": kind} for fast, kind in product((5, 10, 15, 20), "abcdef")]
    answer = sensitivity(axes_of(combinations), combinations, [1.0] + [0.0] * 23)
    assert answer is not None
    assert answer.edges == ()


def test_slices_run_through_the_best_and_over_all_others() -> None:
    answer = searched({(5, 50): 1.0, (10, 50): 3.0, (5, 75): 2.0, (10, 100): math.nan})
    fast, slow = answer.slices
    assert (fast.name, fast.values) == ("fast", (5, 10))
    assert (fast.scores, fast.means, fast.greatest) == ((1.0, 3.0), (1.5, 3.0), (2.0, 3.0))
    assert (slow.scores, slow.means, slow.greatest) == ((3.0, None, None), (2.0, 2.0, None), (3.0, 2.0, None))


def test_a_map_shows_two_parameters_over_all_others() -> None:
    combinations = [{"a": a, "b": b, "c": c} for a, b, c in product((1, 2), (1, 2, 3), (1, 2)) if b != 3 or a == 1]
    scores = [each["a"] * 100 + each["b"] * 10 + each["c"] for each in combinations]
    answer = sensitivity(axes_of(combinations), combinations, scores)
    assert answer is not None
    assert [(each.x, each.y) for each in answer.maps] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert answer.maps[0].means == ((111.5, 211.5), (121.5, 221.5), (131.5, None))
    assert answer.maps[0].greatest == ((112.0, 212.0), (122.0, 222.0), (132.0, None))
    limited = sensitivity(axes_of(combinations), combinations, scores, most_maps=1)
    assert limited is not None
    assert len(limited.maps) == 1


# ----------------------------------------------------------------------------------------------------------------- axes


def test_axes_are_in_order_and_a_truth_is_not_a_number() -> None:
    combinations: list[dict[str, Any]] = [{"n": 10, "x": 0.5, "on": True}, {"n": 5, "x": 0.25, "on": False}]
    n, x, on = axes_of(combinations)
    assert (n.values, x.values, on.values) == ((5, 10), (0.25, 0.5), (False, True))
    assert (n.ordered, x.ordered, on.ordered) == (True, True, False)
    with pytest.raises(ValueError, match="not on the axis"):
        on.index(1)
    assert axes_of([]) == ()


def test_combinations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the same parameters"):
        axes_of([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="one score for each"):
        sensitivity(axes_of([{"a": 1}]), [{"a": 1}], [1.0, 2.0])
    with pytest.raises(ValueError, match="not on the axis a"):
        sensitivity(axes_of([{"a": 1}]), [{"a": 2}], [1.0])


def test_it_becomes_json() -> None:
    data = json.loads(json.dumps(searched(plain() | {(20, 125): math.nan}).as_dict(), allow_nan=False))
    assert data["best"]["neighbours"] == 3
    assert data["maps"][0]["x_values"] == list(FAST)
