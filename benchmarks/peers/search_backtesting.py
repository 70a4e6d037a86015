"""backtesting.py, one run for each symbol, window and combination: it knows no other way. Asked a sample of the search."""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from searches import FIGURES, Search, measure

# It trades whole units: with this much cash a unit is nothing.
CASH = 1e14


class Crossing(Strategy):
    enters: np.ndarray | None = None
    leaves: np.ndarray | None = None

    def init(self) -> None:
        pass

    def next(self) -> None:
        bar = len(self.data) - 1
        if self.enters[bar] and not self.position:
            self.buy()
        elif self.leaves[bar] and self.position:
            self.position.close()


def average(close: np.ndarray, period: int) -> np.ndarray:
    return pd.Series(close).rolling(period).mean().to_numpy()


def run(search: Search) -> Mapping[str, np.ndarray]:
    result = {name: np.full(search.shape, np.nan) for name in FIGURES}
    for symbol, bars in enumerate(search.bars):
        frame = pd.DataFrame(np.asarray(bars).T, columns=["Open", "High", "Low", "Close"])
        frame.index = pd.date_range("2000-01-03", periods=len(frame), freq="min")
        known = {period: average(bars[3], period) for pair in search.pairs for period in pair}
        for window, (start, stop) in enumerate(search.windows):
            # It first asks a strategy at the second bar: one more before the window makes the window's first the second.
            part = slice(max(0, start - 1), stop)
            test = Backtest(frame[part], Crossing, cash=CASH, commission=search.fee)
            for combination, (fast, slow) in enumerate(search.pairs):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of an open trade at the end, which is meant
                    told = test.run(enters=(known[fast] > known[slow])[part], leaves=(known[fast] < known[slow])[part])
                place = combination, window, symbol
                result["total_return"][place] = told["Return [%]"] / 100
                result["max_drawdown"][place] = -told["Max. Drawdown [%]"] / 100
                result["trades"][place] = told["# Trades"]
    return result


if __name__ == "__main__":
    measure(run)
