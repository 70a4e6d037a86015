"""The Probability of Backtest Overfitting: by hand, against a slow reference, and on noise and a planted edge."""

import json
import math
import subprocess
import sys
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimize.honesty import block_bounds, block_sums, blocks_for, overfitting
from optimize.honesty.cscv import BINS, TILE

FloatArray = npt.NDArray[np.float64]


def slowly(returns: FloatArray, blocks: int) -> tuple[list[float], list[float], list[float]]:
    """Return logits, and the ratios of the chosen ones in both halves, as the paper says it, from the returns."""
    count = returns.shape[0]
    bounds = block_bounds(returns.shape[1], blocks)
    logits, inside, outside = [], [], []
    for half in combinations(range(blocks), blocks // 2):
        chosen_in = np.zeros(returns.shape[1], dtype=bool)
        for block in half:
            chosen_in[bounds[block] : bounds[block + 1]] = True
        ratios = [ratio(row[chosen_in]) for row in returns]
        others = [ratio(row[~chosen_in]) for row in returns]
        best = ratios.index(max(ratios))
        below = sum(other < others[best] for other in others)
        equal = sum(other == others[best] for other in others)
        omega = (below + (equal + 1) / 2) / (count + 1)
        logits.append(math.log(omega / (1 - omega)))
        inside.append(ratios[best])
        outside.append(others[best])
    return sorted(logits), inside, outside


def ratio(values: FloatArray) -> float:
    if np.ptp(values) == 0:
        return 0.0
    # As exactly as can be: equal returns in another order must have equal ratios.
    mean = math.fsum(values) / values.size
    return mean / math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (values.size - 1))


def test_three_combinations_in_four_blocks_by_hand() -> None:
    """Each block has returns m+1 and m-1, so that its ratio has the order of its m.

    Means by block:  A: 4 4 0 0   B: 1 1 1 1   C: 0 0 3 3.
    Blocks 1+2: A is best (4, against 1 and 0), and has 0 in 3+4: the worst of 3; ω = 1/4, λ = ln(1/3).
    Blocks 3+4: C is best (3), and has 0 in 1+2: the worst; λ = ln(1/3).
    The four mixed halves, such as 1+3: A (4, 0) has mean 2 and variance 4+1 about it (times 4/3), a ratio in the order
    of 2/√5 = 0.894; B 1/√1 = 1; C 1.5/√(2.25+1) = 0.832. B is best, and so it is in the other half, which is the
    same: rank 3 of 3, ω = 3/4, λ = ln 3. PBO is 2 of 6.
    """
    means = np.array([[4, 4, 0, 0], [1, 1, 1, 1], [0, 0, 3, 3]], dtype=np.float64)
    returns = np.repeat(means, 2, axis=1) + np.tile([1.0, -1.0], 4)
    answer = overfitting(*block_sums(returns, 4))
    assert answer is not None
    assert answer.logits == pytest.approx([math.log(1 / 3)] * 2 + [math.log(3)] * 4)
    assert (answer.pbo, answer.splits, answer.combinations, answer.blocks) == (2 / 6, 6, 3, 4)
    assert answer.probability_of_loss == 0
    # Four returns a half: ratios are m/√(4/3). Chosen: A with 4 then 0, C with 3 then 0, four times B with 1 and 1.
    root = math.sqrt(4 / 3)
    assert answer.in_sample == pytest.approx((4 + 3 + 4 * 1) / 6 / root)
    assert answer.out_of_sample == pytest.approx(4 * 1 / 6 / root)
    # The line through (4, 0), (3, 0) and four times (1, 1): Sxy = 4 - 11·4/6 = -20/6, Sxx = 29 - 11²/6 = 53/6.
    assert answer.slope == pytest.approx(-20 / 53)
    assert answer.intercept == pytest.approx((4 / 6 + 20 / 53 * 11 / 6) / root)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([2, 3, 5, 17, TILE, TILE + 1, 2 * TILE + 5]),
    blocks=st.sampled_from([2, 4, 6]),
    periods=st.integers(40, 90),
    threads=st.integers(1, 3),
)
def test_it_equals_the_slow_reference_with_idle_and_equal_combinations(
    seed: int, count: int, blocks: int, periods: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0005, 0.01, (count, periods))
    returns[rng.random(count) < 0.2] = 0.0
    returns[rng.integers(count)] = returns[rng.integers(count)]
    returns[:, : periods // blocks] *= rng.random((count, 1)) < 0.7  # idle in the first block
    answer = overfitting(*block_sums(returns, blocks), threads=threads)
    logits, inside, outside = slowly(returns, blocks)
    assert answer is not None
    np.testing.assert_allclose(answer.logits, logits, rtol=0, atol=1e-12)
    assert answer.pbo == sum(each <= 0 for each in logits) / len(logits)
    assert answer.in_sample == pytest.approx(np.mean(inside), abs=1e-12)
    assert answer.out_of_sample == pytest.approx(np.mean(outside), abs=1e-12)
    assert answer.probability_of_loss == np.mean(np.array(outside) < 0)


def test_of_pure_noise_it_is_about_a_half_and_the_best_past_promises_nothing() -> None:
    rng = np.random.default_rng(11)
    answers = [overfitting(*block_sums(rng.normal(0, 0.01, (50, 640)), 8)) for _ in range(120)]
    figures = [each for each in answers if each is not None]
    assert np.mean([each.pbo for each in figures]) == pytest.approx(0.5, abs=0.05)
    # What was taken from one half is missing in the other: a better past, a worse future.
    slopes = [each.slope for each in figures if each.slope is not None]
    assert np.mean(slopes) < -0.3
    assert np.mean([each.out_of_sample for each in figures]) == pytest.approx(0, abs=0.01)


def test_with_one_true_edge_among_noise_it_is_near_zero() -> None:
    rng = np.random.default_rng(12)
    returns = rng.normal(0, 0.01, (50, 1600))
    returns[7] += 0.002
    answer = overfitting(*block_sums(returns, 16))
    assert answer is not None
    assert answer.splits == math.comb(16, 8)
    assert answer.pbo < 0.001
    assert answer.probability_of_loss < 0.001


def test_where_what_won_loses_next_it_is_one() -> None:
    """Each combination earns in one half of the blocks and loses in the other, as if fitted to them."""
    halves = list(combinations(range(4), 2))
    returns = np.zeros((len(halves), 400))
    for row, half in enumerate(halves):
        for block in range(4):
            returns[row, block * 100 : block * 100 + 100] = 0.01 if block in half else -0.01
    returns += np.random.default_rng(5).normal(0, 0.001, returns.shape)
    answer = overfitting(*block_sums(returns, 4))
    assert answer is not None
    assert answer.pbo == 1
    assert answer.probability_of_loss == 1


def test_many_combinations_are_taken_in_tiles_and_may_be_stopped_between_them() -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    sums = block_sums(np.random.default_rng(2).normal(0, 0.01, (3 * TILE, 200)), 4)
    calls: list[int] = []
    overfitting(*sums, check=lambda: calls.append(1))
    assert len(calls) >= 3
    with pytest.raises(Stopped):
        overfitting(*sums, check=stop)


def test_a_single_combination_is_no_choice() -> None:
    assert overfitting(*block_sums(np.ones((1, 40)), 4)) is None


@pytest.mark.parametrize(("count", "blocks"), [(1258, 16), (320, 16), (319, 14), (100, 4), (80, 4), (79, 0), (0, 0)])
def test_there_are_sixteen_blocks_or_as_many_as_have_twenty_returns(count: int, blocks: int) -> None:
    assert blocks_for(count) == blocks


@given(st.integers(2, 5000), st.integers(1, 20))
def test_blocks_cover_everything_and_differ_by_one_at_most(count: int, blocks: int) -> None:
    sizes = np.diff(block_bounds(count, blocks))
    assert sizes.sum() == count
    assert np.ptp(sizes) <= 1


@pytest.mark.parametrize(
    ("counts", "totals", "message"),
    [
        ([5, 5, 5], np.zeros((2, 3)), "even"),
        ([5, 1], np.zeros((2, 2)), "at least two returns"),
        ([5, 5], np.zeros((2, 4)), r"\[combinations, blocks\]"),
        ([5, 5], np.full((2, 2), np.nan), "finite"),
        ([5] * 22, np.zeros((2, 22)), "from 2 to 20"),
    ],
)
def test_sums_that_do_not_fit_are_refused(counts: list[int], totals: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overfitting(counts, totals, np.abs(totals))


def test_it_becomes_json() -> None:
    answer = overfitting(*block_sums(np.random.default_rng(2).normal(0, 0.01, (9, 200)), 4))
    assert answer is not None
    data = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    assert sum(data["logits"]["counts"]) == data["splits"] == 6


@given(st.integers(2, 40), st.sampled_from([2, 4, 8]), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_its_histogram_and_quartiles_are_those_of_numpy_to_the_last_bit(count: int, blocks: int, seed: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 0.01, (count, 10 * blocks))
    returns[: count // 3] = 0.0
    answer = overfitting(*block_sums(returns, blocks))
    assert answer is not None
    counts, edges = np.histogram(answer.logits, bins=BINS)
    said = answer.as_dict()["logits"]
    assert (said["counts"], said["edges"]) == (counts.tolist(), edges.tolist())
    assert said["quartiles"] == np.quantile(answer.logits, (0.25, 0.5, 0.75)).tolist()


def test_the_compiler_is_not_loaded_before_something_is_computed() -> None:
    code = "import sys, optimize.honesty; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
