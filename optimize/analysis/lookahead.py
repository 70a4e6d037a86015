"""Does a strategy see the future? Each cut hides what came after a bar; what was said up to there must stay the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray
from workflows.strategies import Columns, StrategyType
from workflows.strategies.rules import BoolArray, Column, Params, evaluate

IntArray = NDArray[np.int64]

# Changes named for each combination; all are counted.
NAMED = 20
# Cuts beside those at changes of the signal.
EVEN = 50
# Relative difference beyond which a figure has changed: sums over longer histories may round otherwise.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Change:
    """Something said about a bar that depended on later bars.

    Attributes:
        bar: index of the bar; `cut` is that of the last bar that was shown. `cut` >= `bar`.
        column: the figure that changed, empty where the signal itself did.
        whole: what all bars say: `enter`, `exit`, `both` or `nothing`, or the figure.
        cut_short: what the bars up to the cut say.
    """

    bar: int
    cut: int
    column: str
    whole: str | float | None
    cut_short: str | float | None


@dataclass(frozen=True)
class Sight:
    """What was found of one combination on one series.

    Attributes:
        changed_signals, changed_figures: how many (bar, cut) pairs differ.
        changes: the first NAMED of them, signals first, in the order of their bars.
        cuts: how many cuts were made; `left_out` more bars changed the signal and had none of their own.
    """

    changed_signals: int
    changed_figures: int
    changes: tuple[Change, ...]
    cuts: int
    left_out: int


def look_ahead(
    strategy_type: StrategyType,
    combinations: Sequence[Params],
    bars: Bars,
    *,
    first: int = 0,
    most_cuts: int = 500,
    check: Callable[[], None] = lambda: None,
) -> list[Sight]:
    """Return what changes when the future is hidden, for each combination (clean params).

    Every bar at which a signal begins or ends is a cut, and EVEN more over the whole length; where signals change more
    often than `most_cuts`, those are spread evenly over the changes.

    Args:
        first: cuts before this bar are not made.
        check: called before each cut; what it raises ends the analysis.
    """
    whole = Columns(bars)
    rules = [strategy_type.rule(params) for params in combinations]
    said = [evaluate(rule, whole) for rule in rules]
    cuts = [_cuts(*signals, first, most_cuts) for signals in said]
    found = [_Found([], [], 0, 0) for _ in rules]
    for cut in sorted(set[int]().union(*(chosen for chosen, _ in cuts))):
        check()
        shown = Columns(bars.slice(0, cut + 1))
        figures: dict[Column, list[Change]] = {}
        for rule, signals, (chosen, _), told in zip(rules, said, cuts, found, strict=True):
            if cut not in chosen:
                continue
            told.signals(_signal_changes(signals, evaluate(rule, shown), cut))
            for column in rule.columns():
                if column not in figures:
                    figures[column] = _figure_changes(column, whole.get(column), shown.get(column), cut)
                told.figures(figures[column])
    return [
        Sight(told.changed_signals, told.changed_figures, told.first(), len(chosen), left_out)
        for told, (chosen, left_out) in zip(found, cuts, strict=True)
    ]


@dataclass
class _Found:
    """What was found of one combination so far: everything counted, the first of each kept."""

    named_signals: list[Change]
    named_figures: list[Change]
    changed_signals: int
    changed_figures: int

    def signals(self, changes: Sequence[Change]) -> None:
        self.changed_signals += len(changes)
        self.named_signals += changes[: NAMED - len(self.named_signals)]

    def figures(self, changes: Sequence[Change]) -> None:
        self.changed_figures += len(changes)
        self.named_figures += changes[: NAMED - len(self.named_figures)]

    def first(self) -> tuple[Change, ...]:
        return tuple((self.named_signals + self.named_figures)[:NAMED])


def _cuts(entries: BoolArray, exits: BoolArray, first: int, most: int) -> tuple[frozenset[int], int]:
    """Return the bars to cut behind, and how many changes of the signal have no cut of their own."""
    count = len(entries)
    if count == 0:
        return frozenset(), 0
    begins = np.flatnonzero((entries[1:] != entries[:-1]) | (exits[1:] != exits[:-1])) + 1
    if entries[0] or exits[0]:
        begins = np.concatenate(([0], begins))
    begins = begins[begins >= first]
    left_out = max(0, len(begins) - most)
    if left_out:
        begins = begins[_spread(len(begins), most)]
    even = first + _spread(max(0, count - first), EVEN)
    return frozenset(begins.tolist()) | frozenset(even.tolist()), left_out


def _spread(count: int, most: int) -> IntArray:
    """Return at most `most` of `range(count)`, evenly, the first and the last among them."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def _word(enter: bool, leave: bool) -> str:
    return {(True, False): "enter", (False, True): "exit", (True, True): "both"}.get((enter, leave), "nothing")


def _signal_changes(whole: tuple[BoolArray, BoolArray], shown: tuple[BoolArray, BoolArray], cut: int) -> list[Change]:
    entries, exits = whole[0][: cut + 1], whole[1][: cut + 1]
    bars = np.flatnonzero((entries != shown[0]) | (exits != shown[1]))
    return [
        Change(
            int(bar),
            cut,
            "",
            _word(bool(entries[bar]), bool(exits[bar])),
            _word(bool(shown[0][bar]), bool(shown[1][bar])),
        )
        for bar in bars
    ]


def _figure_changes(column: Column, whole: FloatArray, shown: FloatArray, cut: int) -> list[Change]:
    whole = whole[: cut + 1]
    # One infinity is as good as the other; a figure that is there in one only has changed.
    same = np.isclose(whole, shown, rtol=TOLERANCE, atol=0.0, equal_nan=True)
    return [
        Change(int(bar), cut, described(column), _number(whole[bar]), _number(shown[bar]))
        for bar in np.flatnonzero(~same)
    ]


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def described(column: Column) -> str:
    """Write a column for people: `macd.signal(fast=12, slow=26)`, `donchian.upper(period=20) 1 bar earlier`."""
    params = ", ".join(f"{name}={value}" for name, value in column.params)
    output = f".{column.output}" if column.output else ""
    earlier = f" {column.shift} bar{'s' * (column.shift > 1)} earlier" if column.shift else ""
    return f"{column.name}{output}{f'({params})' if params else ''}{earlier}"
