"""The rules of many combinations read off one: most types only pass their parameters on, into columns and levels.

A rule is asked once with a mark in place of each number. Where the marks come out in columns and levels untouched, what
every combination asks for follows by counting; where a type computes or decides with a parameter, the mark refuses, and
the rules are made one by one.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from optimize.engine.series import IntArray
from workflows.strategies import Column, Comparison, Rule, StrategyType
from workflows.strategies.rules import Params

Index = NDArray[np.int32]


class Mark:
    """Stands for a parameter: it can be handed on, and nothing can be made of it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise TypeError(f"{self.name} is compared")

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"something is made of {self.name}")

    __bool__ = __str__ = __format__ = __repr__ = __index__ = __float__ = __lt__ = __gt__ = __le__ = __ge__ = _refuse


@dataclass(frozen=True, eq=False)
class Traced:
    """What every combination asks for.

    Attributes:
        columns: each once.
        sides: as the combinations' comparisons, entries before exits, name them: int32[C, K] rows of the left and, or
            -1, of the right column, and float64[C, K] levels.
        known: int32[C, R]: the rows that a combination looks at.
        above: bool[K], alike for all.
        shape: number of entries, entries needed, number of exits, exits needed.
    """

    columns: tuple[Column, ...]
    left: Index
    right: Index
    level: NDArray[np.float64]
    known: Index
    above: NDArray[np.bool_]
    shape: tuple[int, int, int, int]


def traced(strategy_type: StrategyType, combinations: Sequence[Params]) -> Traced | None:
    """Return what `combinations` ask for; None where their rules differ in more than numbers, or cannot be followed."""
    first = combinations[0]
    numbers = [parameter.name for parameter in strategy_type.parameters if parameter.kind in ("int", "float")]
    others = [name for name in first if name not in numbers]
    if others and any(params[name] != first[name] for params in combinations for name in others):
        return None
    try:
        rule = strategy_type.rule({**first, **{name: Mark(name) for name in numbers}})
        found = _Reader(combinations).read(rule)
    except (TypeError, KeyError):
        return None
    # A type that is more cunning than the marks is caught at the ends of its grid.
    ends = (0, len(combinations) - 1)
    return found if all(_rule_of(found, row) == strategy_type.rule(combinations[row]) for row in ends) else None


class _Reader:
    """Fills a rule's marks in for all combinations at once."""

    def __init__(self, combinations: Sequence[Params]) -> None:
        self._combinations = combinations
        self._coded: dict[str, tuple[list[Any], IntArray]] = {}
        self._columns: dict[Column, int] = {}
        self._rows: dict[int, Index] = {}

    def read(self, rule: Rule) -> Traced:
        comparisons = rule.entries + rule.exits
        count = len(self._combinations)
        left, right = np.empty((2, count, len(comparisons)), dtype=np.int32)
        level = np.zeros((count, len(comparisons)))
        for place, (one, _, other) in enumerate(comparisons):
            left[:, place] = self._row(one)
            if isinstance(other, Column):
                right[:, place] = self._row(other)
            else:
                right[:, place] = -1
                level[:, place] = self._level(other)
        return Traced(
            left=left,
            right=right,
            level=level,
            known=np.stack(list(self._rows.values()), axis=1),
            above=np.array([each.above for each in comparisons]),
            shape=(len(rule.entries), rule.entries_needed, len(rule.exits), rule.exits_needed),
            columns=tuple(self._columns),
        )

    def _values(self, name: str) -> tuple[list[Any], IntArray]:
        """Return the distinct values of a parameter, and for each combination which of them it has."""
        coded = self._coded.get(name)
        if coded is None:
            asked: list[Hashable] = list(map(itemgetter(name), self._combinations))
            place = dict.fromkeys(asked, 0)
            for number, value in enumerate(place):
                place[value] = number
            codes = np.fromiter(map(place.__getitem__, asked), np.int64, len(asked))
            coded = self._coded[name] = (list(place), codes)
        return coded

    def _level(self, side: object) -> NDArray[np.float64] | float:
        if isinstance(side, Mark):
            values, codes = self._values(side.name)
            level: NDArray[np.float64] = np.array(values, dtype=np.float64)[codes]
            return level
        return float(side)  # type: ignore[arg-type]  # a column is asked for elsewhere

    def _row(self, column: Column) -> Index:
        """Return which column each combination means by this one."""
        rows, count = self._rows.get(id(column)), len(self._combinations)
        if rows is not None:
            return rows
        asked: tuple[tuple[str, object], ...] = column.params
        coded = [self._values(value.name) for _, value in asked if isinstance(value, Mark)]
        distinct, places = _combined(coded, count)
        marked = iter(distinct)
        params: list[Iterable[tuple[str, Any]]] = [
            zip(repeat(name), next(marked)) if isinstance(value, Mark) else repeat((name, value))
            for name, value in asked
        ]
        known, made = self._columns, []
        # Names keep their order, so that nothing is to be checked or sorted.
        for filled in zip(*params) if coded else [asked]:  # noqa: B905
            whole = Column._make((column.name, filled, column.output, column.shift))
            made.append(known.setdefault(whole, len(known)))
        rows = self._rows[id(column)] = np.array(made, dtype=np.int32)[places]
        return rows


def _combined(coded: Sequence[tuple[list[Any], IntArray]], count: int) -> tuple[list[list[Any]], IntArray]:
    """Return the values, by parameter, that several have together, and for each of `count` combinations which of them."""
    if not coded:
        return [], np.zeros(count, dtype=np.int64)
    values, codes = coded[0]
    if len(coded) == 1:
        return [values], codes
    which = codes
    for more, numbers in coded[1:]:
        which = which * len(more) + numbers
    distinct, places = np.unique(which, return_inverse=True)
    numbered = np.unravel_index(distinct, [len(values) for values, _ in coded])
    return [
        [values[code] for code in codes.tolist()] for (values, _), codes in zip(coded, numbered, strict=True)
    ], places


def _rule_of(found: Traced, row: int) -> Rule:
    """Return the rule of one combination as it was read."""
    rights = [
        found.columns[number] if number >= 0 else level
        for number, level in zip(found.right[row], found.level[row].tolist(), strict=True)
    ]
    comparisons = tuple(
        Comparison(found.columns[number], bool(above), right)
        for number, above, right in zip(found.left[row], found.above, rights, strict=True)
    )
    entries, entries_needed, _, exits_needed = found.shape
    return Rule(comparisons[:entries], entries_needed, comparisons[entries:], exits_needed)
