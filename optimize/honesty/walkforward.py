"""What became of each fold's choice: efficiency, degradation per fold, and how steady the chosen parameters are.

Walk-forward efficiency is the out-of-sample part of the in-sample figure (Pardo: "The Evaluation and Optimization of
Trading Strategies", 2nd edition, 2008, chapter 11), here of Sharpe ratios, which need no length of period: the mean of
the choices' out-of-sample ratios over the mean of their in-sample ratios.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from optimize.honesty.grid import GridAxis, Value
from optimize.honesty.multiplicity import mean_ranks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One fold's choice.

    Attributes:
        chosen: the combination that was best in sample; None where none had a ratio.
        degradation: the part of the in-sample ratio that was lost out of sample; above one where it lost money. None
            where the in-sample ratio was not above zero.
        rank: where the choice stood out of sample among all combinations, from 0, the worst, to 1, the best.
    """

    fold: int
    chosen: int | None
    in_sample: float | None
    out_of_sample: float | None
    degradation: float | None
    rank: float | None


@dataclass(frozen=True)
class WalkForward:
    """All folds' choices together.

    Attributes:
        efficiency: None where the choices' mean in-sample ratio is not above zero.
        profitable: the part of the folds whose choice had a ratio above zero out of sample; a choice that did not
            trade there has none, and counts as not profitable.
        correlation: Spearman's, of in-sample with out-of-sample ratios over combinations, its mean over folds: whether
            a better past meant a better future at all.
    """

    folds: tuple[Fold, ...]
    efficiency: float | None
    in_sample: float | None
    out_of_sample: float | None
    profitable: float | None
    correlation: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Steadiness:
    """How a parameter's chosen value moved from fold to fold.

    Attributes:
        values: the value that each fold chose.
        commonest, share: the value chosen most often, and in what part of the folds.
        movement: from 0, always the same, to 1. Of numbers the mean step from one fold to the next as a part of the
            axis; of choices the part of the folds that chose another than the fold before.
    """

    name: str
    values: tuple[Value, ...]
    commonest: Value
    share: float
    movement: float

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "values": list(self.values)}


def walk_forward(
    in_sample: npt.ArrayLike, out_of_sample: npt.ArrayLike, chosen: npt.ArrayLike | None = None
) -> WalkForward:
    """Return what became of the folds' choices.

    Args:
        in_sample, out_of_sample: Sharpe ratios, [combination, fold]; NaN where there is none.
        chosen: the combination that each fold chose, below zero for none; without it, the first with the best in-sample
            ratio.

    Raises:
        ValueError: when the shapes do not fit.
    """
    inside, outside = np.asarray(in_sample, dtype=np.float64), np.asarray(out_of_sample, dtype=np.float64)
    if inside.ndim != 2 or inside.shape != outside.shape:
        raise ValueError("in_sample and out_of_sample must both be [combinations, folds].")
    choice = _best(inside) if chosen is None else np.asarray(chosen, dtype=np.int64)
    if choice.shape != (inside.shape[1],) or (choice >= inside.shape[0]).any():
        raise ValueError("chosen must name one of the combinations for each fold.")
    folds = tuple(_fold(at, int(choice[at]), inside[:, at], outside[:, at]) for at in range(inside.shape[1]))
    taken = [each for each in folds if each.chosen is not None]
    mean_in = _mean([each.in_sample for each in taken])
    # What did not trade out of sample earned nothing there: leaving it out would flatter.
    mean_out = _mean([each.out_of_sample or 0.0 for each in taken])
    correlations = [
        each for at in range(inside.shape[1]) if (each := _spearman(inside[:, at], outside[:, at])) is not None
    ]
    return WalkForward(
        folds=folds,
        efficiency=mean_out / mean_in if mean_in is not None and mean_out is not None and mean_in > 0 else None,
        in_sample=mean_in,
        out_of_sample=mean_out,
        profitable=_mean([float((each.out_of_sample or 0.0) > 0) for each in taken]),
        correlation=_mean(correlations),
    )


def steadiness(axes: Sequence[GridAxis], chosen: Sequence[Mapping[str, Value]]) -> tuple[Steadiness, ...]:
    """Return how each parameter moved over the folds' choices, in their order.

    Raises:
        ValueError: without any choice, or when a value is not on its axis.
    """
    if not chosen:
        raise ValueError("there must be at least one choice.")
    result = []
    for axis in axes:
        values = tuple(each[axis.name] for each in chosen)
        places = [axis.index(value) for value in values]
        counts = {place: places.count(place) for place in places}
        commonest = max(counts, key=lambda place: counts[place])
        steps = np.abs(np.diff(places))
        if not axis.ordered:
            steps = (steps > 0).astype(np.int64)
        width = max(1, len(axis.values) - 1) if axis.ordered else 1
        movement = float(steps.mean()) / width if steps.size else 0.0
        result.append(Steadiness(axis.name, values, axis.values[commonest], counts[commonest] / len(places), movement))
    return tuple(result)


def _best(ratios: FloatArray) -> IntArray:
    """Return the first combination with the greatest ratio per fold; -1 where none has one."""
    filled = np.where(np.isfinite(ratios), ratios, -np.inf)
    return np.where(np.isfinite(ratios).any(axis=0), filled.argmax(axis=0), -1).astype(np.int64)


def _fold(at: int, chosen: int, inside: FloatArray, outside: FloatArray) -> Fold:
    if chosen < 0:
        return Fold(at, None, None, None, None, None)
    before, after = _known(inside[chosen]), _known(outside[chosen])
    lost = 1 - (after or 0.0) / before if before is not None and before > 0 else None
    return Fold(at, chosen, before, after, lost, _rank(chosen, np.where(np.isfinite(outside), outside, 0.0)))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rank(chosen: int, values: FloatArray) -> float | None:
    if values.size < 2:
        return None
    below, equal = (values < values[chosen]).sum(), (values == values[chosen]).sum() - 1
    return float((below + equal / 2) / (values.size - 1))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return float(np.mean(known)) if known else None


def _spearman(x: FloatArray, y: FloatArray) -> float | None:
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3:
        return None
    dx, dy = (ranks - ranks.mean() for ranks in (mean_ranks(x[both]), mean_ranks(y[both])))
    scale = float(np.sqrt((dx @ dx) * (dy @ dy)))
    return float(dx @ dy) / scale if scale else None
