"""One chunk of a search: its combinations over all folds, as a table with a row for each.

What a row says does not depend on which others are in the table, nor on how many threads made it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from optimize import engine
from optimize.honesty import sharpe_from_sums, t_from_sums
from optimize.matrix import INNER, read, stored
from optimize.walkforward.grids import grid_of, hashes
from optimize.walkforward.ground import Ground, ground_of
from optimize.work import Piece

FloatArray = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
_NOTES = b"notes"


def run(piece: Piece) -> bytes:
    """Return the table of a chunk, packed."""
    asked = piece.asked
    if asked.request["search"] == "tpe":
        from optimize.walkforward.tpe import run as run_tpe

        return run_tpe(piece)
    combinations = grid_of(asked.request, asked.seed).combinations(piece.first, piece.last)
    ground = ground_of(asked, piece.check)
    numbers = np.arange(piece.first, piece.last, dtype=np.int64)
    return packed(evaluated(ground, combinations, numbers, asked.request["objective"], piece.check))


def evaluated(
    ground: Ground,
    combinations: Sequence[Mapping[str, Any]],
    numbers: NDArray[np.int64],
    objective: str,
    check: Callable[[], None],
) -> Columns:
    """Return the columns of the table, each as long as there are combinations.

    Args:
        numbers: of the combinations among those of the search.
    """
    plan = engine.encode(ground.strategy_type, combinations)
    figures = engine.evaluate(ground.strategy_type, plan, ground.series, ground.windows, ground.settings, check=check)
    sums = _sums(ground, plan, ground.windows, ground.blocks, check)
    folds, yearly = len(ground.folds), np.sqrt(ground.settings.periods_per_year)
    sharpe = sharpe_from_sums(sums.count, sums.total, sums.squares) * yearly
    tests = slice(folds, None)
    whole = sums.count[tests].sum(), sums.total[:, tests].sum(axis=1), sums.squares[:, tests].sum(axis=1)
    scores = sharpe if objective == "sharpe" else mean_over_symbols(getattr(figures, objective))
    trades = figures.trades[:, tests]
    ruined: NDArray[Any] = np.any(figures.ruined, axis=2)
    columns: Columns = {
        "number": numbers,
        "t_stat": t_from_sums(*whole),
        "oos_sharpe": sharpe_from_sums(*whole) * yearly,
        "is_sharpe": _mean_of_folds(sharpe[:, :folds]),
        "mean_oos_sharpe": _mean_of_folds(sharpe[:, tests]),
        "oos_return": _compounded(figures.total_return[:, tests]),
        "max_drawdown": _greatest(figures.max_drawdown[:, tests]),
        "trades": trades.sum(axis=(1, 2)),
        "win_rate": _weighted(figures.win_rate[:, tests], trades),
        "average_trade": _weighted(figures.average_trade[:, tests], trades),
        "exposure": _mean_of_folds(mean_over_symbols(figures.exposure[:, tests])),
        "ruined": np.any(ruined, axis=1),
    }
    for fold in range(folds):
        test = folds + fold
        columns |= {
            f"fold_{fold + 1}_train_score": scores[:, fold],
            f"fold_{fold + 1}_train_sharpe": sharpe[:, fold],
            f"fold_{fold + 1}_test_sharpe": sharpe[:, test],
            f"fold_{fold + 1}_test_return": mean_over_symbols(figures.total_return[:, test : test + 1])[:, 0],
            f"fold_{fold + 1}_test_trades": figures.trades[:, test].sum(axis=1),
        }
    columns[f"{INNER}hash"] = hashes(ground.strategy_type.slug, combinations, _traded(ground))
    columns |= _inner("in", sums.total[:, :folds], sums.squares[:, :folds])
    columns |= _inner("out", sums.total[:, tests], sums.squares[:, tests])
    columns |= _inner("block", sums.block_total, sums.block_squares)
    for fold in range(folds):
        columns[f"{INNER}ruined_in_{fold}"] = ruined[:, fold]
        columns[f"{INNER}ruined_out_{fold}"] = ruined[:, folds + fold]
    if len(ground.groups):
        of_groups = _sums(ground, plan, ground.windows[:0], ground.groups, check)
        columns |= _inner("group", of_groups.block_total, of_groups.block_squares)
    for name in combinations[0] if combinations else ():
        columns[f"param_{name}"] = np.array([params[name] for params in combinations])
    return columns


def _sums(
    ground: Ground,
    plan: engine.Plan,
    windows: NDArray[np.int64],
    blocks: NDArray[np.int64],
    check: Callable[[], None],
) -> engine.Sums:
    return engine.portfolio_sums(
        ground.strategy_type,
        plan,
        ground.series,
        windows,
        ground.axis,
        blocks,
        ground.settings,
        check=check,
    )


def _inner(name: str, totals: FloatArray, squares: FloatArray) -> Columns:
    """Return Σr and Σr² of each part as columns of their own."""
    columns: Columns = {}
    for part in range(totals.shape[1]):
        columns[f"{INNER}{name}_{part}_total"] = totals[:, part]
        columns[f"{INNER}{name}_{part}_squares"] = squares[:, part]
    return columns


def _traded(ground: Ground) -> dict[str, float | str | None]:
    """Return what can be chosen beside the parameters to make the past look better."""
    settings = ground.settings
    return {
        "direction": settings.direction,
        "stop_loss": settings.stop_loss,
        "take_profit": settings.take_profit,
    }


def mean_over_symbols(values: FloatArray) -> FloatArray:
    """Return the mean over symbols, [C, W] of [C, W, S], of those that have a figure; NaN where none has."""
    known = np.isfinite(values)
    count = known.sum(axis=2)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=2) / np.maximum(count, 1), np.nan)


def _mean_of_folds(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _compounded(returns: FloatArray) -> FloatArray:
    """Return what the folds' returns come to one after the other, the mean over symbols."""
    known = np.where(np.isfinite(returns), returns, 0.0)
    return (np.prod(1 + known, axis=1) - 1).mean(axis=1)


def _greatest(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    greatest = np.where(known, values, -np.inf).max(axis=(1, 2))
    return np.where(known.any(axis=(1, 2)), greatest, np.nan)


def _weighted(values: FloatArray, trades: NDArray[Any]) -> FloatArray:
    """Return the mean over all closed trades of folds and symbols; NaN without any."""
    known = np.where(np.isfinite(values), values, 0.0)
    count = trades.sum(axis=(1, 2))
    return np.where(count > 0, (known * trades).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


def packed(columns: Columns, *, notes: str = "") -> bytes:
    """Return the columns as one table, with notes for `unpacked_notes`."""
    table = pa.RecordBatch.from_arrays([pa.array(values) for values in columns.values()], names=list(columns))
    if notes:
        table = table.replace_schema_metadata({_NOTES: notes.encode()})
    content = stored(table)
    _packed.last = content, columns
    return content


# A job of one chunk is gathered by the thread that carried it, from the very bytes that it has just made.
_packed = threading.local()


def unpacked_notes(content: bytes) -> str:
    """Return the notes of a table."""
    return bytes((read(content).schema.metadata or {}).get(_NOTES, b"[]")).decode()


def unpacked(content: bytes) -> Columns:
    """Return the columns of a table. Nobody changes them."""
    last: tuple[bytes, Columns] | None = getattr(_packed, "last", None)
    if last is not None and last[0] is content:
        return last[1]
    table = read(content)
    return {name: table.column(name).to_numpy() for name in table.column_names}
