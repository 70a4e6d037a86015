"""A search that learns where to look: Optuna's tree-structured Parzen estimator, asked and told, seeded and resumable.

It learns from in-sample figures alone. What it learned from could prove nothing any more, and out of sample is what the
proof is made of.

A trial goes from fold to fold, and ends early where it is surely worse than the best one (Wilcoxon's signed-rank test
over the folds so far). A pruned trial was tried all the same: the ledger counts it.

What was asked and told is kept, so that another worker goes on where a lost one stopped: the sampler, seeded alike and
told the same in the same order, asks the same again.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from optimize import engine
from optimize.honesty import sharpe_from_sums
from optimize.matrix import INNER
from optimize.walkforward.chunks import Columns, evaluated, mean_over_symbols, packed, unpacked, unpacked_notes
from optimize.walkforward.grids import Grid, grid_of
from optimize.walkforward.ground import Ground, ground_of
from optimize.work import Piece

# What a combination without a figure is told to be: TPE goes by ranks, and this is below all others.
WORST = -1e9
P_THRESHOLD = 0.1
KEEP_S = 1.0
_NO_BLOCKS = np.zeros((0, 2), dtype=np.int64)
# Suggestions for each trial that is wanted: most that break a constraint or were looked at already cost next to nothing.
ASKS_PER_TRIAL = 20


@dataclass(frozen=True)
class Told:
    """One suggestion and what came of it.

    Attributes:
        place: of the suggested combination in the whole product.
        outcome: complete, pruned, repeated, or infeasible where it breaks a constraint.
        scores: in sample, of each fold that was looked at.
    """

    place: int
    outcome: str
    scores: list[float] = field(default_factory=list)


def run(piece: Piece) -> bytes:
    """Return the table of everything that was looked at."""
    with _quiet():
        search = _Search(piece)
        search.resume()
        search.go()
        return search.content()


class _Search:
    def __init__(self, piece: Piece) -> None:
        asked = piece.asked
        self._piece = piece
        self._objective: str = asked.request["objective"]
        self._grid: Grid = grid_of(asked.request, asked.seed)
        self._wanted = piece.last - piece.first
        self._ground: Ground = ground_of(asked, piece.check)
        self._sizes = {name: len(values) for name, values in self._grid.axes.items()}
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=asked.seed),
            pruner=optuna.pruners.WilcoxonPruner(p_threshold=P_THRESHOLD, n_startup_steps=2),
        )
        self._told: list[Told] = []
        self._seen: dict[int, list[float]] = {}
        self._tables: list[Columns] = []
        self._kept_at = time.monotonic()

    def resume(self) -> None:
        """Ask and tell again what an earlier worker had asked and told."""
        state = self._piece.state
        if state is None:
            return
        self._tables = [unpacked(state)]
        for told in [Told(**one) for one in json.loads(unpacked_notes(state))]:
            trial, place = self._ask()
            if place != told.place:
                # Another version of the library suggests otherwise: what was found is kept, the rest starts afresh.
                trial = self._study.ask()
            self._tell(trial, told)

    def go(self) -> None:
        asks = 0
        while len(self._seen) < min(self._wanted, len(self._grid)) and asks < ASKS_PER_TRIAL * self._wanted:
            asks += 1
            self._piece.check()
            trial, place = self._ask()
            number = int(np.searchsorted(self._grid.kept, place))
            if number == len(self._grid) or self._grid.kept[number] != place:
                self._tell(trial, Told(place, "infeasible"))
            elif place in self._seen:
                self._tell(trial, Told(place, "repeated", self._seen[place]))
            else:
                self._look(trial, place, number)
            self._keep_if_due()

    def content(self) -> bytes:
        tables = [table for table in self._tables if len(table["number"])]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]} if tables else {}
        return packed(columns, notes=json.dumps([asdict(told) for told in self._told]))

    def _ask(self) -> tuple[optuna.Trial, int]:
        trial = self._study.ask()
        place = 0
        for name, size in self._sizes.items():
            # By its place, so that neighbours are near whatever their distance.
            place = place * size + trial.suggest_int(name, 0, size - 1)
        return trial, place

    def _look(self, trial: optuna.Trial, place: int, number: int) -> None:
        params = self._grid.at(place)
        scores: list[float] = []
        pruned = False
        for fold in range(len(self._ground.folds)):
            self._piece.check()
            score = self._score(params, fold)
            scores.append(score if np.isfinite(score) else WORST)
            trial.report(scores[-1], fold)
            self._piece.progress(len(self._seen), fold + 1)
            if fold + 1 < len(self._ground.folds) and trial.should_prune():
                pruned = True
                break
        numbers = np.array([number], dtype=np.int64)
        table = evaluated(self._ground, [params], numbers, self._objective, self._piece.check)
        self._tables.append(_blanked(table) if pruned else {**table, "pruned": np.array([False])})
        self._tell(trial, Told(place, "pruned" if pruned else "complete", scores), reported=True)

    def _score(self, params: dict[str, Any], fold: int) -> float:
        ground = self._ground
        window = ground.windows[fold : fold + 1]
        if self._objective == "sharpe":
            sums = engine.portfolio_sums(
                ground.strategy_type,
                [params],
                ground.series,
                window,
                ground.axis,
                _NO_BLOCKS,
                ground.settings,
            )
            return float(sharpe_from_sums(sums.count, sums.total, sums.squares)[0, 0])
        figures = engine.evaluate(ground.strategy_type, [params], ground.series, window, ground.settings)
        return float(mean_over_symbols(getattr(figures, self._objective))[0, 0])

    def _tell(self, trial: optuna.Trial, told: Told, *, reported: bool = False) -> None:
        if not reported:
            for fold, score in enumerate(told.scores):
                trial.report(score, fold)
        if told.outcome == "infeasible":
            self._study.tell(trial, state=TrialState.PRUNED)
        elif told.outcome == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
            self._seen.setdefault(told.place, told.scores)
        else:
            self._study.tell(trial, float(np.mean(told.scores)))
            self._seen.setdefault(told.place, told.scores)
        self._told.append(told)

    def _keep_if_due(self) -> None:
        if time.monotonic() - self._kept_at >= KEEP_S and self._tables:
            self._piece.keep(self.content())
            self._kept_at = time.monotonic()


def _blanked(table: Columns) -> Columns:
    """Return a row that says that this was tried, and nothing of how it did."""
    kept = ("number", f"{INNER}hash")
    blank = {
        name: values
        if name in kept or name.startswith("param_")
        else np.full_like(values, np.nan)
        if values.dtype.kind == "f"
        else np.zeros_like(values)
        for name, values in table.items()
    }
    return {**blank, "pruned": np.array([True])}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from telling each trial, and that its pruner is new."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
