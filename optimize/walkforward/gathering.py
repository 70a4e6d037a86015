"""What a search came to: its combinations ranked, what each fold chose, and how much of it is luck."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.sources import generated
from optimize import engine, honesty, trials
from optimize.errors import OptimizationFailed
from optimize.matrix import INNER
from optimize.models import TrialRecord
from optimize.walkforward.asking import moment
from optimize.walkforward.chunks import Columns, unpacked
from optimize.walkforward.grids import Grid, grid_of
from optimize.walkforward.ground import Ground, ground_of
from optimize.walkforward.holding import held
from optimize.walkforward.paths import paths
from optimize.words import date_of, dates_of, finite, plain
from optimize.work import Asked, Gathering, Outcome
from optimize.writing import Written, columns_of, figures, listed, records

FloatArray = NDArray[np.float64]
Index = NDArray[np.int64]

TOP = 200
CURVE_POINTS = 300
# Slices and maps of larger grids would be larger than all the rest of the answer.
SHOWN_VALUES, SHOWN_CELLS, SHOWN_MAPS = 200, 2_500, 6
_SHOWN = (
    "t_stat", "oos_sharpe", "mean_oos_sharpe", "is_sharpe", "oos_return", "max_drawdown", "trades", "win_rate",
    "average_trade", "exposure", "ruined",
)  # fmt: skip
_FOLD = ("train_score", "train_sharpe", "test_sharpe", "test_return", "test_trades")


def gather(gathering: Gathering) -> Outcome:
    """Rank everything that was looked at and judge the winner."""
    asked, check = gathering.asked, gathering.check
    everything = merged(gathering)
    ground = ground_of(asked, check)
    ledger = _ledger(asked, everything, ground)
    found = Found(asked, ground, grid_of(asked.request, asked.seed), _finished(everything))
    check()
    past = trials.tried(ledger, asked.created_at)
    around = honesty.sensitivity(found.axes, found.combinations, found.scores, most_maps=SHOWN_MAPS)
    search = found.search()
    # The plateau before the peak: it changes less when the market does.
    candidate = int(honesty.ranked(search)[0][0]) if around is None else around.recommended.combination
    traded = found.traded({candidate, *(row for row in found.chosen.tolist() if row >= 0)})
    judged = honesty.assess(
        search,
        lambda row: traded[row].value,
        trials=past.count,
        others=past.others,
        gate=honesty.Gate.clean(asked.request["gate"]),
        candidate=candidate,
        around=around,
        holding=held(ground.series, ground.tests, ground.axis),
        generated=generated(pinned.source for pinned in asked.data),
        check=check,
    )
    check()
    best = candidate if np.isfinite(judged.t[candidate]) else None
    walked = [traded[each.chosen].of(each.fold) for each in judged.walk_forward.folds if each.chosen is not None]
    stitched = [] if best is None else [traded[best]]
    bands = honesty.bands(_values(stitched), seed=asked.seed, check=check)
    result: dict[str, Any] = {
        "best_params": None if best is None else found.params(best),
        "best_rank": None if best is None else int(np.flatnonzero(judged.order == best)[0]) + 1,
        "best_because": None if around is None else around.text,
        "folds": [found.fold(each) for each in judged.walk_forward.folds],
        "verdict": judged.verdict.as_dict(),
        "evaluated": len(found.table["number"]),
        "pruned": len(everything["number"]) - len(found.table["number"]),
        "partial": not gathering.whole,
        "objective": asked.request["objective"],
        "walk_forward": {
            **_summary(judged, walked, found.yearly),
            "steadiness": [each.as_dict() for each in judged.steadiness],
        },
        "out_of_sample": {"t_stat": None if best is None else judged.t[best]},
        "deflated_sharpe": judged.deflated.as_dict(),
        "overfitting": None if judged.overfitting is None else judged.overfitting.as_dict(),
        "monte_carlo": None if bands is None else {**bands.as_dict(), "equity": None},
        "sensitivity": None if around is None else _shown(around),
        "cpcv": found.paths(check),
    }
    result = {"results": found.rows(judged.order[:TOP]), **plain(result)}
    # Hundreds of figures each, written at once.
    result["walk_forward"]["curve"], result["out_of_sample"]["curve"] = _curve(walked), _curve(stitched)
    if bands is not None:
        result["monte_carlo"]["equity"] = _rows(np.array(bands.equity))
    return Outcome(
        result=result,
        best_sharpe=None if best is None else finite(found.table["oos_sharpe"][best]),
        verdict=judged.verdict.outcome,
        trials=ledger,
    )


def merged(gathering: Gathering) -> Columns:
    """Return the columns of all chunks together, without the parameters, which the grid knows.

    Raises:
        OptimizationFailed: nothing was looked at.
    """
    parts: list[Columns] = []
    for _, _, content in gathering.results():
        gathering.check()
        columns = unpacked(content)
        if columns:
            parts.append({name: values for name, values in columns.items() if not name.startswith("param_")})
    if not parts or all("pruned" in part and part["pruned"].all() for part in parts):
        raise OptimizationFailed(
            "No combination was looked at to the end. Widen the grid, or allow more trials.", code="NOTHING_EVALUATED"
        )
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _finished(table: Columns) -> Columns:
    """Return the rows that were not given up on the way."""
    if "pruned" not in table:
        return table
    kept = ~table["pruned"].astype(np.bool_)
    return {name: values[kept] for name, values in table.items()}


@dataclass(frozen=True, eq=False)
class Found:
    """Everything that a search looked at to the end; a row is a place in its table."""

    asked: Asked
    ground: Ground
    grid: Grid
    table: Columns

    @property
    def yearly(self) -> float:
        return float(np.sqrt(self.ground.settings.periods_per_year))

    def params(self, row: int) -> dict[str, Any]:
        """Return all parameters of a row."""
        return self.grid.combination(int(self.table["number"][row]))

    @cached_property
    def combinations(self) -> list[dict[str, Any]]:
        """What varies, of each row."""
        varying = list(self.grid.axes)
        return [
            {name: params[name] for name in varying} for params in map(self.params, range(len(self.table["number"])))
        ]

    @cached_property
    def axes(self) -> tuple[honesty.GridAxis, ...]:
        known = {parameter.name: parameter for parameter in self.ground.strategy_type.parameters}
        limits = {name: (known[name].minimum, known[name].maximum) for name in self.grid.axes}
        return honesty.axes_of(self.combinations, limits)

    @property
    def scores(self) -> FloatArray:
        """What a plateau is made of: ruined ones have none."""
        return np.where(self.table["ruined"].astype(np.bool_), np.nan, self.table["t_stat"])

    def search(self) -> honesty.Search:
        folds = self.ground.folds
        blocks = self.ground.blocks
        return honesty.Search(
            axes=self.axes,
            combinations=self.combinations,
            in_sample=self._sums("in", np.array([fold.train for fold in folds])),
            out_of_sample=self._sums("out", np.array([fold.test for fold in folds])),
            blocks=self._sums("block", blocks) if len(blocks) else None,
            trades=self.table["trades"].astype(np.int64),
            ruined_in=self._by_fold(f"{INNER}ruined_in_", 0, "").astype(np.bool_),
            ruined_out=self._by_fold(f"{INNER}ruined_out_", 0, "").astype(np.bool_),
            chosen=self.chosen,
        )

    def _sums(self, name: str, stretches: Index) -> honesty.Sums:
        totals, squares = (
            np.stack([self.table[f"{INNER}{name}_{part}_{what}"] for part in range(len(stretches))], axis=1)
            for what in ("total", "squares")
        )
        return honesty.Sums(stretches[:, 1] - stretches[:, 0], totals, squares)

    def _by_fold(self, before: str, first: int, after: str) -> NDArray[Any]:
        return np.stack(
            [self.table[f"{before}{first + fold}{after}"] for fold in range(len(self.ground.folds))], axis=1
        )

    @cached_property
    def chosen(self) -> Index:
        """The row that each fold chose in sample, the first of equals; -1 where none has a score.

        By nothing that lies behind its training: what is ruined in its test may well have been chosen.
        """
        scores = self._by_fold("fold_", 1, "_train_score")
        ruined = self._by_fold(f"{INNER}ruined_in_", 0, "").astype(np.bool_)
        known = np.where(np.isfinite(scores) & ~ruined, scores, -np.inf)
        rows = known.argmax(axis=0)
        return np.where(np.isfinite(known[rows, np.arange(known.shape[1])]), rows, -1).astype(np.int64)

    def traded(self, rows: Iterable[int]) -> dict[int, engine.Returns]:
        """Return what the combinations of these rows make per bar of the tests, one behind the other."""
        ground, taken = self.ground, list(rows)
        params = [self.params(row) for row in taken]
        found = engine.returns(ground.strategy_type, params, ground.series, ground.tests, ground.axis, ground.settings)
        return dict(zip(taken, found, strict=True))

    def rows(self, order: Index) -> Written:
        """Return the ranked results."""
        places = order.tolist()
        of_folds = [f"fold_{fold + 1}_{name}" for fold in range(len(self.ground.folds)) for name in _FOLD]
        shown = columns_of({name: self.table[name][order] for name in (*_SHOWN, *of_folds)})
        by_fold = [
            records({"fold": [str(fold)] * len(places), **{name: shown[f"fold_{fold}_{name}"] for name in _FOLD}})
            for fold in range(1, len(self.ground.folds) + 1)
        ]
        rows = records(
            {
                "rank": [str(place + 1) for place in range(len(places))],
                "params": [json.dumps(self.params(row)) for row in places],
                **{name: shown[name] for name in _SHOWN},
                "marks": [json.dumps(self._marks(row)) for row in places],
                "folds": [listed(each) for each in zip(*by_fold, strict=True)],
            }
        )
        return Written(listed(rows))

    def _marks(self, row: int) -> list[str]:
        """Return what makes the figures of a row worth little."""
        marks = {
            "ruined": bool(self.table["ruined"][row]),
            "no_returns": not np.isfinite(self.table["t_stat"][row]),
            "too_few_trades": self.table["trades"][row] < len(self.ground.folds),
        }
        return [name for name, marked in marks.items() if marked]

    def _figures(self, fold: int, row: int | None) -> dict[str, Any]:
        return {name: None if row is None else self.table[f"fold_{fold}_{name}"][row] for name in _FOLD}

    def fold(self, said: honesty.Fold) -> dict[str, Any]:
        """Return what a fold chose, and what became of it."""
        cut, time = self.ground.folds[said.fold], self.ground.axis.time
        return {
            "fold": said.fold + 1,
            "train_start": date_of(time[cut.train[0]]),
            "train_end": date_of(time[cut.train[1] - 1]),
            "test_start": date_of(time[cut.test[0]]),
            "test_end": date_of(time[cut.test[1] - 1]),
            "params": None if said.chosen is None else self.params(said.chosen),
            **self._figures(said.fold + 1, said.chosen),
            "degradation": said.degradation,
            "rank": said.rank,
        }

    def paths(self, check: Any) -> dict[str, Any] | None:
        """Return the paths of combinatorial cross-validation, where somebody asked for them."""
        wanted = self.asked.request["cpcv"]
        if wanted is None:
            return None
        return paths(self._sums("group", self.ground.groups), wanted["test_groups"], self.yearly, check)


def _ledger(asked: Asked, table: Columns, ground: Ground) -> TrialRecord:
    request = asked.request
    return trials.record(
        strategy_type=request["strategy_type"],
        symbols=request["symbols"],
        timeframe=request["timeframe"],
        source=request["source"],
        start=moment(request["start"]),
        end=moment(request["end"]),
        folds={name: request[name] for name in ("n_splits", "train_ratio", "anchored", "embargo")},
        hashes=table[f"{INNER}hash"],
        ratios=table["oos_sharpe"] / np.sqrt(ground.settings.periods_per_year),
        periods=sum(last - first for first, last in (fold.test for fold in ground.folds)),
    )


def _summary(judged: honesty.Assessment, path: Sequence[engine.Returns], yearly: float) -> dict[str, Any]:
    """Return what the folds' choices came to, one after the other: the only curve that nobody could have fitted."""
    returns = _values(path)
    figures, walked = honesty.moments(returns), judged.walk_forward
    return {
        "efficiency": walked.efficiency,
        "in_sample_sharpe": None if walked.in_sample is None else walked.in_sample * yearly,
        "out_of_sample_sharpe": None if walked.out_of_sample is None else walked.out_of_sample * yearly,
        "profitable_folds": walked.profitable,
        "rank_correlation": walked.correlation,
        "t_stat": figures.t,
        "sharpe": None if figures.sharpe is None else figures.sharpe * yearly,
        "total_return": float(np.prod(1 + returns) - 1),
    }


def _shown(around: honesty.Sensitivity) -> dict[str, Any]:
    shown = around.as_dict()
    shown["slices"] = [each for each in shown["slices"] if len(each["values"]) <= SHOWN_VALUES]
    shown["maps"] = [each for each in shown["maps"] if len(each["x_values"]) * len(each["y_values"]) <= SHOWN_CELLS]
    return shown


def _values(path: Sequence[engine.Returns]) -> FloatArray:
    return np.concatenate([part.value for part in path]) if path else np.zeros(0)


def _rows(table: FloatArray) -> Written:
    """Return a table row by row."""
    texts, width = figures(table.ravel()), table.shape[1]
    return Written(listed([listed(texts[first : first + width]) for first in range(0, len(texts), width)]))


def _curve(path: Sequence[engine.Returns]) -> Written:
    """Return the equity along the returns, of 1 at the start, thinned evenly to the last one."""
    equity = np.cumprod(1 + _values(path))
    if not equity.size:
        return Written("[]")
    times = np.concatenate([part.time for part in path])
    # At least a period apart, so that each is another one.
    places = np.linspace(0, equity.size - 1, min(CURVE_POINTS, equity.size)).round().astype(np.int64)
    dates = [f'"{date}"' for date in dates_of(times[places])]
    return Written(listed(records({"at": dates, "equity": figures(equity[places])})))
