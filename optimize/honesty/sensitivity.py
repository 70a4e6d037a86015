"""How the score changes with the parameters, and whether the best combination is a plateau or a lone peak.

A combination's neighbours differ from it by at most one step of the grid in every ordered parameter, and have the same
choices in the others: between two choices there is no step. Neighbours that were not evaluated, beyond an end of the grid
or where a constraint forbids them, count as the median of all scores when plateaus are compared: a corner with one good
neighbour is not a plateau.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations as choices
from typing import Any

import numpy as np
import numpy.typing as npt

from optimize.honesty.grid import GridAxis, Value, places_of
from optimize.honesty.words import count_of, number

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_CELLS = 1_000_000
"""Grids with more cells than this are not laid out: what searches them is no grid, and has no neighbours."""
LEAST_VALUES = 5
"""On an axis with fewer values most of them are ends, so that an end says nothing."""
CLOSE = 0.95
"""A peak whose own surroundings reach this part of the best surroundings is kept."""


@dataclass(frozen=True)
class Slice:
    """One parameter: `scores` along it with the others as in the best combination, and over all others.

    Attributes:
        scores, means, greatest: one a value; None where nothing was evaluated.
    """

    name: str
    values: tuple[Value, ...]
    scores: tuple[float | None, ...]
    means: tuple[float | None, ...]
    greatest: tuple[float | None, ...]


@dataclass(frozen=True)
class HeatMap:
    """Two parameters: mean and greatest score over all others, [y][x]; None where nothing was evaluated."""

    x: str
    y: str
    x_values: tuple[Value, ...]
    y_values: tuple[Value, ...]
    means: tuple[tuple[float | None, ...], ...]
    greatest: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Surroundings:
    """A combination and its neighbours.

    Attributes:
        score: None where it has none.
        neighbours: how many were evaluated.
        mean, least: of the neighbours' scores, the combination itself left out; None without neighbours.
        ratio: `mean` as a part of `score`; None where the score is not above zero.
    """

    combination: int
    score: float | None
    neighbours: int
    mean: float | None
    least: float | None
    ratio: float | None


@dataclass(frozen=True)
class Sensitivity:
    """What the scores of a grid say about its parameters.

    Attributes:
        best: the combination with the greatest score.
        recommended: the one with the best surroundings, itself included; the same as `best` where that one is nearly as
            well surrounded.
        candidate: the one that was asked about.
        edges: ordered parameters whose value in `candidate` is the first or last of at least five, and could be exceeded.
        text: the same in plain words.
    """

    best: Surroundings
    recommended: Surroundings
    candidate: Surroundings
    edges: tuple[str, ...]
    slices: tuple[Slice, ...]
    maps: tuple[HeatMap, ...]
    text: str
    _asked: Callable[[int], tuple[Surroundings, tuple[str, ...]]] = field(repr=False, compare=False)

    def about(self, candidate: int) -> "Sensitivity":
        """Return the same with another combination asked about, which costs next to nothing."""
        around, edges = self._asked(candidate)
        return replace(self, candidate=around, edges=edges)

    def as_dict(self) -> dict[str, Any]:
        return {
            "best": vars(self.best),
            "recommended": vars(self.recommended),
            "candidate": vars(self.candidate),
            "edges": list(self.edges),
            "slices": [_plain(each) for each in self.slices],
            "maps": [_plain(each) for each in self.maps],
            "text": self.text,
        }


def sensitivity(
    axes: Sequence[GridAxis],
    combinations: Sequence[Mapping[str, Value]],
    scores: npt.ArrayLike,
    *,
    candidate: int | None = None,
    most_maps: int = 10,
) -> Sensitivity | None:
    """Return slices, heat maps, the plateau and a recommendation; None where no combination has a score.

    Args:
        scores: one a combination, the greater the better; NaN where there is none.
        candidate: the combination to ask about; without it, the best.
        most_maps: heat maps to make, of the pairs of parameters in their order.

    Raises:
        ValueError: when a value is not on its axis, or there are not as many scores as combinations.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(combinations),):
        raise ValueError("there must be one score for each combination.")
    places = places_of(axes, combinations)
    finite = np.isfinite(values)
    if not finite.any():
        return None
    best = int(np.where(finite, values, -np.inf).argmax())
    sums, counts, least, whole = _around(axes, places, values)
    recommended = best
    if whole > 1:
        # Shrunk to the median by as much as neighbours are missing.
        median = _median(values[finite])
        around = np.where(finite, (sums + (whole - counts) * median) / whole, -np.inf)
        top = int(around.argmax())
        kept = around[best] >= CLOSE * around[top] if around[top] > 0 else around[best] == around[top]
        recommended = best if kept else top

    def surroundings(at: int) -> Surroundings:
        own = 1 if finite[at] else 0
        score, others = float(values[at]) if own else None, int(counts[at]) - own
        if score is None or others < 1:
            return Surroundings(at, score, max(others, 0), None, None, None)
        mean = (float(sums[at]) - score) / others
        return Surroundings(at, score, others, mean, float(least[at]), mean / score if score > 0 else None)

    peak, plateau = surroundings(best), surroundings(recommended)

    def asked(at: int) -> tuple[Surroundings, tuple[str, ...]]:
        return surroundings(at), _edges(axes, places[at])

    around_it, edges = asked(best if candidate is None else candidate)
    pairs = list(choices(range(len(axes)), 2))[:most_maps]
    return Sensitivity(
        best=peak,
        recommended=plateau,
        candidate=around_it,
        edges=edges,
        slices=tuple(_slice(axes, at, places, values, best) for at in range(len(axes))),
        maps=tuple(_map(axes, x, y, places, values) for x, y in pairs),
        text=_text(peak, plateau, combinations),
        _asked=asked,
    )


def _around(
    axes: Sequence[GridAxis], places: IntArray, scores: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """Return, per combination, the sum and count of scores around it, itself included, the least of its neighbours', and
    how many combinations there can be around one."""
    sizes = tuple(len(axis.values) for axis in axes)
    steps = [at for at, axis in enumerate(axes) if axis.ordered and len(axis.values) > 1]
    known = np.isfinite(scores)
    alone = np.where(known, scores, 0.0), known.astype(np.float64), np.full(scores.size, np.inf)
    if not steps or np.prod(sizes, dtype=np.float64) > MOST_CELLS:
        return *alone, 1
    at = tuple(places[known].T)
    total, count, low = np.zeros(sizes), np.zeros(sizes), np.full(sizes, np.inf)
    total[at], count[at], low[at] = scores[known], 1.0, scores[known]
    here = tuple(places.T)
    return (
        _sum_around(total, steps)[here],
        _sum_around(count, steps)[here],
        _least_neighbour(low, steps)[here],
        3 ** len(steps),
    )


def _median(values: FloatArray) -> float:
    """Return `np.median` of finite numbers, of a few in a fifth of its time."""
    ordered = np.sort(values)
    return float((ordered[(values.size - 1) // 2] + ordered[values.size // 2]) / 2)


def _beside(grid: FloatArray, axis: int, outside: float) -> tuple[FloatArray, FloatArray]:
    """Return, for each cell, the one before and the one after it along `axis`."""
    before, after = np.full(grid.shape, outside), np.full(grid.shape, outside)
    first, last = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    before[last], after[first] = grid[first], grid[last]
    return before, after


def _sum_around(grid: FloatArray, steps: Sequence[int]) -> FloatArray:
    """Return the sum of each cell and all its neighbours, one axis after the other."""
    for axis in steps:
        before, after = _beside(grid, axis, 0.0)
        grid = before + grid + after
    return grid


def _least_neighbour(grid: FloatArray, steps: Sequence[int]) -> FloatArray:
    """Return the least of the neighbours of each cell, without that cell itself.

    Over the axes so far, `closed` is the least with the cell and `without` the least without it: one more axis adds the
    closed ones beside it.
    """
    closed, without = grid, np.full(grid.shape, np.inf)
    for axis in steps:
        beside = np.minimum(*_beside(closed, axis, np.inf))
        without = np.minimum(without, beside)
        closed = np.minimum(closed, beside)
    return without


def _edges(axes: Sequence[GridAxis], place: IntArray) -> tuple[str, ...]:
    result = []
    for axis, at in zip(axes, place.tolist(), strict=True):
        if not axis.ordered or len(axis.values) < LEAST_VALUES:
            continue
        value = axis.values[at]
        bound = {0: axis.lowest, len(axis.values) - 1: axis.highest}
        if at in bound and bound[at] != value:
            result.append(axis.name)
    return tuple(result)


def _slice(axes: Sequence[GridAxis], at: int, places: IntArray, scores: FloatArray, best: int) -> Slice:
    axis = axes[at]
    others = [each for each in range(len(axes)) if each != at]
    along = (places[:, others] == places[best, others]).all(axis=1)
    size = len(axis.values)
    means, greatest = _pooled(places[:, at], scores, size)
    lined = np.full(size, np.nan)
    lined[places[along, at]] = scores[along]
    return Slice(axis.name, axis.values, _nulled(lined), _nulled(means), _nulled(greatest))


def _map(axes: Sequence[GridAxis], x: int, y: int, places: IntArray, scores: FloatArray) -> HeatMap:
    width, height = len(axes[x].values), len(axes[y].values)
    means, greatest = _pooled(places[:, y] * width + places[:, x], scores, width * height)
    return HeatMap(
        axes[x].name,
        axes[y].name,
        axes[x].values,
        axes[y].values,
        tuple(_nulled(row) for row in means.reshape(height, width)),
        tuple(_nulled(row) for row in greatest.reshape(height, width)),
    )


def _pooled(cells: IntArray, scores: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Return mean and greatest score of each cell; NaN of an empty one."""
    known = np.isfinite(scores)
    counts = np.bincount(cells[known], minlength=size)
    sums = np.bincount(cells[known], weights=scores[known], minlength=size)
    greatest = np.full(size, -np.inf)
    np.maximum.at(greatest, cells[known], scores[known])
    empty = counts == 0
    return np.where(empty, np.nan, sums / np.maximum(counts, 1)), np.where(empty, np.nan, greatest)


def _nulled(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(float(each) if np.isfinite(each) else None for each in values)


def _plain(record: Slice | HeatMap) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(record).items()}


def _text(peak: Surroundings, plateau: Surroundings, combinations: Sequence[Mapping[str, Value]]) -> str:
    first = f"The best combination, {_named(combinations[peak.combination])}, scores {_shown(peak.score)}"
    if peak.mean is None:
        said = f"{first}. It has no neighbours that were evaluated, so that nothing says how it bears small changes."
    else:
        said = f"{first}, and its {count_of(peak.neighbours, 'neighbour')} {number(peak.mean)} on average."
    if plateau.combination == peak.combination:
        return f"{said} Nothing else is better surrounded: take it." if peak.mean is not None else said
    mean = (
        ""
        if plateau.mean is None or plateau.least is None
        else (
            f" and its {count_of(plateau.neighbours, 'neighbour')} {number(plateau.mean)} on average, none below "
            f"{number(plateau.least)}"
        )
    )
    return (
        f"{said} {_named(combinations[plateau.combination])} scores {_shown(plateau.score)}{mean}: take this one, a "
        "plateau rather than a peak, since it changes less when the market does."
    )


def _shown(score: float | None) -> str:
    return number(score) if score is not None else "nothing"


def _named(params: Mapping[str, Value]) -> str:
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )
