"""One round: whether something within reach is better than the live parameters, on bars that the search did not see. Pure;
no Django, and no compiler until it is called.

The trailing window is cut into folds. The search sees the trainings alone: the mean of the objective over them, the plateau
before the peak. Of what it chose the returns per bar in all tests, less those of the live parameters, must be above zero: a
one-sided test with Newey's and West's long-run variance, whose p-value is adjusted by Benjamini and Hochberg among those of
all that was searched.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars
from optimize import engine
from optimize.adaptation.long_run import LongRun, long_run
from optimize.adaptation.promising import promise
from optimize.adaptation.wording import Figures, evidence_of, text_of
from optimize.honesty.grid import axes_of
from optimize.honesty.multiplicity import benjamini_hochberg
from optimize.honesty.sensitivity import sensitivity
from optimize.honesty.sharpe import sharpe_from_sums
from optimize.walkforward.grids import hashes
from workflows.strategies.base import StrategyType
from workflows.strategies.rules import Value

FloatArray = NDArray[np.float64]

OBJECTIVES = ("sharpe", "sortino", "calmar", "total_return", "profit_factor")
LEAST_WINDOW = 100
"""Bars of a window: of fewer, the tests of four folds have less than forty, which prove nothing."""
LEAST_TRADES = 5
"""Round trips of the chosen parameters on the unseen bars: of fewer, any difference is the doing of one or two."""
WORK_MAX = 2_000_000_000
"""Of `work_of`: about a minute of one core."""
# About a twentieth of a second of one core, and of the interpreter.
_BLOCK_WORK, _BLOCK_CANDIDATES = 1_000_000, 250


@dataclass(frozen=True)
class Plan:
    """How a round judges.

    Attributes:
        objective: what the trainings are searched by, one of OBJECTIVES.
        train_ratio: part of each fold that the search sees.
        embargo: bars between a training and its test.
        alpha: the adjusted p-value up to which a difference counts.
        watch_bars: for which the promise is made.
        seed: of the promise's bootstrap.
    """

    objective: str
    watch_bars: int
    seed: int
    n_splits: int = 4
    train_ratio: float = 0.6
    embargo: int = 1
    alpha: float = 0.05

    @property
    def folds(self) -> dict[str, Any]:
        """How the window is cut, as the ledger of trials asks."""
        return {
            "n_splits": self.n_splits, "train_ratio": self.train_ratio, "anchored": False, "embargo": self.embargo,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Searched:
    """What the ledger of trials wants to know of every candidate, the live one included.

    Attributes:
        hashes: uint64[C].
        ratios: float64[C], Sharpe ratio per period on the unseen bars, NaN where there is none.
        periods: unseen bars.
        folds: how the window was cut.
    """

    hashes: NDArray[np.uint64]
    ratios: FloatArray
    periods: int
    folds: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        ratios = [ratio if math.isfinite(ratio) else None for ratio in self.ratios.tolist()]
        return {"hashes": self.hashes.tolist(), "ratios": ratios, "periods": self.periods, "folds": dict(self.folds)}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Searched":
        """Return what `as_dict` told."""
        return cls(
            np.array(record["hashes"], dtype=np.uint64),
            np.array([math.nan if ratio is None else ratio for ratio in record["ratios"]], dtype=np.float64),
            record["periods"],
            record["folds"],
        )


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a round came to.

    Attributes:
        params: all parameters that are proposed; None where nothing is.
        code: BETTER, LIVE_IS_BEST, NOT_PROVED, TOO_FEW_TRADES or NOTHING_REACHABLE.
        text: the same in a sentence.
        evidence: JSON-able, numbers finite or None.
        promise: as `promising.Promise.as_dict`; with `params` only.
    """

    params: dict[str, Value] | None
    code: str
    text: str
    evidence: dict[str, Any]
    promise: dict[str, Any] | None
    searched: Searched

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, without what only the ledger wants."""
        names = ("params", "code", "text", "evidence", "promise")
        return {name: getattr(self, name) for name in names}


def work_of(combinations: int, bars: int) -> int:
    """Return the work of a round, to be held against WORK_MAX.

    Args:
        bars: of all symbols together, those that warm up included.
    """
    return combinations * bars


def propose(
    strategy_type: StrategyType,
    candidates: Sequence[Mapping[str, Value]],
    bars: Sequence[Bars],
    *,
    start_ns: int,
    end_ns: int,
    settings: engine.Settings,
    plan: Plan,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda done: None,
) -> Proposal:
    """Return what a round proposes. The same in gives the same out.

    Args:
        candidates: as `candidates.candidates` has them, the live parameters first.
        bars: of each symbol; those before `start_ns` warm the indicators.
        start_ns, end_ns: the trailing window, both included, nanoseconds UTC.
        check: called every 100 ms or more often; what it raises ends the round.
        progress: told how many candidates are done.

    Raises:
        ValueError: for no candidate, an unknown objective, or a window of fewer than LEAST_WINDOW bars.
    """
    if not candidates:
        raise ValueError("there must be a candidate: the live parameters")
    if plan.objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}")
    check()
    series = [engine.prepare(one) for one in bars]
    axis = engine.make_axis(series, start_ns, end_ns)
    if len(axis) < LEAST_WINDOW:
        raise ValueError(f"the window has {len(axis)} bars; a round needs at least {LEAST_WINDOW}")
    ground = _Ground(strategy_type, series, axis, engine.folds(axis, **plan.folds), settings)
    table = _Table(len(candidates), len(ground.folds))
    size = max(1, min(_BLOCK_CANDIDATES, _BLOCK_WORK // max(1, sum(map(len, series)))))
    live: FloatArray | None = None
    for first in range(0, len(candidates), size):
        last = min(first + size, len(candidates))
        live = table.fill(first, ground, candidates[first:last], plan.objective, live, check)
        progress(last)
    check()
    return _judged(ground, candidates, table, plan, check)


class _Ground:
    """What all candidates are traded on: the windows are the trainings and then the tests."""

    def __init__(
        self,
        strategy_type: StrategyType,
        series: Sequence[engine.Series],
        axis: engine.Axis,
        folds: list[engine.Fold],
        settings: engine.Settings,
    ) -> None:
        self.strategy_type, self.series, self.axis = strategy_type, series, axis
        self.folds, self.settings = folds, settings
        self.windows = axis.windows([fold.train for fold in folds] + [fold.test for fold in folds])

    def returns(self, candidates: Sequence[Mapping[str, Value]]) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return the returns per bar, [C, n], and where each window begins in them, [2 * folds + 1]."""
        found = engine.returns(self.strategy_type, candidates, self.series, self.windows, self.axis, self.settings)
        edges = np.searchsorted(found[0].window, np.arange(len(self.windows) + 1))
        return np.stack([one.value for one in found]), edges


class _Table:
    """What is kept of every candidate, [C] or [C, folds].

    Attributes:
        training: the objective in each training; `total` returns of each test.
        trained, traded: closed round trips in the trainings, and in the tests.
        t, p, lags, ahead: of the returns per bar less the live ones in the tests; `ahead` their mean.
        ratio: Sharpe ratio per period over the tests.
        lost: ruined in a training; `ruined`: in a test.
    """

    def __init__(self, count: int, folds: int) -> None:
        self.training, self.total = np.empty((count, folds)), np.empty((count, folds))
        self.trained, self.traded = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        self.t, self.p, self.ahead, self.ratio = (np.empty(count) for _ in range(4))
        self.lags = np.empty(count, dtype=np.int64)
        self.lost, self.ruined = np.empty(count, dtype=np.bool_), np.empty(count, dtype=np.bool_)

    def fill(
        self,
        first: int,
        ground: _Ground,
        candidates: Sequence[Mapping[str, Value]],
        objective: str,
        live: FloatArray | None,
        check: Callable[[], None],
    ) -> FloatArray:
        """Fill the rows from `first` on; return the returns of the live parameters in the tests."""
        rows, count = slice(first, first + len(candidates)), len(ground.folds)
        figures = engine.evaluate(
            ground.strategy_type, candidates, ground.series, ground.windows, ground.settings, check=check
        )
        check()
        values, edges = ground.returns(candidates)
        tests = values[:, edges[count] :]
        live = tests[0] if live is None else live
        found: LongRun = long_run(tests - live)
        self.t[rows], self.p[rows], self.ahead[rows], self.lags[rows] = found.t, found.p, found.mean, found.lags
        self.ratio[rows] = sharpe_from_sums(tests.shape[1], tests.sum(axis=1), np.square(tests).sum(axis=1))
        for fold in range(count):
            seen = values[:, edges[fold] : edges[fold + 1]]
            if objective == "sharpe":  # of the symbols together, as in a search
                ratio = sharpe_from_sums(seen.shape[1], seen.sum(axis=1), np.square(seen).sum(axis=1))
                self.training[rows, fold] = ratio * math.sqrt(ground.settings.periods_per_year)
            else:
                self.training[rows, fold] = _mean(getattr(figures, objective)[:, fold])
            unseen = values[:, edges[count + fold] : edges[count + fold + 1]]
            self.total[rows, fold] = np.prod(1 + unseen, axis=1) - 1
        self.trained[rows] = figures.trades[:, :count].sum(axis=(1, 2))
        self.traded[rows] = figures.trades[:, count:].sum(axis=(1, 2))
        self.lost[rows] = figures.ruined[:, :count].any(axis=(1, 2))
        self.ruined[rows] = figures.ruined[:, count:].any(axis=(1, 2))
        return live

    def scores(self, neutral: float) -> tuple[FloatArray, FloatArray]:
        """Return what the search sees: the objective by fold, and its mean.

        A training without a figure counts as one that earned nothing, so that a single lucky one does not stand for all.
        Who was ruined or never closed a trade in the trainings has no score.
        """
        folds = np.where(np.isfinite(self.training), self.training, neutral)
        folds[self.lost | (self.trained == 0)] = np.nan
        return folds, folds.mean(axis=1)


def _mean(values: FloatArray) -> FloatArray:
    """Return the mean over symbols, [C] of [C, S], of those that have a figure; NaN where none has."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _judged(
    ground: _Ground,
    candidates: Sequence[Mapping[str, Value]],
    table: _Table,
    plan: Plan,
    check: Callable[[], None],
) -> Proposal:
    neutral = 1.0 if plan.objective == "profit_factor" else 0.0
    by_fold, scores = table.scores(neutral)
    # Ruin on the unseen bars is no evidence for anything, however high the mean.
    p = np.where(table.ruined, 1.0, table.p)
    adjusted = np.ones(len(candidates))
    if len(candidates) > 1:
        adjusted[1:] = benjamini_hochberg(p[1:])
    live, count = dict(candidates[0]), len(ground.folds)
    varying = [name for name in live if any(each[name] != live[name] for each in candidates)]
    chosen = _chosen(ground.strategy_type, candidates, varying, scores, neutral)
    code = _code(len(candidates), chosen, table, p, adjusted, plan.alpha)
    shown = [0] if chosen in (None, 0) else [0, int(chosen or 0)]
    values, edges = ground.returns([candidates[row] for row in shown])
    check()
    figures = [
        Figures(
            params={name: candidates[row][name] for name in varying or live},
            returns=series[edges[count] :],
            trades=int(table.traded[row]),
            training=float(scores[row]),
        )
        for row, series in zip(shown, values, strict=True)
    ]
    times = np.concatenate([ground.axis.time[slice(*fold.test)] for fold in ground.folds])
    best = shown[-1]
    evidence = evidence_of(
        objective=plan.objective,
        searched=len(candidates) - 1,
        axis=ground.axis,
        symbols=[one.bars.symbol for one in ground.series],
        folds=[_fold(ground, candidates, varying, by_fold, table.total, number) for number in range(count)],
        live=figures[0],
        chosen=figures[1] if len(figures) > 1 else None,
        times=times,
        periods_per_year=ground.settings.periods_per_year,
        test={
            "ahead": float(table.ahead[best]) if best else None,
            "t": float(table.t[best]) if best else None,
            "lags": int(table.lags[best]) if best else None,
            "p": float(p[best]) if best else None,
            "p_adjusted": float(adjusted[best]) if best else None,
            "alpha": plan.alpha,
            "better": int(np.count_nonzero(adjusted[1:] <= plan.alpha)),
        },
    )
    params = dict(candidates[best]) if code == "BETTER" else None
    promised = (
        None
        if params is None
        else promise(figures[1].returns, bars=plan.watch_bars, seed=plan.seed, check=check).as_dict()
    )
    settings = ground.settings
    traded = {
        "direction": settings.direction, "stop_loss": settings.stop_loss, "take_profit": settings.take_profit,
    }  # fmt: skip
    return Proposal(
        params=params,
        code=code,
        text=text_of(code, evidence, LEAST_TRADES),
        evidence=evidence,
        promise=promised,
        searched=Searched(hashes(ground.strategy_type.slug, candidates, traded), table.ratio, len(times), plan.folds),
    )


def _chosen(
    strategy_type: StrategyType,
    candidates: Sequence[Mapping[str, Value]],
    varying: Sequence[str],
    scores: FloatArray,
    neutral: float,
) -> int | None:
    """Return the candidate that the trainings speak for, 0 where none is above the live one; None where none traded."""
    if not varying:
        return 0
    shown = [{name: each[name] for name in varying} for each in candidates]
    limits = {each.name: (each.minimum, each.maximum) for each in strategy_type.parameters}
    around = sensitivity(axes_of(shown, limits), shown, scores, most_maps=0)
    if around is None:
        return None
    live = scores[0] if math.isfinite(scores[0]) else neutral
    # The plateau before the peak; where the live parameters already do as well as the plateau, there is nothing to gain.
    best = around.recommended.combination
    return best if scores[best] > live else 0


def _code(count: int, chosen: int | None, table: _Table, p: FloatArray, adjusted: FloatArray, alpha: float) -> str:
    if count == 1:
        return "NOTHING_REACHABLE"
    if chosen == 0:
        return "LIVE_IS_BEST"
    if chosen is None or table.traded[chosen] < LEAST_TRADES:
        return "TOO_FEW_TRADES"
    proved = table.ahead[chosen] > 0 and p[chosen] <= alpha and adjusted[chosen] <= alpha
    return "BETTER" if proved else "NOT_PROVED"


def _fold(
    ground: _Ground,
    candidates: Sequence[Mapping[str, Value]],
    varying: Sequence[str],
    by_fold: FloatArray,
    total: FloatArray,
    number: int,
) -> dict[str, Any]:
    """Return what one fold's training alone would have chosen, and what became of that."""
    fold, scores = ground.folds[number], by_fold[:, number]
    known = np.isfinite(scores)
    best = int(np.where(known, scores, -np.inf).argmax()) if known.any() else 0
    return {
        "train": fold.train,
        "test": fold.test,
        "chosen": {name: candidates[best][name] for name in varying},
        "train_score": float(scores[best]),
        "live_train_score": float(scores[0]),
        "test_return": float(total[best, number]),
        "live_test_return": float(total[0, number]),
    }
