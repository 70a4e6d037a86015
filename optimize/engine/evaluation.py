"""Every combination in every window of every symbol."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray
from optimize.engine.blocks import Shared, pieces, run_all, slices
from optimize.engine.kernels.figures import ROW
from optimize.engine.kernels.walking import walk
from optimize.engine.plan import Plan, encode
from optimize.engine.series import IntArray, Series
from optimize.engine.settings import RUIN_SHARE, Settings
from optimize.engine.statistics import Statistics, statistics_of
from workflows.strategies import StrategyType
from workflows.strategies.rules import Params

# Bars times combinations that are walked sooner than threads have begun.
LITTLE_WORK = 2_000_000


def account_of(settings: Settings) -> FloatArray:
    """Return the settings as the kernels read them (`kernels.stepping.ACCOUNT_FIELDS`)."""
    return np.array(
        [
            settings.initial_cash,
            settings.fee,
            settings.slippage,
            1.0 if settings.direction == "long_short" else 0.0,
            math.nan if settings.stop_loss is None else settings.stop_loss,
            math.nan if settings.take_profit is None else settings.take_profit,
            RUIN_SHARE * settings.initial_cash,
        ]
    )


def checked_windows(windows: NDArray[np.integer], series: Sequence[Series]) -> IntArray:
    """Return `windows` as int64[W, S, 2].

    Raises:
        ValueError: for another shape, or a window that does not lie in its series.
    """
    result: IntArray = np.ascontiguousarray(windows, dtype=np.int64)
    if result.ndim != 3 or result.shape[1:] != (len(series), 2):
        raise ValueError(f"windows must be [W, {len(series)}, 2], they are {list(result.shape)}")
    lengths = np.array([len(one) for one in series])
    if (result < 0).any() or (result > lengths[:, None]).any():
        raise ValueError("a window does not lie in its series")
    return result


def evaluate(
    strategy_type: StrategyType,
    combinations: Sequence[Params] | Plan,
    series: Sequence[Series],
    windows: NDArray[np.integer],
    settings: Settings,
    *,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Statistics:
    """Return the statistics of every combination, each window of each symbol traded alone.

    A window [start, stop) is flat at its start and warmed by the bars before it; the signal of its last bar fills
    nothing, and a position still open is marked at its last close, without a fee.

    Args:
        combinations: clean params, or their plan of `encode`; the answer is in their order and depends neither on
            `threads` nor on how they are spread over calls.
        windows: [W, S, 2], start and stop per window and symbol; equal ones for a symbol without bars there.
        check: called between blocks of work, at least twice a second or so; what it raises ends the evaluation.

    Returns:
        Arrays [C, W, S].

    Raises:
        ValueError: for windows that do not fit the series.
    """
    bounds = checked_windows(windows, series)
    # Symbols first, so that each piece of work fills one stretch of memory.
    table = np.empty((len(series), len(combinations), bounds.shape[0], ROW))
    plan, account = encode(strategy_type, combinations), account_of(settings)
    longest = max((len(one) for one in series), default=0)
    if len(combinations) * sum(len(one) for one in series) < LITTLE_WORK:
        threads = 1
    parts = threads if len(series) < 2 * threads else 1
    tasks: list[Callable[[], None]] = []
    for first, _, piece in pieces(plan, longest):
        cuts = slices(piece, longest, parts)
        for number, one in enumerate(series):
            shared = Shared(piece, one, len(cuts))
            tasks += [
                partial(_walk, few, shared, account, settings, bounds[:, number], table[number, first + a : first + b])
                for a, b, few in cuts
            ]
    run_all(tasks, threads, check)
    return statistics_of(np.moveaxis(table, 0, 2), bounds[:, :, 1] - bounds[:, :, 0], settings.periods_per_year)


def _walk(
    plan: Plan, shared: Shared, account: FloatArray, settings: Settings, windows: IntArray, out: FloatArray
) -> None:
    series = shared.series
    bits = shared.bits(plan)
    walk(
        bits.masks,
        bits.known,
        series.sound,
        plan.asked,
        plan.shape,
        plan.known,
        series.prices,
        series.ledger.entering,
        series.ledger.leaving,
        series.ledger.blocks,
        series.ledger.largest,
        account,
        settings.periods_per_year,
        np.ascontiguousarray(windows),
        out,
    )
