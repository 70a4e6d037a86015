"""The prices that ship with the desk: five US shares, 2000 to 2013, public domain (see market/data/NOTICE)."""

import csv
import functools
import gzip
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, to_ns
from market.calendars import calendar
from market.choices import Adjustment, SourceClock, SourceKind
from market.errors import SeriesUnknown
from market.sources.base import Fetched, SymbolFacts
from market.timeframes import DAILY

FILE = Path(__file__).resolve().parent.parent / "data" / "stocks.csv.gz"
EXCHANGE = "XNYS"
NAMES = {
    "AAPL": "Apple",
    "FB": "Facebook",
    "GOOG": "Google",
    "IBM": "International Business Machines",
    "MSFT": "Microsoft",
}


@functools.lru_cache(maxsize=1)
def _columns() -> dict[str, dict[str, NDArray[Any]]]:
    """Return the file's columns as traded, and `factor` = adjusted close / close, by symbol."""
    known = calendar(EXCHANGE)
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    times: dict[str, list[int]] = defaultdict(list)
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            symbol = row["Ticker"]
            times[symbol].append(to_ns(known.session_open(date.fromisoformat(row["Date"]))))
            close = float(row["Close"])
            figures = (float(row["Open"]), float(row["High"]), float(row["Low"]), close, float(row["Volume"]))
            rows[symbol].append((*figures, float(row["Adj Close"]) / close))
    result: dict[str, dict[str, NDArray[Any]]] = {}
    for symbol, lines in rows.items():
        table = np.array(lines)
        names = ("open", "high", "low", "close", "volume", "factor")
        result[symbol] = {"time": np.array(times[symbol], dtype=np.int64)}
        result[symbol].update({name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(names)})
    return result


class SampleSource:
    """Delivers each symbol twice: as traded, and with open, high, low and close times adjusted close / close.

    Volume stays as traded in both. The market stands still at the open of the last bar.
    """

    slug: ClassVar[str] = "sample"
    kind: ClassVar[str] = SourceKind.SAMPLE.value
    clock: ClassVar[str] = SourceClock.HISTORICAL.value
    title: ClassVar[str] = "Sample of real daily prices, 2000 to 2013"
    generated: ClassVar[bool] = False
    timeframes: ClassVar[tuple[str, ...]] = (DAILY,)

    def symbols(self) -> tuple[str, ...]:
        return tuple(NAMES)

    def fetch(self, *, symbol: str, timeframe: str, start: datetime | None, wall: datetime) -> list[Fetched]:
        if symbol not in NAMES or timeframe != DAILY:
            raise SeriesUnknown(f"The sample has the daily bars of {', '.join(NAMES)}.")
        raw = _columns()[symbol]
        facts = SymbolFacts(name=NAMES[symbol], exchange=EXCHANGE)
        found = []
        for adjustment, factor in ((Adjustment.NONE, None), (Adjustment.SPLIT_DIVIDEND, raw["factor"])):
            columns = {name: raw[name] for name in ("time", "volume")}
            for name in ("open", "high", "low", "close"):
                columns[name] = raw[name] if factor is None else raw[name] * factor
            bars = Bars.of(columns, symbol=symbol, source=self.slug, timeframe=DAILY, adjustment=adjustment.value)
            found.append(Fetched(bars if start is None else bars.since(start), facts))
        return found
