"""Histories to trade on: generated ones with everything that goes wrong in prices, and random walks of any length."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from market.bars import Bars
from tests.workflows.samples import DAY_NS


def bars_of(opens: Any, highs: Any, lows: Any, closes: Any, symbol: str = "TEST", first: int = 0) -> Bars:
    """Return daily bars from day `first` on."""
    count = len(closes)
    return Bars.of(
        {
            "time": np.arange(first, first + count, dtype=np.int64) * DAY_NS,
            "open": np.asarray(opens, dtype=np.float64),
            "high": np.asarray(highs, dtype=np.float64),
            "low": np.asarray(lows, dtype=np.float64),
            "close": np.asarray(closes, dtype=np.float64),
            "volume": np.full(count, 1000.0),
        },
        symbol=symbol,
    )


def walk(count: int, seed: int = 1, volatility: float = 0.015, symbol: str = "TEST", first: int = 0) -> Bars:
    """Return a random walk with gaps over night and shadows."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0002, volatility, count)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, volatility / 3, count))
    high = np.maximum(opens, close) * np.exp(np.abs(random.normal(0, volatility / 2, count)))
    low = np.minimum(opens, close) * np.exp(-np.abs(random.normal(0, volatility / 2, count)))
    return bars_of(opens, high, low, close, symbol, first)


@st.composite
def histories(draw: st.DrawFn, min_size: int = 1, max_size: int = 90) -> Bars:
    """Return prices in whole cents: still stretches, steps, gaps over night, spikes, collapses, bars with holes."""
    count = draw(st.integers(min_size, max_size))
    price, rows = draw(st.sampled_from([10.0, 100.0, 2_000.0])), []
    for _ in range(count):
        opened = round(price * draw(st.sampled_from([1.0, 1.0, 1.0, 0.99, 1.02, 0.9])), 2)
        move = draw(st.sampled_from([1.0, 1.0, 0.99, 1.01, 0.97, 1.04, 0.93, 1.1]))
        if draw(st.integers(0, 40)) == 0:
            move = draw(st.sampled_from([0.5, 3.0, 0.02, 40.0]))
        price = max(round(opened * move, 2), 0.5)
        opened = max(opened, 0.5)
        shadow = draw(st.sampled_from([0.0, 0.01, 0.05]))
        row = [opened, max(opened, price) * (1 + shadow), min(opened, price) * (1 - shadow), price]
        if draw(st.integers(0, 25)) == 0:
            row[draw(st.integers(0, 3))] = draw(st.sampled_from([np.nan, np.nan, np.inf]))
        if draw(st.integers(0, 60)) == 0:
            row = [np.nan] * 4
        rows.append(row)
    return bars_of(*np.array(rows).T)
