"""The desk's engine: from bars to every statistic that it has, nothing kept from the pass before."""

from collections.abc import Mapping

import numpy as np
from searches import CASH, FIGURES, PERIODS_PER_YEAR, Search, asked, measure

from market.bars import Bars
from optimize.engine import Settings, evaluate, prepare
from workflows.strategies import strategy_types

MINUTE_NS = 60_000_000_000


def main() -> None:
    threads = asked()[1]["threads"]
    kind = strategy_types.get("sma_crossover")

    def run(search: Search) -> Mapping[str, np.ndarray]:
        times = np.arange(search.bars.shape[2], dtype=np.int64) * MINUTE_NS
        series = []
        for opens, high, low, close in search.bars:
            columns = {"time": times, "open": opens, "high": high, "low": low, "close": close, "volume": close}
            series.append(prepare(Bars.of(columns)))
        combinations = [{"fast": fast, "slow": slow} for fast, slow in search.pairs]
        windows = np.repeat(search.windows[:, None, :], len(series), axis=1)
        settings = Settings(initial_cash=CASH, fee=search.fee, periods_per_year=PERIODS_PER_YEAR)
        found = evaluate(kind, combinations, series, windows, settings, threads=threads).as_dict()
        return {name: found[name] for name in FIGURES}

    measure(run)


if __name__ == "__main__":
    main()
