"""The gate itself: noise is not promoted, an edge that is there is. `benchmarks/gate.py` prints the same at length."""

import numpy as np
import pytest

from benchmarks.noise import markets
from benchmarks.noise.searches import Shape, drawn_returns, planted, searched
from optimize.honesty import Trials


def test_of_two_hundred_searches_of_pure_noise_at_most_one_in_twenty_is_promoted() -> None:
    rng = np.random.default_rng(20)
    promoted, lucky = 0, 0
    for _ in range(200):
        shape = Shape.drawn(rng)
        answer = searched(drawn_returns(shape, rng), shape)
        promoted += answer.verdict.outcome == "promote"
        lucky += np.nanmax(answer.t) > 1.645
    assert promoted <= 10
    # The control: by the figure that most people look at many of them are an edge.
    assert lucky > 60


def test_a_planted_edge_is_promoted() -> None:
    shape = Shape.usual()
    rng = np.random.default_rng(21)
    outcomes = [searched(planted(drawn_returns(shape, rng), shape, 3.0), shape).verdict.outcome for _ in range(20)]
    assert outcomes.count("promote") >= 16
    assert outcomes.count("reject") == 0


def test_the_middle_of_a_planted_edge_is_what_is_chosen() -> None:
    shape = Shape.usual()
    rng = np.random.default_rng(22)
    answer = searched(planted(drawn_returns(shape, rng), shape, 3.0), shape)
    fast, slow = divmod(int(answer.order[0]), shape.slow)
    assert abs(fast - shape.fast // 2) <= 1
    assert abs(slow - shape.slow // 2) <= 1


def test_what_was_searched_before_counts_against_what_is_found_now() -> None:
    """The same search is promoted as the first one, and not after many others on the same data."""
    shape = Shape.usual()
    rng = np.random.default_rng(24)
    returns = planted(drawn_returns(shape, rng), shape, 2.5)
    alone = searched(returns, shape)
    others = [Trials.of(rng.normal(0, 0.08, 2_000), 1_000)]
    after = searched(returns, shape, trials=2_036, others=others)
    assert alone.verdict.outcome == "promote"
    assert after.verdict.outcome != "promote"
    assert "DSR_LOW" in [reason.code for reason in after.verdict.reasons]
    assert (alone.deflated.trials, after.deflated.trials) == (36, 2_036)


def test_the_same_search_is_judged_the_same() -> None:
    shape = Shape.usual()
    one, other = (searched(drawn_returns(shape, np.random.default_rng(23)), shape) for _ in range(2))
    assert one.as_dict() == other.as_dict()
    assert (one.order == other.order).all()


# ------------------------------------------------------------------------------------- the desk's own types over prices


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_over_prices_without_an_edge_hardly_any_search_of_the_desks_types_is_promoted(drift: float) -> None:
    """Neither where they go nowhere, nor where they rise and holding them is as good as any rule."""
    rng = np.random.default_rng(31)
    types = markets.grids()
    promoted = 0
    for number in range(99):
        bars = markets.market(1258, int(rng.integers(1, 9)), rng, drift=drift)
        promoted += markets.searched(types[number % len(types)], bars).verdict.outcome == "promote"
    assert promoted <= 4


def test_types_that_follow_trends_are_promoted_where_there_are_trends() -> None:
    rng = np.random.default_rng(32)
    types = [each for each in markets.grids() if each.slug in ("ema_crossover", "momentum", "sma_crossover")]
    outcomes = [
        markets.searched(types[number % 3], markets.market(2520, 8, rng, trend=0.3)).verdict.outcome
        for number in range(12)
    ]
    assert outcomes.count("promote") >= 10
    assert outcomes.count("reject") == 0
