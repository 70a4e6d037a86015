"""Combinatorial purged cross-validation: nothing leaks, and everything is tested as often as promised."""

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimize.honesty import Plan, assemble, cpcv, path_count

IntArray = npt.NDArray[np.int64]


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, IntArray, int, int, int]:
    groups = draw(st.integers(2, 7))
    test_groups = draw(st.integers(1, groups - 1))
    count = draw(st.integers(groups, 90))
    longest = draw(st.integers(0, 12))
    holding = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, longest + 1, count)
    ends = np.minimum(np.arange(count) + holding, count - 1)
    embargo = draw(st.integers(0, 6))
    try:
        plan = cpcv(count, groups, test_groups, ends=ends, embargo=embargo)
    except ValueError as error:
        assume("without training rows" not in str(error))
        raise
    return plan, ends, embargo, groups, test_groups


@settings(max_examples=150, deadline=None)
@given(plans())
def test_no_training_row_is_held_while_a_test_row_is_nor_follows_one_within_the_embargo(
    drawn: tuple[Plan, IntArray, int, int, int],
) -> None:
    plan, ends, embargo, _, _ = drawn
    for split in plan.splits:
        test, train = split.test_rows(), split.train_rows()
        assert not set(test.tolist()) & set(train.tolist())
        for row in train.tolist():
            overlapping = (test <= ends[row]) & (ends[test] >= row)
            assert not overlapping.any()
            assert not ((ends[test] < row) & (row <= ends[test] + embargo) & _last_of_a_stretch(test, ends)).any()


def _last_of_a_stretch(test: IntArray, ends: IntArray) -> npt.NDArray[np.bool_]:
    """Mark the test rows whose holding ends last in their stretch of consecutive rows."""
    result = np.zeros(test.size, dtype=bool)
    starts = np.flatnonzero(np.diff(test, prepend=-2) > 1)
    for start, stop in zip(starts, [*starts[1:], test.size], strict=True):
        result[start + int(ends[test[start:stop]].argmax())] = True
    return result


@settings(max_examples=100, deadline=None)
@given(plans())
def test_no_more_is_purged_than_must_be(drawn: tuple[Plan, IntArray, int, int, int]) -> None:
    plan, ends, embargo, _, _ = drawn
    for split in plan.splits:
        left_out = set(range(plan.count)) - set(split.train_rows().tolist())
        needed = set()
        for start, stop in split.test:
            last = int(ends[start:stop].max())
            needed |= {row for row in range(plan.count) if row <= last and ends[row] >= start}
            needed |= set(range(last + 1, min(last + 1 + embargo, plan.count)))
        assert left_out == needed


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_row_is_tested_in_as_many_splits_as_there_are_paths_and_each_path_has_every_row_once(
    drawn: tuple[Plan, IntArray, int, int, int],
) -> None:
    plan, _, _, groups, test_groups = drawn
    paths = path_count(groups, test_groups)
    assert paths == math.comb(groups, test_groups) * test_groups // groups == plan.paths.shape[0]
    assert len(plan.splits) == math.comb(groups, test_groups)
    tested = Counter(row for split in plan.splits for row in split.test_rows().tolist())
    assert tested == dict.fromkeys(range(plan.count), paths)
    used = Counter((int(plan.paths[path, group]), group) for path in range(paths) for group in range(groups))
    assert set(used.values()) == {1}
    assert all(group in plan.splits[split].groups for split, group in used)


def test_the_books_example_of_six_groups_by_two_has_fifteen_splits_and_five_paths() -> None:
    """López de Prado 2018, figures 12.1 and 12.2: path 1 has groups 1 and 2 of the first split."""
    plan = cpcv(600, 6, 2)
    assert (len(plan.splits), plan.paths.shape) == (15, (5, 6))
    assert plan.splits[0].groups == (0, 1)
    assert plan.paths[0].tolist() == [0, 0, 1, 2, 3, 4]
    assert plan.paths[1].tolist() == [1, 5, 5, 6, 7, 8]


def test_paths_are_put_together_from_the_splits_that_tested_each_group() -> None:
    plan = cpcv(60, 6, 2)
    tested = np.full((15, 60), np.nan)
    for number, split in enumerate(plan.splits):
        tested[number, split.test_rows()] = number
    paths = assemble(plan, tested)
    assert np.isfinite(paths).all()
    for group in range(6):
        start, stop = plan.group(group)
        assert (paths[:, start:stop] == plan.paths[:, [group]]).all()


def test_a_label_that_looks_ahead_and_an_embargo_open_a_gap_on_both_sides_of_the_test() -> None:
    ends = np.minimum(np.arange(100) + 5, 99)
    plan = cpcv(100, 5, 1, ends=ends, embargo=3)
    assert plan.splits[2].test == ((40, 60),)
    assert plan.splits[2].train == ((0, 35), (68, 100))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"groups": 1, "test_groups": 1}, "at least 2"),
        ({"groups": 4, "test_groups": 4}, "fewer than groups"),
        ({"groups": 4, "test_groups": 0}, "at least 1"),
        ({"groups": 101, "test_groups": 1}, "at least as many rows"),
        ({"groups": 30, "test_groups": 15}, "more than 5,000"),
        ({"groups": 4, "test_groups": 2, "embargo": -1}, "embargo"),
        ({"groups": 4, "test_groups": 2, "ends": [0] * 100}, "ends"),
        ({"groups": 4, "test_groups": 2, "ends": list(range(1, 101))}, "ends"),
        ({"groups": 4, "test_groups": 2, "ends": [99] * 100}, "without training rows"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(call: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cpcv(100, **call)


def test_values_that_do_not_fit_the_plan_are_refused() -> None:
    with pytest.raises(ValueError, match="splits, rows"):
        assemble(cpcv(60, 6, 2), np.zeros((15, 59)))


def test_a_plan_says_its_shape() -> None:
    assert cpcv(60, 3, 1).as_dict() == {
        "groups": 3,
        "test_groups": 1,
        "splits": 3,
        "paths": 1,
        "bounds": [0, 20, 40, 60],
    }
