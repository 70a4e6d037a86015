"""A whole search put to the test: ranked, measured and judged, from sums and counts alone.

Everything that ranks or judges is out of sample. What is in sample serves to choose in each fold, and to compare with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from optimize.honesty.cscv import Overfitting, overfitting
from optimize.honesty.grid import GridAxis, Value
from optimize.honesty.sensitivity import Sensitivity, sensitivity
from optimize.honesty.sharpe import (
    Deflated,
    Trials,
    deflated_sharpe,
    moments,
    sharpe_from_sums,
    t_from_sums,
    trial_variance,
)
from optimize.honesty.verdict import Evidence, Gate, Verdict, judge
from optimize.honesty.walkforward import Steadiness, WalkForward, steadiness, walk_forward

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sums:
    """n, Σr and Σr² of returns per period, of every combination in every part of the period.

    Attributes:
        counts: [part], the same for every combination.
        totals, squares: [combination, part].
    """

    counts: IntArray
    totals: FloatArray
    squares: FloatArray

    def sharpe(self) -> FloatArray:
        """Return per-period Sharpe ratios, [combination, part]; NaN where there is none."""
        return sharpe_from_sums(self.counts, self.totals, self.squares)


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found, of the returns of all its symbols together.

    Attributes:
        combinations: as searched; `axes` are those of their grid.
        in_sample, out_of_sample: a part a fold.
        blocks: a part a block of the whole period; without blocks the period was too short for them.
        trades: closed out of sample, [combination].
        ruined_in, ruined_out: of each fold's in-sample and out-of-sample window, [combination, fold]. They are apart
            since a choice in sample must not know what became of it.
        chosen: the combination that each fold chose in sample, by whatever objective, below zero for none; without it,
            the one with the best in-sample Sharpe ratio that was not ruined there.
    """

    axes: Sequence[GridAxis]
    combinations: Sequence[Mapping[str, Value]]
    in_sample: Sums
    out_of_sample: Sums
    blocks: Sums | None
    trades: IntArray
    ruined_in: BoolArray
    ruined_out: BoolArray
    chosen: IntArray | None = None

    @property
    def ruined(self) -> BoolArray:
        """Whether each combination was ruined in any window."""
        return np.logical_or(self.ruined_in.any(axis=1), self.ruined_out.any(axis=1))


@dataclass(frozen=True, eq=False)
class Assessment:
    """What is to be thought of a search.

    Attributes:
        order: combinations from the best: by the t-statistic of their stitched out-of-sample returns, ruined ones and
            those without a statistic last.
        t, sharpe: of the stitched out-of-sample returns, per period, [combination]; NaN where there is none.
        candidate: the combination that `deflated` and `verdict` are about.
        trials: of this search, for the ledger.
        overfitting, sensitivity: None where there was nothing to compare.
    """

    order: IntArray
    t: FloatArray
    sharpe: FloatArray
    candidate: int
    trials: Trials
    walk_forward: WalkForward
    steadiness: tuple[Steadiness, ...]
    overfitting: Overfitting | None
    sensitivity: Sensitivity | None
    deflated: Deflated
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, without what there is one of for each combination."""
        return {
            "candidate": self.candidate,
            "walk_forward": self.walk_forward.as_dict(),
            "steadiness": [each.as_dict() for each in self.steadiness],
            "overfitting": self.overfitting.as_dict() if self.overfitting else None,
            "sensitivity": self.sensitivity.as_dict() if self.sensitivity else None,
            "deflated": self.deflated.as_dict(),
            "verdict": self.verdict.as_dict(),
        }


def ranked(search: Search) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the order from the best, and t-statistics and Sharpe ratios of the stitched out-of-sample returns."""
    sums = search.out_of_sample
    whole = sums.counts.sum(), sums.totals.sum(axis=1), sums.squares.sum(axis=1)
    t = t_from_sums(*whole)
    fit = np.isfinite(t) & ~search.ruined
    # Of equals the first searched is first, so that the same search has the same order everywhere.
    order = np.lexsort((np.arange(t.size), -np.where(np.isfinite(t), t, -np.inf), ~fit))
    return order.astype(np.int64), t, sharpe_from_sums(*whole)


def assess(
    search: Search,
    stitched: Callable[[int], FloatArray],
    *,
    trials: int,
    others: Sequence[Trials] = (),
    gate: Gate | None = None,
    candidate: int | None = None,
    around: Sensitivity | None = None,
    holding: FloatArray | None = None,
    generated: bool = False,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Assessment:
    """Return what is to be thought of a search.

    Args:
        stitched: gives the stitched out-of-sample returns of a combination, per period.
        trials: how many distinct combinations the ledger counts on this data, with those of this search; never fewer
            than this search has.
        others: what other searches on the same data tried.
        candidate: the combination to judge; without it, the best.
        around: what was found of t-statistics over the grid, ruined combinations without, if that is known already.
        holding: the stitched out-of-sample returns of holding all symbols in equal parts.
        generated: whether prices of any symbol are invented.
        threads, check: see `overfitting`.

    Raises:
        ValueError: when the shapes do not fit, or there is no combination.
    """
    if not search.combinations:
        raise ValueError("a search has at least one combination.")
    order, t, sharpe = ranked(search)
    taken = int(order[0]) if candidate is None else candidate
    own = Trials.of(sharpe, int(search.out_of_sample.counts.sum()))
    # What is ruined in sample is never chosen there, as if it had no ratio.
    inside = np.where(search.ruined_in, np.nan, search.in_sample.sharpe())
    walk = walk_forward(inside, search.out_of_sample.sharpe(), search.chosen)
    blocks = search.blocks
    over = overfitting(blocks.counts, blocks.totals, blocks.squares, threads=threads, check=check) if blocks else None
    if around is None:
        around = sensitivity(search.axes, search.combinations, np.where(search.ruined, np.nan, t))
    sensitive = around.about(taken) if around else None
    figures = moments(stitched(taken))
    tried = max(trials, len(search.combinations))
    deflated = deflated_sharpe(figures, tried, trial_variance([own, *others], figures.count))
    chosen = [search.combinations[fold.chosen] for fold in walk.folds if fold.chosen is not None]
    own_place = sensitive.candidate if sensitive else None
    evidence = Evidence(
        dsr=deflated.dsr,
        pbo=over.pbo if over else None,
        probability_of_loss=over.probability_of_loss if over else None,
        combinations=len(search.combinations),
        trials=tried,
        sharpe=figures.sharpe,
        trades=int(search.trades[taken]),
        folds=sum(fold.chosen is not None for fold in walk.folds),
        efficiency=walk.efficiency,
        profitable_folds=walk.profitable,
        plateau=own_place.ratio if own_place else None,
        neighbours=own_place.neighbours if own_place else 0,
        edges=sensitive.edges if sensitive else (),
        ruined=bool(search.ruined[taken]),
        holding=moments(holding).sharpe if holding is not None else None,
        generated=generated,
    )
    return Assessment(
        order=order,
        t=t,
        sharpe=sharpe,
        candidate=taken,
        trials=own,
        walk_forward=walk,
        steadiness=steadiness(search.axes, chosen) if chosen else (),
        overfitting=over,
        sensitivity=sensitive,
        deflated=deflated,
        verdict=judge(evidence, gate),
    )
