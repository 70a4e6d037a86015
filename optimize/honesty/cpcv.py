"""Combinatorial purged cross-validation (CPCV): many out-of-sample paths through one period, none of them leaking.

The period is cut into N groups; every choice of k groups is a split's test, the rest its training. Each group is tested
in C(N-1, k-1) splits, so that the tests can be put together to φ = C(N-1, k-1) = C(N, k)·k/N whole paths.

A row is held from itself to `ends`: a bar whose label looks ten bars ahead ends ten bars later. A training row is purged
where what it is held for overlaps what a test row is held for, and for `embargo` rows after a stretch of test rows no
training row is taken, since what is correlated with the test leaks backwards too.

Source:
    López de Prado: "Advances in Financial Machine Learning", Wiley 2018, chapters 7 (purging, embargo) and 12 (CPCV).
"""

import math
from dataclasses import dataclass
from itertools import combinations as choices
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Interval = tuple[int, int]

MOST_SPLITS = 5_000


@dataclass(frozen=True)
class Split:
    """One split; intervals are [start, stop) rows in order, no two of them touching.

    Attributes:
        groups: that are tested.
        test: their rows, those of neighbouring groups joined.
        train: the rows that remain after purging and embargo.
    """

    groups: tuple[int, ...]
    test: tuple[Interval, ...]
    train: tuple[Interval, ...]

    def train_rows(self) -> IntArray:
        return _rows(self.train)

    def test_rows(self) -> IntArray:
        return _rows(self.test)


@dataclass(frozen=True)
class Plan:
    """All splits, and how their tests make paths.

    Attributes:
        bounds: the N + 1 bounds of the groups.
        paths: the split from which each path has each group, [path, group].
    """

    count: int
    bounds: tuple[int, ...]
    splits: tuple[Split, ...]
    paths: IntArray

    def group(self, number: int) -> Interval:
        return self.bounds[number], self.bounds[number + 1]

    def as_dict(self) -> dict[str, Any]:
        return {
            "groups": len(self.bounds) - 1,
            "test_groups": len(self.splits[0].groups),
            "splits": len(self.splits),
            "paths": int(self.paths.shape[0]),
            "bounds": list(self.bounds),
        }


def path_count(groups: int, test_groups: int) -> int:
    """Return φ, in how many splits each group is tested."""
    return math.comb(groups - 1, test_groups - 1)


def cpcv(count: int, groups: int, test_groups: int, *, ends: npt.ArrayLike | None = None, embargo: int = 0) -> Plan:
    """Return the plan of a combinatorial purged cross-validation of `count` rows in time's order.

    Args:
        groups, test_groups: N and k.
        ends: the last row, inclusive, that each row is held for; without it, itself.
        embargo: rows after each stretch of test rows, from where its last row's holding ends, that no training takes.

    Raises:
        ValueError: when the groups do not fit the rows or each other, the plan would have more than 5,000 splits, an
            end is before its row or beyond the last, the embargo is negative, or nothing remains to train on.
    """
    if groups < 2 or not 1 <= test_groups < groups:
        raise ValueError("groups must be at least 2, and test_groups at least 1 and fewer than groups.")
    if groups > count:
        raise ValueError(f"{groups} groups need at least as many rows; there are {count}.")
    if math.comb(groups, test_groups) > MOST_SPLITS:
        raise ValueError(f"{groups} groups by {test_groups} make more than {MOST_SPLITS:,} splits: take fewer groups.")
    if embargo < 0:
        raise ValueError("embargo must be at least 0.")
    rows = np.arange(count, dtype=np.int64)
    held = rows if ends is None else np.asarray(ends, dtype=np.int64)
    if held.shape != (count,) or (held < rows).any() or (held >= count).any():
        raise ValueError("ends must have one row for each row, from itself to the last one.")
    bounds = tuple((np.arange(groups + 1) * count // groups).tolist())
    splits = tuple(_split(group, bounds, held, embargo) for group in choices(range(groups), test_groups))
    if any(not each.train for each in splits):
        raise ValueError(
            "purging and embargo leave a split without training rows: take fewer groups or a longer period."
        )
    return Plan(count, bounds, splits, _paths(splits, groups, test_groups))


def assemble(plan: Plan, tested: FloatArray) -> FloatArray:
    """Return each path's values, [path, row], from each split's values at its test rows.

    Args:
        tested: [split, row]; what stands at rows that the split does not test is not read.

    Raises:
        ValueError: when the shape does not fit the plan.
    """
    if tested.shape != (len(plan.splits), plan.count):
        raise ValueError("tested must be [splits, rows].")
    result = np.empty((plan.paths.shape[0], plan.count), dtype=np.float64)
    for group, (start, stop) in enumerate(pairwise(plan.bounds)):
        result[:, start:stop] = tested[plan.paths[:, group], start:stop]
    return result


def _split(tested: tuple[int, ...], bounds: tuple[int, ...], held: IntArray, embargo: int) -> Split:
    test = _joined([(bounds[group], bounds[group + 1]) for group in tested])
    allowed = np.ones(held.size, dtype=np.bool_)
    for start, stop in test:
        last = int(held[start:stop].max())  # the last row that a test row of this stretch is held for
        allowed[start : last + 1 + embargo] = False
        # Rows before the stretch that are still held when it begins. A long holding may reach it from anywhere.
        allowed[:start] &= held[:start] < start
    return Split(tested, test, _intervals(allowed))


def _joined(intervals: list[Interval]) -> tuple[Interval, ...]:
    result: list[Interval] = []
    for start, stop in intervals:
        if result and result[-1][1] == start:
            result[-1] = (result[-1][0], stop)
        else:
            result.append((start, stop))
    return tuple(result)


def _intervals(allowed: BoolArray) -> tuple[Interval, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], allowed, [False]]).astype(np.int8)))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def _rows(intervals: tuple[Interval, ...]) -> IntArray:
    return np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop in intervals])


def _paths(splits: tuple[Split, ...], groups: int, test_groups: int) -> IntArray:
    """Give each group's tests to the paths in the order of the splits, so that every test is used exactly once."""
    paths = np.empty((path_count(groups, test_groups), groups), dtype=np.int64)
    taken = [0] * groups
    for number, split in enumerate(splits):
        for group in split.groups:
            paths[taken[group], group] = number
            taken[group] += 1
    return paths
