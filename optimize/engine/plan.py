"""The rules of many combinations as numbers: every column, every comparison once, and who asks for which."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray
from optimize.engine.series import IntArray
from optimize.engine.tracing import Traced, traced
from workflows.strategies import Column, Rule, StrategyType
from workflows.strategies.rules import Params

Index = NDArray[np.int32]
# Told apart from comparisons of two columns by a row that no table has.
_LEVELS = 1 << 40
# Fewer rules are made sooner than one is followed.
_MANY = 8


@dataclass(frozen=True, eq=False)
class Plan:
    """What a block of combinations asks of one symbol.

    Attributes:
        columns: the rows of the table of figures.
        left, right: int32[P], the two rows of each pair that is compared; right -1 where a number stands in `level`.
        level: float64[P].
        asked: int32[C, K]: for each combination the masks of its entries and of its exits, padded by -1. Mask 2p says
            where left > right of pair p, mask 2p + 1 where left < right.
        shape: int32[C, 4]: number of entries, entries needed, number of exits, exits needed.
        known: int32[C, R]: the rows that must be finite, padded by -1.
    """

    columns: tuple[Column, ...]
    left: Index
    right: Index
    level: FloatArray
    asked: Index
    shape: Index
    known: Index

    def __len__(self) -> int:
        return len(self.shape)


def encode(strategy_type: StrategyType, combinations: "Sequence[Params] | Plan") -> Plan:
    """Return the plan of `combinations`, whose params must be clean; one that is there already is that plan."""
    if isinstance(combinations, Plan):
        return combinations
    found = traced(strategy_type, combinations) if len(combinations) >= _MANY else None
    return _one_by_one(strategy_type, combinations) if found is None else _at_once(found)


def _at_once(found: Traced) -> Plan:
    """Return the plan of combinations whose rules differ in numbers alone: what is equal is counted, not looked up."""
    left, right, level = found.left.ravel(), found.right.ravel(), found.level.ravel()
    width = len(found.columns) + 1
    sides = (right + 1) * np.int64(width) + left
    if found.level.any():
        _, levels = np.unique(level, return_inverse=True)
        sides += levels * (width * width)
    firsts, pairs = _counted(sides)
    return Plan(
        columns=found.columns,
        left=left[firsts],
        right=right[firsts],
        level=level[firsts],
        asked=(2 * pairs.reshape(found.left.shape) + ~found.above).astype(np.int32),
        shape=np.full((len(found.left), 4), found.shape, dtype=np.int32),
        known=found.known,
    )


def _counted(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each distinct key stands, and for each key which of the distinct ones it is."""
    size = int(keys.max()) + 1
    if size > 8 * len(keys):  # to sort takes less than to make room for every key that there could be
        _, firsts, which = np.unique(keys, return_index=True, return_inverse=True)
        return firsts, which
    place = np.full(size, -1, dtype=np.int64)
    place[keys] = np.arange(len(keys))
    taken = np.flatnonzero(place >= 0)
    firsts = place[taken]
    place[taken] = np.arange(len(taken))
    return firsts, place[keys]


def _one_by_one(strategy_type: StrategyType, combinations: Sequence[Params]) -> Plan:
    """Return the plan of any combinations. One loop without calls: for short histories this is what takes the time."""
    columns: dict[Column, int] = {}
    # The same objects come again and again; those seen are kept, so that no other takes their identity.
    numbers: dict[int, int] = {}
    seen: list[Column] = []
    pairs: dict[tuple[int, int | float], int] = {}
    sides: list[tuple[int, int, float]] = []
    asked: list[list[int]] = []
    shape: list[int] = []
    known: list[list[int]] = []
    make: Callable[[Params], Rule] = strategy_type.rule
    for params in combinations:
        entries, entries_needed, exits, exits_needed = make(params)
        shape += (len(entries), entries_needed, len(exits), exits_needed)
        masks: list[int] = []
        rows: dict[int, None] = {}
        for left, above, right in entries + exits:
            row = numbers.get(id(left))
            if row is None:
                row = numbers[id(left)] = columns.setdefault(left, len(columns))
                seen.append(left)
            rows[row] = None
            key: tuple[int, int | float]
            if isinstance(right, Column):
                other = numbers.get(id(right))
                if other is None:
                    other = numbers[id(right)] = columns.setdefault(right, len(columns))
                    seen.append(right)
                rows[other] = None
                key = (row, other)
            else:
                other, key = -1, (row + _LEVELS, right)
            pair = pairs.get(key)
            if pair is None:
                pair = pairs[key] = len(pairs)
                sides.append((row, other, 0.0 if other >= 0 else float(right)))  # type: ignore[arg-type]  # a number here
            masks.append(2 * pair if above else 2 * pair + 1)
        asked.append(masks)
        known.append(list(rows))
    table = np.array(sides, dtype=np.float64).reshape(-1, 3)
    return Plan(
        columns=tuple(columns),
        left=table[:, 0].astype(np.int32),
        right=table[:, 1].astype(np.int32),
        level=np.ascontiguousarray(table[:, 2]),
        asked=_padded(asked),
        shape=np.array(shape, dtype=np.int32).reshape(-1, 4),
        known=_padded(known),
    )


def _padded(rows: list[list[int]]) -> Index:
    """Return the rows one under the other, filled up with -1."""
    width = max(map(len, rows), default=0)
    if any(len(row) != width for row in rows):
        rows = [row + [-1] * (width - len(row)) for row in rows]
    # Flat, since NumPy takes its time over lists in lists.
    return np.array(list(itertools.chain.from_iterable(rows)), dtype=np.int32).reshape(len(rows), width)


def stretch(plan: Plan, first: int, last: int) -> Plan:
    """Return the plan of the combinations [first, last) over the same columns, with only the pairs that they ask for."""
    if first == 0 and last == len(plan):
        return plan
    masks = plan.asked[first:last]
    pairs, places = np.unique(np.where(masks < 0, masks[0, 0], masks) // 2, return_inverse=True)
    asked = np.where(masks < 0, -1, 2 * places.reshape(masks.shape) + masks % 2).astype(np.int32)
    return Plan(
        columns=plan.columns,
        left=plan.left[pairs],
        right=plan.right[pairs],
        level=plan.level[pairs],
        asked=asked,
        shape=plan.shape[first:last],
        known=plan.known[first:last],
    )


def part(plan: Plan, first: int, last: int) -> Plan:
    """Return the plan of the combinations [first, last), with only the columns and pairs that they ask for."""
    if first == 0 and last == len(plan):
        return plan
    few = stretch(plan, first, last)
    rows: IntArray = np.unique(np.concatenate((few.left, few.right[few.right >= 0])))
    number = np.full(len(plan.columns) + 1, -1, dtype=np.int32)
    number[rows] = np.arange(len(rows), dtype=np.int32)
    return replace(
        few,
        columns=tuple(plan.columns[row] for row in rows),
        left=number[few.left],
        right=number[few.right],  # -1 finds the last place, which says -1
        known=number[few.known],
    )
