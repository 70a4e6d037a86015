"""Scoring every combination of a grid on purged folds, and training the one that is kept.

The work is cut by folds: each is prepared once (rows, weights, the library's matrix, the market that its forecasts
would have traded) and serves all combinations. Combinations that differ in the number of rounds alone are read off one
longer run. Nothing depends on how many threads or chunks there are: the same plan on the same data gives the same
figures.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.learning.families import Combination, Family, Fitted, Rows
from optimize.learning.families.base import best_rounds
from optimize.learning.folds import (
    Fold,
    FoldConfig,
    check_rows,
    inner_split,
    rows_between,
    training_rows,
    walk_forward,
)
from optimize.learning.metrics import CLASSIFICATION, classification
from optimize.learning.panel import Panel, uniqueness
from optimize.learning.trading import TRADING, Market, SignalConfig, follow, market, statistics

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FIGURES = (*CLASSIFICATION, *TRADING)
# Whether more is better.
OBJECTIVES: Mapping[str, bool] = {
    "t_stat": True,
    "sharpe": True,
    "total_return": True,
    "accuracy": True,
    "balanced_accuracy": True,
    "auc": True,
    "log_loss": False,
    "brier": False,
}
DEFAULT_PATIENCE = 50


@dataclass(frozen=True)
class Plan:
    """Everything but the data that the figures depend on.

    Attributes:
        patience: rounds without a better inner validation after which boosting stops; 0: no early stopping.
        watch: share of a fold's training times that is watched for that; purged against the rest.
        weighted: weigh rows by the uniqueness of their labels.
    """

    family: Family
    combinations: tuple[Combination, ...]
    folds: FoldConfig = field(default_factory=FoldConfig)
    signal: SignalConfig = field(default_factory=SignalConfig)
    patience: int = 0
    watch: float = 0.2
    weighted: bool = True
    seed: int = 0
    periods_per_year: float = 252.0


@dataclass(frozen=True, eq=False)
class Scores:
    """What a stretch of combinations [C] scored on the folds [K].

    Attributes:
        folds: by name of FIGURES, float64 [C, K].
        whole: by name of FIGURES, float64 [C]: of the stitched out-of-sample returns; for forecasts the mean over all
            tested rows (balanced accuracy and AUC: over folds, since probabilities of two models have no common rank).
        rounds: int64 [C, K]; the rounds that were used, 0 where there are none.
        returns: float64 [C, N]: the stitched out-of-sample returns, an equal share in each symbol that has the bar.
        axis: int64 [N]: when those bars opened.
        holding: float64 [N]: the same returns of whoever holds all symbols in every test, at the same costs.
    """

    folds: Mapping[str, FloatArray]
    whole: Mapping[str, FloatArray]
    rounds: IntArray
    returns: FloatArray
    axis: IntArray
    holding: FloatArray


@dataclass(frozen=True, eq=False)
class _Prepared:
    fold: Fold
    train: IntArray
    fit: IntArray
    watched: IntArray | None
    tested: IntArray
    markets: tuple[Market, ...]
    bars: IntArray  # symbols that have each bar of the test


def default_patience(family: Family, combinations: Sequence[Combination]) -> int:
    """Return the patience for a plan that names none: a grid with several numbers of rounds chooses among those."""
    if not family.boosts or family.rounds is None:
        return 0
    return DEFAULT_PATIENCE if len({params[family.rounds] for params in combinations}) == 1 else 0


def evaluate(
    panel: Panel,
    plan: Plan,
    first: int = 0,
    last: int | None = None,
    *,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda scored: None,
) -> Scores:
    """Score combinations [first, last) of the plan on every fold.

    Args:
        check: called between rounds of training, from any of the threads; may raise to stop.
        progress: told how many (combination, fold) pairs were scored since it was told last.

    Raises:
        ModelDataInsufficient: naming the first fold that cannot be learnt from.
        ModelLibraryMissing: where the family's library is not installed.
    """
    chosen = plan.combinations[first:last]
    folds = walk_forward(len(panel.axis), plan.folds)
    prepared = [_prepare(panel, plan, number, fold) for number, fold in enumerate(folds)]
    offset = folds[0].test[0]
    stitched = panel.axis[offset : folds[-1].test[1]]
    shape = (len(chosen), len(folds))
    figures = {name: np.full(shape, np.nan) for name in FIGURES}
    held = np.zeros((len(chosen), len(folds), 2))  # bars held and bars there were, over all symbols
    rounds = np.zeros(shape, dtype=np.int64)
    returns = np.zeros((len(chosen), len(stitched)))
    lock = threading.Lock()

    def score(number: int) -> None:
        part = prepared[number]
        span = slice(part.fold.test[0] - offset, part.fold.test[1] - offset)
        for places, caps, used, probabilities in _fitted(panel, plan, part, chosen, check):
            for place, used_here, probability in zip(places, used, probabilities, strict=True):
                labelled = panel.labelled[part.tested]
                found = dict(classification(panel.up[part.tested][labelled], probability[labelled]))
                earned, bars_held, bars_there, trades = _trade(panel, plan.signal, part, probability)
                exposure = bars_held / bars_there if bars_there else 0.0
                found |= statistics(earned, exposure, trades, plan.periods_per_year)
                for name, value in found.items():
                    figures[name][place, number] = value
                returns[place, span] = earned
                held[place, number] = bars_held, bars_there
                rounds[place, number] = used_here
            with lock:
                progress(len(caps))

    # The last folds train on most rows: begun first, they don't leave one thread alone at the end.
    order = range(len(prepared) - 1, -1, -1)
    if threads == 1:
        for number in order:
            score(number)
    else:
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(score, number) for number in order]
            try:
                for future in futures:
                    future.result()
            finally:
                for future in futures:
                    future.cancel()
    whole = _whole(figures, held, returns, prepared, panel, plan)
    holding = np.concatenate([_hold(plan.signal, part) for part in prepared])
    return Scores(figures, whole, rounds, returns, stitched, holding)


def train_final(
    panel: Panel, plan: Plan, params: Combination, rounds: int, *, check: Callable[[], None] = lambda: None
) -> Fitted:
    """Train on all labelled rows with the chosen parameters.

    Raises:
        ModelDataInsufficient: when the rows cannot be learnt from.
    """
    rows = np.flatnonzero(panel.labelled)
    check_rows(panel, rows, "The period")
    matrix = plan.family.matrix(_rows(panel, plan, rows), None, params)
    return plan.family.fit(matrix, params, max(1, rounds), seed=plan.seed, check=check)


def in_sample(
    panel: Panel, plan: Plan, params: Combination, *, check: Callable[[], None] = lambda: None
) -> list[dict[str, float]]:
    """Return the figures of one combination over the training rows of each fold, for walk-forward efficiency.

    Raises:
        ModelDataInsufficient, ModelLibraryMissing: as `evaluate`.
    """
    found: list[dict[str, float]] = []
    for number, fold in enumerate(walk_forward(len(panel.axis), plan.folds)):
        part = _prepare(panel, plan, number, fold)
        seen = _prepare_market(panel, fold.train, rows_between(panel, fold.train), part)
        for _, _, _, probabilities in _fitted(panel, plan, part, (params,), check, on=seen.tested):
            known = panel.labelled[seen.tested]
            figures = dict(classification(panel.up[seen.tested][known], probabilities[0][known]))
            earned, bars_held, bars_there, trades = _trade(panel, plan.signal, seen, probabilities[0])
            exposure = bars_held / bars_there if bars_there else 0.0
            found.append(figures | statistics(earned, exposure, trades, plan.periods_per_year))
    return found


def final_rounds(plan: Plan, params: Combination, used: Sequence[int]) -> int:
    """Return the rounds for the final training: as asked, or the median of what early stopping chose in the folds."""
    if plan.family.rounds is None:
        return 0
    return int(np.median(list(used))) if plan.patience else int(params[plan.family.rounds])


def ranking(scores: Scores, objective: str) -> IntArray:
    """Return the combinations' places, best first; undefined figures last, ties in the grid's order."""
    values = scores.whole[objective]
    keyed = -values if OBJECTIVES[objective] else values
    return np.argsort(np.where(np.isfinite(keyed), keyed, np.inf), kind="stable")


def _prepare(panel: Panel, plan: Plan, number: int, fold: Fold) -> _Prepared:
    train = training_rows(panel, fold, plan.folds.embargo_bars(len(panel.axis)))
    check_rows(panel, train, f"The training of fold {number + 1}")
    fit, watched = train, None
    if plan.patience:
        fit, watched = inner_split(panel, train, plan.watch)
        check_rows(panel, fit, f"The training of fold {number + 1}, less its validation,")
        check_rows(panel, watched, f"The validation within fold {number + 1}")
    tested = rows_between(panel, fold.test)
    part = _Prepared(fold, train, fit, watched, tested, (), np.empty(0, np.int64))
    return _prepare_market(panel, fold.test, tested, part)


def _prepare_market(panel: Panel, span: tuple[int, int], tested: IntArray, part: _Prepared) -> _Prepared:
    axis = panel.axis[span[0] : span[1]]
    markets = tuple(market(bars, axis) for bars in panel.bars)
    there = np.zeros(len(axis), dtype=np.int64)
    for one in markets:
        there[one.place] += 1
    return _Prepared(part.fold, part.train, part.fit, part.watched, tested, markets, there)


def _rows(panel: Panel, plan: Plan, rows: IntArray) -> Rows:
    weight = uniqueness(panel, rows) if plan.weighted else None
    return Rows(panel.x[rows], (panel.up[rows] == 1).astype(np.float64), weight)


def _fitted(
    panel: Panel,
    plan: Plan,
    part: _Prepared,
    chosen: Sequence[Combination],
    check: Callable[[], None],
    on: IntArray | None = None,
) -> Any:
    """Yield, for each run of training, (places, rounds asked, rounds used, probabilities [len(places), rows])."""
    family = plan.family
    train = _rows(panel, plan, part.fit)
    watch = None if part.watched is None else _rows(panel, plan, part.watched)
    x = panel.x[part.tested if on is None else on]
    matrices: dict[tuple[Any, ...], Any] = {}
    for places in _runs(family, chosen):
        check()
        params = chosen[places[-1]]
        shape = tuple(params[name] for name in family.shaping)
        if shape not in matrices:
            matrices = {shape: family.matrix(train, watch, params)}  # one at a time bounds the memory
        caps = [int(chosen[place][family.rounds]) if family.rounds else 0 for place in places]
        fitted = family.fit(matrices[shape], params, max(caps), seed=plan.seed, patience=plan.patience, check=check)
        used = [best_rounds(fitted.history, cap) if cap else 0 for cap in caps]
        yield places, caps, used, fitted.probabilities(x, used)


def _runs(family: Family, chosen: Sequence[Combination]) -> list[list[int]]:
    """Group combinations that differ in rounds alone, those of one matrix behind each other."""

    def key(place: int) -> tuple[Any, ...]:
        params = chosen[place]
        shape = tuple(params[name] for name in family.shaping)
        return shape, tuple((name, value) for name, value in params.items() if name != family.rounds)

    order = sorted(range(len(chosen)), key=lambda place: (key(place), place))
    return [list(group) for _, group in itertools.groupby(order, key=key)]


def _trade(
    panel: Panel, signal: SignalConfig, part: _Prepared, probability: FloatArray
) -> tuple[FloatArray, int, int, int]:
    """Return the mean return per bar of the test, bars held, bars there were, and closed trades, over all symbols."""
    total = np.zeros(len(part.bars))
    symbols, bars = panel.symbol[part.tested], panel.bar[part.tested]
    held_bars = trades = 0
    for number, one in enumerate(part.markets):
        own = symbols == number
        says = np.full(one.stop - one.start, np.nan)
        says[bars[own] - one.start] = probability[own]
        returns, held = follow(one, says, signal)
        total[one.place] += returns
        held_bars += int(held.sum())
        trades += int(np.count_nonzero(held[:-1] & ~held[1:]))
    return total / np.maximum(part.bars, 1), held_bars, int(part.bars.sum()), trades


def _hold(signal: SignalConfig, part: _Prepared) -> FloatArray:
    """Return the mean return per bar of buying every symbol at a test's first chance and keeping it."""
    total = np.zeros(len(part.bars))
    always = SignalConfig(fee=signal.fee, slippage=signal.slippage)
    for one in part.markets:
        total[one.place] += follow(one, np.ones(one.stop - one.start), always)[0]
    return total / np.maximum(part.bars, 1)


def _whole(
    figures: Mapping[str, FloatArray],
    held: FloatArray,
    returns: FloatArray,
    prepared: Sequence[_Prepared],
    panel: Panel,
    plan: Plan,
) -> dict[str, FloatArray]:
    count = len(returns)
    tested = np.array([np.count_nonzero(panel.labelled[part.tested]) for part in prepared], dtype=np.float64)
    whole = {name: np.full(count, np.nan) for name in FIGURES}
    some = tested > 0
    for name in CLASSIFICATION:
        values = figures[name]
        if name in ("balanced_accuracy", "auc"):
            defined = np.isfinite(values)
            sums = np.where(defined, values, 0.0).sum(axis=1)
            whole[name] = np.divide(sums, defined.sum(axis=1), out=whole[name], where=defined.any(axis=1))
        elif some.any():
            whole[name] = values[:, some] @ tested[some] / tested[some].sum()
    for place in range(count):
        bars_held, bars_there = held[place].sum(axis=0)
        exposure = bars_held / bars_there if bars_there else 0.0
        trades = int(figures["trades"][place].sum())
        found = statistics(returns[place], exposure, trades, plan.periods_per_year)
        for name, value in found.items():
            whole[name][place] = value
    return whole
