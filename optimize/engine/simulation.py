"""One combination in one window, bar by bar and trade by trade."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray
from optimize.engine.blocks import bits_of
from optimize.engine.evaluation import account_of, checked_windows
from optimize.engine.kernels.figures import ROW, write_row
from optimize.engine.kernels.stepping import TALLY_FIELDS, TRADE_FIELDS, step
from optimize.engine.kernels.words import speak
from optimize.engine.plan import encode
from optimize.engine.series import Series
from optimize.engine.settings import Settings
from optimize.engine.statistics import statistics_of
from workflows.strategies import StrategyType
from workflows.strategies.rules import Params

TRADE = np.dtype(
    [
        ("entry_bar", np.int64),
        ("exit_bar", np.int64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("quantity", np.float64),
        ("profit", np.float64),
        ("return", np.float64),
        ("closed", np.bool_),
    ]
)


@dataclass(frozen=True, eq=False)
class Path:
    """What happened in a window of n bars.

    Attributes:
        equity: float64[n], cash plus position at each close.
        position: float64[n], quantity held at each close, below 0 when short.
        trades: structured array of TRADE, in order of entry; bars count from the start of the series, prices are those
            of the fills, profit is after fees. Only the last can be open: its exit is the last close, and it has paid
            one fee.
        statistics: by name, as in `Statistics`; NaN where there is no such figure.
    """

    equity: FloatArray
    position: FloatArray
    trades: NDArray[np.void]
    statistics: dict[str, float]


def signal_bits(
    strategy_type: StrategyType, params: Params, series: Series
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return entries and exits as bits, 64 bars to a word; a bar that says both says nothing."""
    plan = encode(strategy_type, [params])
    bits = bits_of(plan, series)
    entries, exits = np.empty_like(series.sound), np.empty_like(series.sound)
    stage = np.empty((max(1, int(plan.shape.max())), len(series.sound)), dtype=np.uint64)
    speak(bits.masks, bits.known, series.sound, plan.asked[0], plan.shape[0], plan.known[0], stage, entries, exits)
    return entries, exits


def simulate(
    strategy_type: StrategyType, params: Params, series: Series, window: tuple[int, int], settings: Settings
) -> Path:
    """Return the path of one combination (clean params) through the bars [start, stop) of `series`, traded alone.

    Raises:
        ValueError: for a window without bars, or one that does not lie in the series.
    """
    checked_windows(np.array([[window]]), [series])
    first, stop = window
    if stop <= first:
        raise ValueError("the window has no bars")
    entries, exits = signal_bits(strategy_type, params, series)
    count = stop - first
    equity, position, tally = np.empty(count), np.empty(count), np.empty(TALLY_FIELDS)
    rows, table = np.empty((count, TRADE_FIELDS)), np.empty((1, 1, 1, ROW))
    account = account_of(settings)
    trades, held, ruined = step(entries, exits, series.prices, account, first, stop, equity, position, rows, tally)
    write_row(
        table[0, 0, 0],
        equity,
        np.empty(count),
        settings.initial_cash,
        settings.periods_per_year,
        held,
        ruined,
        tally,
    )
    figures = statistics_of(table, np.array([[count]]), settings.periods_per_year).as_dict()
    structured = np.empty(trades, dtype=TRADE)
    for index, name in enumerate(TRADE.names or ()):
        structured[name] = rows[:trades, index]
    return Path(equity, position, structured, {name: float(values[0, 0, 0]) for name, values in figures.items()})
