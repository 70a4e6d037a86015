"""How much history does a strategy need? The same bars are looked at from later starts, until the figures agree.

Averages that feed on themselves (EMA, RSI, MACD) never quite forget where they began. What a strategy declares as its warm-up
is when its figures exist; this says when they can be trusted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray
from optimize.analysis.lookahead import described
from workflows.strategies import Columns, StrategyType
from workflows.strategies.rules import BoolArray, Params, evaluate


@dataclass(frozen=True)
class Settling:
    """How one thing settles after a start.

    Attributes:
        name: the column, or `signals`.
        bars: how many bars had to be seen before it agreed with the whole history, and went on to: the most over all
            starts; 0 when it always agreed. None when it never did within the horizon of some start.
        at_warm_up: the largest difference at the bar on which the declared warm-up is over, as a fraction of the figure
            (or of its usual size, where that is more); None where nothing was known there. Of signals: the share of
            starts at which they differed.
    """

    name: str
    bars: int | None
    at_warm_up: float | None


@dataclass(frozen=True)
class Start:
    """One start: the bar, how many bars were looked at from there, and how many it took the signals to settle."""

    bar: int
    horizon: int
    signals: int | None


@dataclass(frozen=True)
class WarmUp:
    """What was found of one combination on one series.

    Attributes:
        declared: the bars that the strategy says it needs.
        signals: how its signals settle; this is what trades.
        columns: how each of its figures settles.
        starts: where it was started.
    """

    declared: int
    signals: Settling
    columns: tuple[Settling, ...]
    starts: tuple[Start, ...]

    @property
    def enough(self) -> bool:
        """Whether after the declared warm-up no signal depends on what came before."""
        return self.signals.bars is not None and self.signals.bars <= self.declared


def warm_up(
    strategy_type: StrategyType,
    combinations: Sequence[Params],
    bars: Bars,
    starts: Sequence[int],
    *,
    tolerance: float = 1e-6,
    horizon: int = 5_000,
    check: Callable[[], None] = lambda: None,
) -> list[WarmUp]:
    """Return how soon figures and signals agree with the whole history, for each combination (clean params).

    Args:
        starts: bars at which to begin; each above 0, so that there is history to be without.
        tolerance: difference that passes for agreement, as a fraction of the figure or of its usual size.
        horizon: bars looked at from each start.
        check: called before each start; what it raises ends the analysis.

    Raises:
        ValueError: for a start that is not within the bars, or none.
    """
    if not starts or min(starts) < 1 or max(starts) >= len(bars):
        raise ValueError("starts must lie behind the first bar and within the bars")
    whole = Columns(bars)
    rules = [strategy_type.rule(params) for params in combinations]
    said = [evaluate(rule, whole) for rule in rules]
    sizes = {column: _usual_size(whole.get(column)) for rule in rules for column in rule.columns()}
    seen: list[list[_Seen]] = [[] for _ in rules]
    for start in starts:
        check()
        stop = min(len(bars), start + horizon)
        begun = Columns(bars.slice(start, stop))
        differences = {
            column: _differences(whole.get(column)[start:stop], begun.get(column), size)
            for column, size in sizes.items()
        }
        for rule, signals, rows in zip(rules, said, seen, strict=True):
            rows.append(
                _Seen(
                    start,
                    stop - start,
                    _unlike((signals[0][start:stop], signals[1][start:stop]), evaluate(rule, begun)),
                    [differences[column] for column in rule.columns()],
                )
            )
    found = []
    for params, rule, rows in zip(combinations, rules, seen, strict=True):
        declared = strategy_type.warmup(params)
        columns = tuple(
            _settling(described(column), [row.columns[place] for row in rows], tolerance, declared)
            for place, column in enumerate(rule.columns())
        )
        signals_differ = [row.signals.astype(np.float64) for row in rows]
        settled = tuple(Start(row.bar, row.horizon, _settled(row.signals)) for row in rows)
        at = [float(values[declared - 1]) for values in signals_differ if 0 < declared <= len(values)]
        signals_settle = Settling(
            "signals", _most([start.signals for start in settled]), sum(at) / len(at) if at else None
        )
        found.append(WarmUp(declared, signals_settle, columns, settled))
    return found


@dataclass(frozen=True)
class _Seen:
    """One start of one combination: where signals differ, and by how much each column does."""

    bar: int
    horizon: int
    signals: BoolArray
    columns: list[FloatArray]


def _usual_size(values: FloatArray) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(np.median(known)) if len(known) else 0.0


def _differences(whole: FloatArray, begun: FloatArray, size: float) -> FloatArray:
    """Return the relative difference at each bar: 0 where neither has a figure, infinite where only one has."""
    known, there = np.isfinite(whole), np.isfinite(begun)
    result = np.where(known == there, 0.0, np.inf)
    both = known & there
    scale = np.maximum(np.abs(whole[both]), size)
    gap = np.abs(whole[both] - begun[both])
    result[both] = np.divide(gap, scale, out=np.zeros_like(gap), where=gap > 0)
    return result


def _unlike(whole: tuple[BoolArray, BoolArray], begun: tuple[BoolArray, BoolArray]) -> BoolArray:
    unlike: BoolArray = (whole[0] != begun[0]) | (whole[1] != begun[1])
    return unlike


def _settled(differs: BoolArray) -> int | None:
    """Return how many bars were seen before the last difference was over; None when it was not over at the end."""
    places = np.flatnonzero(differs)
    if len(places) == 0:
        return 0
    last = int(places[-1]) + 1
    return last + 1 if last < len(differs) else None


def _most(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None


def _settling(name: str, differences: Sequence[FloatArray], tolerance: float, declared: int) -> Settling:
    at = [float(values[declared - 1]) for values in differences if 0 < declared <= len(values)]
    largest = max(at) if at else None
    return Settling(
        name,
        _most([_settled(values > tolerance) for values in differences]),
        None if largest is None or not np.isfinite(largest) else largest,
    )
