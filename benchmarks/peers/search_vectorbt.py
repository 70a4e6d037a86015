"""vectorbt in the quickest way that was found: NumPy arrays in, one wide `from_signals` for all columns of a window, the
averages computed once per period, and only the statistics that are wanted, the Sharpe ratio by NumPy over `returns()`.

Tried and slower: pandas frames, one call per symbol, all windows as columns of one call, threads (it holds the interpreter's
lock), its own `sharpe_ratio()`. Wide calls lose to the cache on long series, hence `columns` in a call.
"""

import sys
from collections.abc import Mapping

import numpy as np
import vectorbt as vbt
from searches import CASH, FIGURES, PERIODS_PER_YEAR, Search, asked, measure

CELLS_PER_CALL = 2_000_000


def averages(close: np.ndarray, periods: set[int]) -> dict[int, np.ndarray]:
    """Return the simple averages of `close` [bars, symbols], by period."""
    sums = np.concatenate([np.zeros((1, close.shape[1])), np.cumsum(close, axis=0)])
    found = {}
    for period in periods:
        found[period] = np.full(close.shape, np.nan)
        found[period][period - 1 :] = (sums[period:] - sums[:-period]) / period
    return found


def moved(values: np.ndarray) -> np.ndarray:
    result = np.zeros_like(values)
    result[1:] = values[:-1]
    return result


def run(search: Search) -> Mapping[str, np.ndarray]:
    opens, close = (np.ascontiguousarray(search.bars[:, row].T) for row in (0, 3))
    known = averages(close, {period for pair in search.pairs for period in pair})
    combinations, windows, symbols = search.shape
    result = {name: np.empty((combinations, windows, symbols)) for name in FIGURES}
    for number, (start, stop) in enumerate(search.windows):
        part = slice(start, stop)
        at_once = max(1, CELLS_PER_CALL // (symbols * (stop - start)))
        for first in range(0, combinations, at_once):
            chosen = search.pairs[first : first + at_once]
            fast = np.concatenate([known[pair[0]][part] for pair in chosen], axis=1)
            slow = np.concatenate([known[pair[1]][part] for pair in chosen], axis=1)
            portfolio = vbt.Portfolio.from_signals(
                np.tile(close[part], len(chosen)),
                moved(fast > slow),
                moved(fast < slow),
                price=np.tile(opens[part], len(chosen)),
                fees=search.fee,
                direction="longonly",
                accumulate=False,
                init_cash=CASH,
                freq="1D",
            )
            returns = portfolio.returns().to_numpy()
            with np.errstate(divide="ignore", invalid="ignore"):
                sharpe = returns.mean(axis=0) / returns.std(axis=0, ddof=1) * PERIODS_PER_YEAR**0.5
            told = {
                "total_return": np.asarray(portfolio.total_return()),
                "sharpe": sharpe,
                "max_drawdown": -np.asarray(portfolio.max_drawdown()),
                "trades": np.asarray(portfolio.trades.closed.count()),
            }
            for name, values in told.items():
                result[name][first : first + at_once, number] = values.reshape(len(chosen), symbols)
    return result


def main() -> None:
    _, words = asked()
    vbt.settings["engine"] = words["engine"]
    measure(run)


if __name__ == "__main__":
    sys.exit(main())
