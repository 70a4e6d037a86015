"""Bars for the tests of strategies: the sample prices straight from the file, and generated ones."""

import csv
import functools
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from market.bars import Bars

SAMPLE = Path(__file__).resolve().parents[2] / "market" / "data" / "stocks.csv.gz"
DAY_NS = 86_400_000_000_000


@functools.lru_cache
def sample_bars(symbol: str) -> Bars:
    """Return the sample's bars of `symbol`, adjusted by Adj Close / Close."""
    with gzip.open(SAMPLE, "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["Ticker"] == symbol]
    factor = np.array([float(row["Adj Close"]) / float(row["Close"]) for row in rows])
    opened = [datetime.fromisoformat(row["Date"]).replace(tzinfo=UTC) for row in rows]
    columns = {
        name.lower(): np.array([float(row[name]) for row in rows]) * factor for name in ("Open", "High", "Low", "Close")
    }
    return Bars.of(
        {
            **columns,
            "time": np.array([int(moment.timestamp()) * 1_000_000_000 for moment in opened]),
            "volume": np.array([float(row["Volume"]) for row in rows]),
        },
        symbol=symbol,
    )


def made_bars(closes: "list[float] | np.ndarray", spread: float = 0.01) -> Bars:
    """Return daily bars around these closes: each opens at the close before, with shadows of `spread`."""
    close = np.asarray(closes, dtype=np.float64)
    before = np.concatenate((close[:1], close[:-1]))
    return Bars.of(
        {
            "time": np.arange(len(close), dtype=np.int64) * DAY_NS,
            "open": before,
            "high": np.maximum(before, close) * (1 + spread),
            "low": np.minimum(before, close) * (1 - spread),
            "close": close,
            "volume": np.full(len(close), 1000.0),
        }
    )
