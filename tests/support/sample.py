"""The sample prices read a second time, with the standard library alone, to compute figures by hand from."""

import csv
import gzip
from dataclasses import dataclass
from decimal import Decimal

from tests.support.desk import ROOT

FILE = ROOT / "market" / "data" / "stocks.csv.gz"


@dataclass(frozen=True)
class Day:
    """One row of the file; `open` and `close` adjusted by the factor that Adj Close implies."""

    date: str
    open: Decimal
    close: Decimal


def days(symbol: str) -> list[Day]:
    """Return the adjusted days of a symbol, oldest first."""
    with gzip.open(FILE, "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["Ticker"] == symbol]
    result = []
    for row in sorted(rows, key=lambda row: row["Date"]):
        adjusted = Decimal(row["Adj Close"])
        result.append(Day(row["Date"], Decimal(row["Open"]) * adjusted / Decimal(row["Close"]), adjusted))
    return result
