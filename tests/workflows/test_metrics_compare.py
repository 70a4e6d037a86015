"""Which figures are better, and whether a difference can be trusted."""

from statistics import NormalDist
from typing import Any

import pytest

from workflows.metrics import Tally
from workflows.metrics_compare import best, differences, rate_test


def said(**figures: Any) -> dict[str, Any]:
    return {**Tally().summary(), **figures}


def test_less_is_better_of_durations_and_more_of_everything_else() -> None:
    slow = said(success_rate=0.9, average_duration=20.0, duration_p95=30.0, win_rate=0.4, total_executions=3)
    fast = said(success_rate=0.8, average_duration=10.0, duration_p95=40.0, win_rate=0.6, total_executions=9)
    found = best({"slow": slow, "fast": fast})
    assert {name: found[name] for name in ("success_rate", "average_duration", "duration_p95", "win_rate")} == {
        "success_rate": ["slow"],
        "average_duration": ["fast"],
        "duration_p95": ["slow"],
        "win_rate": ["fast"],
    }
    assert found["total_executions"] == ["fast"]


def test_all_who_share_the_best_figure_are_named() -> None:
    figures = {name: said(success_rate=rate) for name, rate in (("a", 0.5), ("b", 0.75), ("c", 0.75))}
    assert best(figures)["success_rate"] == ["b", "c"]


def test_what_is_unknown_never_wins_and_neither_does_none_at_all() -> None:
    found = best({"idle": said(), "worst": said(success_rate=0.0, average_duration=9e9, average_r_coefficient=-3.0)})
    assert found["success_rate"] == found["average_duration"] == found["average_r_coefficient"] == ["worst"]
    assert found["win_rate"] == found["orders_placed"] == []


def test_a_difference_needs_both_figures() -> None:
    found = differences(said(success_rate=0.5, orders_placed=4), said(success_rate=0.75, orders_placed=1, win_rate=1.0))
    assert (found["success_rate"], found["orders_placed"], found["win_rate"]) == (0.25, -3, None)


def test_the_statistic_is_that_of_the_textbook() -> None:
    # 63 of 69 against 27 of 66: by hand, p = 90/135 = 2/3, error = √(2/9 · (1/69 + 1/66)).
    found = rate_test(63, 69, 27, 66)
    expected = (27 / 66 - 63 / 69) / (2 / 9 * (1 / 69 + 1 / 66)) ** 0.5
    assert found.z == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * NormalDist().cdf(-abs(expected)))
    assert found.significant is True
    assert "first succeeds more often" in found.detail


def test_a_small_difference_of_large_samples_may_be_chance() -> None:
    found = rate_test(90, 100, 91, 100)
    assert (found.sufficient, found.significant) == (True, False)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((3, 4, 9, 10), "about 35 are needed"),
        ((0, 0, 9, 10), "no run that succeeded or failed"),
        ((10, 10, 10, 10), "No run failed"),
        ((0, 10, 0, 10), "No run succeeded"),
    ],
)
def test_samples_that_do_not_suffice_say_nothing(counts: tuple[int, int, int, int], said: str) -> None:
    found = rate_test(*counts)
    assert (found.sufficient, found.z, found.p_value, found.significant) == (False, None, None, None)
    assert said in found.detail
