"""What a search came to: its combinations ranked, what each fold chose, and how much of it is luck."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize import engine, honesty, trials
from optimize.models import TrialRecord
from optimize.walkforward.asking import moment
from optimize.walkforward.chunks import Columns, unpacked
from optimize.walkforward.grids import Grid, grid_of
from optimize.walkforward.ground import Ground, ground_of
from optimize.walkforward.words import date_of, finite, plain
from optimize.work import Asked, Gathering, Outcome
from workflows.strategies import StrategyType

FloatArray = NDArray[np.float64]
Index = NDArray[np.int64]

TOP = 200
CURVE_POINTS = 500
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
    grid = grid_of(asked.request, asked.seed)
    ground = ground_of(asked, check)
    ledger = _ledger(asked, everything, ground)
    table = _finished(everything)
    marks = _marks(table, len(ground.folds))
    ranked = ranking(table, marks)
    check()
    chosen = _chosen(table, len(ground.folds))
    walked = honesty.walk_forward(
        _by_fold(table, "train_sharpe", len(ground.folds)), _by_fold(table, "test_sharpe", len(ground.folds)), chosen
    )
    around = _sensitivity(asked, grid, table, marks, ground.strategy_type)
    best = None if not np.isfinite(table["t_stat"][ranked[0]]) else int(ranked[0])
    if around is not None and best is not None:
        best = around.recommended.combination
    check()
    judged = _judged(asked, ground, grid, table, best, walked, around, ledger, check)
    number = table["number"]
    result: dict[str, Any] = {
        "results": [
            _row(rank, grid, table, marks, int(row), len(ground.folds)) for rank, row in enumerate(ranked[:TOP], 1)
        ],
        "best_params": None if best is None else grid.combination(int(number[best])),
        "folds": _folds(ground, grid, table, chosen, walked),
        "evaluated": len(number),
        "pruned": len(everything["number"]) - len(number),
        "partial": not gathering.whole,
        "objective": asked.request["objective"],
        "walk_forward": _walked(ground, grid, table, chosen, walked),
        "sensitivity": None if around is None else _shown(around),
        **judged,
    }
    return Outcome(
        result=plain(result),
        best_sharpe=None if best is None else finite(table["oos_sharpe"][best]),
        verdict=judged["verdict"]["outcome"],
        trials=ledger,
    )


def merged(gathering: Gathering) -> Columns:
    """Return the columns of all chunks together, without the parameters, which the grid knows."""
    parts: list[Columns] = []
    for _, _, content in gathering.results():
        gathering.check()
        columns = unpacked(content)
        parts.append({name: values for name, values in columns.items() if not name.startswith("param_")})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _finished(table: Columns) -> Columns:
    """Return the rows that were not given up on the way."""
    if "pruned" not in table:
        return table
    kept = ~table["pruned"].astype(np.bool_)
    return {name: values[kept] for name, values in table.items()}


def _by_fold(table: Columns, name: str, folds: int) -> FloatArray:
    return np.stack([table[f"fold_{fold + 1}_{name}"] for fold in range(folds)], axis=1)


def _marks(table: Columns, folds: int) -> list[Any]:
    """Return, for each mark, which combinations bear it: they are ranked after all others, and never scored as zero."""
    return [
        ("ruined", table["ruined"].astype(np.bool_)),
        ("no_returns", ~np.isfinite(table["t_stat"])),
        ("too_few_trades", table["trades"] < folds),
    ]


def ranking(table: Columns, marks: list[Any]) -> Index:
    """Return the rows by the t-statistic of their stitched out-of-sample returns, marked ones behind, ruined ones last."""
    score = np.where(np.isfinite(table["t_stat"]), table["t_stat"], -np.inf)
    ruined, nothing, few = (marked for _, marked in marks)
    return np.lexsort((table["number"], -score, few, nothing, ruined)).astype(np.int64)


def _chosen(table: Columns, folds: int) -> Index:
    """Return the row that each fold chose in sample, the first of equals; -1 where none has a score."""
    scores = _by_fold(table, "train_score", folds)
    known = np.where(np.isfinite(scores) & ~table["ruined"].astype(np.bool_)[:, None], scores, -np.inf)
    rows = known.argmax(axis=0)
    return np.where(np.isfinite(known[rows, np.arange(folds)]), rows, -1).astype(np.int64)


def _sensitivity(
    asked: Asked, grid: Grid, table: Columns, marks: list[Any], strategy_type: StrategyType
) -> honesty.Sensitivity | None:
    if asked.request["search"] != "grid" or not grid.axes:
        return None
    known = {parameter.name: parameter for parameter in strategy_type.parameters}
    combinations = [
        {name: params[name] for name in grid.axes}
        for params in (grid.combination(int(number)) for number in table["number"])
    ]
    limits = {name: (known[name].minimum, known[name].maximum) for name in grid.axes}
    marked = np.any([rows for _, rows in marks], axis=0)
    scores = np.where(marked, np.nan, table["t_stat"])
    return honesty.sensitivity(honesty.axes_of(combinations, limits), combinations, scores, most_maps=SHOWN_MAPS)


def _shown(around: honesty.Sensitivity) -> dict[str, Any]:
    shown = around.as_dict()
    shown["slices"] = [each for each in shown["slices"] if len(each["values"]) <= SHOWN_VALUES]
    shown["maps"] = [each for each in shown["maps"] if len(each["x_values"]) * len(each["y_values"]) <= SHOWN_CELLS]
    return shown


def _ledger(asked: Asked, table: Columns, ground: Ground) -> TrialRecord:
    request = asked.request
    return trials.record(
        strategy_type=request["strategy_type"],
        symbols=request["symbols"],
        timeframe=request["timeframe"],
        source=request["source"],
        start=moment(request["start"]),
        end=moment(request["end"]),
        hashes=table["hash"],
        ratios=table["oos_sharpe"] / np.sqrt(ground.settings.periods_per_year),
        periods=sum(last - first for first, last in (fold.test for fold in ground.folds)),
    )


def _judged(
    asked: Asked,
    ground: Ground,
    grid: Grid,
    table: Columns,
    best: int | None,
    walked: honesty.WalkForward,
    around: honesty.Sensitivity | None,
    ledger: TrialRecord,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Return the verdict and the figures that it rests on."""
    past = trials.tried(ledger, asked.created_at)
    overfit = _overfitting(ground, table, check)
    path = []
    if best is not None:
        path.append(_returns(ground, grid.combination(int(table["number"][best])), ground.tests))
    returns = _values(path)
    figures = honesty.moments(returns)
    count = max(past.count, 1)
    deflated = honesty.deflated_sharpe(figures, count, honesty.trial_variance(past.jobs, figures.count))
    bands = honesty.bands(returns, seed=asked.seed, check=check)
    own = None if around is None or best is None else around.recommended
    evidence = honesty.Evidence(
        dsr=deflated.dsr,
        pbo=None if overfit is None else overfit.pbo,
        probability_of_loss=None if overfit is None else overfit.probability_of_loss,
        combinations=len(table["number"]),
        trials=count,
        sharpe=None if best is None else finite(table["oos_sharpe"][best]),
        trades=0 if best is None else int(table["trades"][best]),
        folds=len(ground.folds),
        efficiency=walked.efficiency,
        profitable_folds=walked.profitable,
        plateau=None if own is None else own.ratio,
        neighbours=0 if own is None else own.neighbours,
        edges=() if around is None else around.edges,
        ruined=best is not None and bool(table["ruined"][best]),
    )
    verdict = honesty.judge(evidence, honesty.Gate.clean(asked.request["gate"]))
    return {
        "verdict": verdict.as_dict(),
        "overfitting": None if overfit is None else overfit.as_dict(),
        "deflated_sharpe": {**vars(deflated), "trials": count, "returns": figures.count},
        "monte_carlo": None if bands is None else bands.as_dict(),
        "out_of_sample": {"t_stat": figures.t, "curve": _curve(path)},
    }


def _overfitting(ground: Ground, table: Columns, check: Callable[[], None]) -> honesty.Overfitting | None:
    blocks = len(ground.blocks)
    if not blocks or len(table["number"]) < 2:
        return None
    totals = np.stack([table[f"block_{block}_total"] for block in range(blocks)], axis=1)
    squares = np.stack([table[f"block_{block}_squares"] for block in range(blocks)], axis=1)
    return honesty.overfitting(ground.blocks[:, 1] - ground.blocks[:, 0], totals, squares, check=check)


def _returns(ground: Ground, params: Mapping[str, Any], windows: NDArray[np.int64]) -> engine.Returns:
    return engine.returns(ground.strategy_type, params, ground.series, windows, ground.axis, ground.settings)


def _values(path: Sequence[engine.Returns]) -> FloatArray:
    return np.concatenate([part.value for part in path]) if path else np.zeros(0)


def _row(rank: int, grid: Grid, table: Columns, marks: list[Any], row: int, folds: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "params": grid.combination(int(table["number"][row])),
        **{name: table[name][row] for name in _SHOWN},
        "marks": [name for name, marked in marks if marked[row]],
        "folds": [
            {"fold": fold, **{name: table[f"fold_{fold}_{name}"][row] for name in _FOLD}}
            for fold in range(1, folds + 1)
        ],
    }


def _folds(
    ground: Ground, grid: Grid, table: Columns, chosen: Index, walked: honesty.WalkForward
) -> list[dict[str, Any]]:
    """Return what each fold chose, and what became of it."""
    found = []
    for fold, (cut, said) in enumerate(zip(ground.folds, walked.folds, strict=True)):
        row = int(chosen[fold])
        found.append(
            {
                "fold": fold + 1,
                "train_start": date_of(ground.axis.time[cut.train[0]]),
                "train_end": date_of(ground.axis.time[cut.train[1] - 1]),
                "test_start": date_of(ground.axis.time[cut.test[0]]),
                "test_end": date_of(ground.axis.time[cut.test[1] - 1]),
                "params": None if row < 0 else grid.combination(int(table["number"][row])),
                **{name: None if row < 0 else table[f"fold_{fold + 1}_{name}"][row] for name in _FOLD},
                "degradation": said.degradation,
                "rank": said.rank,
            }
        )
    return found


def _walked(ground: Ground, grid: Grid, table: Columns, chosen: Index, walked: honesty.WalkForward) -> dict[str, Any]:
    """Return what the folds' choices came to, one after the other: the only curve that nobody could have fitted."""
    taken = [(fold, int(row)) for fold, row in enumerate(chosen) if row >= 0]
    params = [grid.combination(int(table["number"][row])) for _, row in taken]
    path = [
        _returns(ground, each, ground.tests[fold : fold + 1]) for (fold, _), each in zip(taken, params, strict=True)
    ]
    returns = _values(path)
    figures = honesty.moments(returns)
    yearly = float(np.sqrt(ground.settings.periods_per_year))
    axes = honesty.axes_of([{name: each[name] for name in grid.axes} for each in params]) if grid.axes else ()
    return {
        "efficiency": walked.efficiency,
        "in_sample_sharpe": walked.in_sample,
        "out_of_sample_sharpe": walked.out_of_sample,
        "profitable_folds": walked.profitable,
        "rank_correlation": walked.correlation,
        "t_stat": figures.t,
        "sharpe": None if figures.sharpe is None else figures.sharpe * yearly,
        "total_return": float(np.prod(1 + returns) - 1),
        "steadiness": [each.as_dict() for each in honesty.steadiness(axes, params)] if params else [],
        "curve": _curve(path),
    }


def _curve(path: Sequence[engine.Returns]) -> list[dict[str, Any]]:
    """Return the equity along the returns, of 1 at the start, thinned evenly to the last one."""
    equity = np.cumprod(1 + _values(path))
    if not equity.size:
        return []
    times = np.concatenate([part.time for part in path])
    places = np.unique(np.linspace(0, equity.size - 1, min(CURVE_POINTS, equity.size)).round().astype(np.int64))
    return [{"at": date_of(times[place]), "equity": float(equity[place])} for place in places]
