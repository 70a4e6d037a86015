"""What a strategy looks at and when it speaks, as data, so that whoever computes signals reads the same declaration.

`StrategyType.study` evaluates a rule with NumPy; the kernels of the optimiser interpret it bit by bit. Neither knows a
strategy by name.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market.bars import Bars
from market.indicators import INDICATORS, Price
from tradingsite.common.contracts.registry import Registry

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Params = Mapping[str, Any]
Value = int | float | str | bool

PRICES = (Price.OPEN, Price.HIGH, Price.LOW, Price.CLOSE, Price.VOLUME)


class _Figure(NamedTuple):
    name: str
    params: tuple[tuple[str, Value], ...]
    output: str
    shift: int


class Column(_Figure):
    """One figure per bar.

    Attributes:
        name: a price (`open`, `high`, `low`, `close`, `volume`), an indicator of `market.indicators`, or a source that
            a higher floor registered in `column_sources`.
        params: its parameters as (name, value) pairs, ordered by name, so that equal columns are computed once.
        output: which of its outputs; empty for the first.
        shift: take the figure of so many bars earlier; NaN before the first. Never negative: that would look ahead.
    """

    __slots__ = ()

    def __new__(
        cls, name: str, params: tuple[tuple[str, Value], ...] = (), output: str = "", shift: int = 0
    ) -> "Column":
        if shift < 0:
            raise ValueError("a column may not look ahead: shift must be 0 or more")
        return tuple.__new__(cls, (name, tuple(sorted(params)), output, shift))

    @classmethod
    def of(cls, name: str, *, output: str = "", shift: int = 0, **params: Value) -> "Column":
        """Return the column `name` computed with `params`."""
        return cls(name, tuple(params.items()), output, shift)


class Comparison(NamedTuple):
    """`left` > `right` where `above`, else `left` < `right`. Equal figures are neither."""

    left: Column
    above: bool
    right: Column | float


class _Sides(NamedTuple):
    entries: tuple[Comparison, ...]
    entries_needed: int
    exits: tuple[Comparison, ...]
    exits_needed: int


class Rule(_Sides):
    """When a bar says "enter" and when "exit".

    It says so where at least `entries_needed` of `entries` (`exits_needed` of `exits`) hold. A bar on which a column of
    the rule or one of the four prices is not finite says nothing at all, so that both sides warm up together.

    Raises:
        ValueError: for a rule that speaks although nothing holds.
    """

    __slots__ = ()

    def __new__(
        cls, entries: tuple[Comparison, ...], entries_needed: int, exits: tuple[Comparison, ...], exits_needed: int
    ) -> "Rule":
        if not entries or entries_needed < 1 or exits_needed < 1:
            raise ValueError("a rule needs at least one comparison to hold before it speaks")
        return tuple.__new__(cls, (entries, entries_needed, exits, exits_needed))

    def columns(self) -> tuple[Column, ...]:
        """Return every column that the rule looks at, each once, in the order of its first use."""
        sides = ((comparison.left, comparison.right) for comparison in self.entries + self.exits)
        return tuple(dict.fromkeys(side for pair in sides for side in pair if isinstance(side, Column)))


@dataclass(frozen=True)
class ColumnSource:
    """Figures that a floor above computes, such as what a model expects.

    Attributes:
        slug: the name that columns call it by; none of a price or an indicator.
        compute: (bars, params) -> float64 arrays by output name, as long as the bars; the first is the main one. The
            value at bar t uses bars up to and including t, and is NaN where there is none.
    """

    slug: str
    compute: Callable[[Bars, Params], Mapping[str, FloatArray]]


def _check_name(source: ColumnSource) -> None:
    if source.slug in INDICATORS or source.slug in tuple(Price):
        raise ValueError(f"{source.slug!r} is the name of a price or an indicator")


column_sources: Registry[ColumnSource] = Registry("column source", _check_name)  # type: ignore[type-var]  # frozen, never assigned


class Columns:
    """The columns of one history, each computed on first use and then kept; the arrays are read-only."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._outputs: dict[tuple[str, tuple[tuple[str, Value], ...]], Mapping[str, FloatArray]] = {}

    def get(self, column: Column) -> FloatArray:
        """Return the figures of `column`, float64, as long as the bars.

        Raises:
            UnknownName: for a name that is neither a price, an indicator nor a registered source.
            IndicatorParamsInvalid: for parameters that are not the indicator's.
            KeyError: for an output that it does not have.
        """
        values = self._unshifted(column)
        if column.shift == 0:
            return values
        result = np.full(len(values), np.nan)
        result[column.shift :] = values[: max(0, len(values) - column.shift)]
        result.flags.writeable = False
        return result

    def _unshifted(self, column: Column) -> FloatArray:
        key = (column.name, column.params)
        if key not in self._outputs:
            outputs = figures_of(column.name, column.params, self.bars)
            self._outputs[key] = {output: _read_only(values) for output, values in outputs.items()}
        kept = self._outputs[key]
        return kept[column.output] if column.output else next(iter(kept.values()))


@functools.lru_cache(maxsize=10_000)
def validated(name: str, params: tuple[tuple[str, Value], ...]) -> Params:
    """Return an indicator's parameters, checked; kept, since to check them takes longer than to compute short histories."""
    return INDICATORS[name].validate(dict(params))


def figures_of(name: str, params: tuple[tuple[str, Value], ...], bars: Bars) -> Mapping[str, FloatArray]:
    """Return what `name` (see `Column`) puts out over `bars`, by output, the main one first; not to be written to.

    Raises:
        UnknownName: for a name that is neither a price, an indicator nor a registered source.
        IndicatorParamsInvalid: for parameters that are not the indicator's.
        ValueError: when a source does not put out one figure for each bar.
    """
    if name in INDICATORS:
        return INDICATORS[name].figures(bars, validated(name, params))
    if name in PRICES:
        return {"": getattr(bars, name)}
    outputs = column_sources.get(name).compute(bars, dict(params))
    for values in outputs.values():
        if len(values) != len(bars):
            raise ValueError(f"column {name!r} has {len(values)} figures for {len(bars)} bars")
    return outputs


def _read_only(values: FloatArray) -> FloatArray:
    kept = values.view()
    kept.flags.writeable = False
    return kept


def sound_bars(bars: Bars) -> BoolArray:
    """Return which bars have all four prices."""
    if bars.whole.issuperset(PRICES[:4]):
        return np.ones(len(bars), dtype=np.bool_)
    sound: BoolArray = np.isfinite(bars.open) & np.isfinite(bars.high) & np.isfinite(bars.low) & np.isfinite(bars.close)
    return sound


def evaluate(rule: Rule, columns: Columns) -> tuple[BoolArray, BoolArray]:
    """Return which bars say "enter" and which say "exit", as the rule declares it."""
    known = sound_bars(columns.bars)
    for column in rule.columns():
        known = known & np.isfinite(columns.get(column))
    return (
        _enough(rule.entries, rule.entries_needed, columns) & known,
        _enough(rule.exits, rule.exits_needed, columns) & known,
    )


def _enough(comparisons: tuple[Comparison, ...], needed: int, columns: Columns) -> BoolArray:
    held = np.zeros(len(columns.bars), dtype=np.int64)
    for comparison in comparisons:
        left = columns.get(comparison.left)
        right = columns.get(comparison.right) if isinstance(comparison.right, Column) else comparison.right
        held += (left > right) if comparison.above else (left < right)
    return held >= needed
