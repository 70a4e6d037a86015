"""A loop over symbols, windows and combinations with NumPy inside: what one writes without a library."""

from collections.abc import Mapping

import numpy as np
from searches import FIGURES, PERIODS_PER_YEAR, Search, measure


def average(sums: np.ndarray, period: int) -> np.ndarray:
    found = np.full(len(sums) - 1, np.nan)
    found[period - 1 :] = (sums[period:] - sums[:-period]) / period
    return found


def play(opens: np.ndarray, close: np.ndarray, enters: np.ndarray, leaves: np.ndarray, fee: float) -> list[float]:
    """Return the figures of one window: total return, Sharpe ratio, largest drawdown, closed trades."""
    bars = len(close)
    # The last bar that spoke decides; what it wants is held from the next open on.
    spoke = np.where(enters | leaves, np.arange(bars), 0)
    wanted = enters[np.maximum.accumulate(spoke)]
    held = np.zeros(bars, dtype=bool)
    held[1:] = wanted[:-1]
    before = np.zeros(bars, dtype=bool)
    before[1:] = held[:-1]
    growth = np.ones(bars)
    kept = np.flatnonzero(held & before)
    growth[kept] = close[kept] / close[kept - 1]
    bought = np.flatnonzero(held & ~before)
    growth[bought] = close[bought] / (opens[bought] * (1 + fee))
    sold = np.flatnonzero(before & ~held)
    growth[sold] = opens[sold] * (1 - fee) / close[sold - 1]
    equity = np.cumprod(growth)
    returns = growth - 1
    spread = returns.std(ddof=1)
    sharpe = returns.mean() / spread * PERIODS_PER_YEAR**0.5 if spread else np.nan
    drawdown = 1 - (equity / np.maximum.accumulate(equity)).min()
    return [equity[-1] - 1, sharpe, drawdown, len(sold)]


def run(search: Search) -> Mapping[str, np.ndarray]:
    result = np.empty((*search.shape, len(FIGURES)))
    for symbol, bars in enumerate(search.bars):
        opens, close = np.ascontiguousarray(bars[0]), np.ascontiguousarray(bars[3])
        sums = np.concatenate([[0.0], np.cumsum(close)])
        known = {period: average(sums, period) for pair in search.pairs for period in pair}
        for combination, (fast, slow) in enumerate(search.pairs):
            enters, leaves = known[fast] > known[slow], known[fast] < known[slow]
            for window, (start, stop) in enumerate(search.windows):
                part = slice(start, stop)
                result[combination, window, symbol] = play(
                    opens[part], close[part], enters[part], leaves[part], search.fee
                )
    return {name: result[..., place] for place, name in enumerate(FIGURES)}


if __name__ == "__main__":
    measure(run)
