"""Prices for the tests of this app: the shipped sample, and files made on the spot."""

import gzip
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from market import services, store
from market.calendars import calendar
from market.models import BarImport
from market.options import ImportOptions
from tradingsite.common.actor import Actor

SAMPLE = Path(__file__).resolve().parents[2] / "market" / "data" / "stocks.csv.gz"
HEADER = "Date,Open,High,Low,Close,Volume"
DAYS = calendar("XNYS").sessions_between(date(2024, 1, 1), date(2024, 12, 31))


@pytest.fixture(autouse=True)
def _own_store(data_dir: Path) -> None:
    store.cache_clear()


@pytest.fixture
def sample(db: None, data_dir: Path) -> BarImport:
    return services.bars_import_source(actor=Actor.system("tests"), source="sample")


def daily_csv(count: int = 5, *, first: int = 0, price: float = 100.0) -> str:
    """Return good daily bars on consecutive trading days of 2024."""
    lines = [HEADER]
    for index in range(first, first + count):
        p = price + index
        lines.append(f"{DAYS[index]},{p},{p + 2},{p - 1},{p + 1},{1000 + index}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def put(db: None, data_dir: Path) -> Callable[..., BarImport]:
    """Return `put(text_or_bytes, symbols=("ACME",), **options)`, which imports a file."""

    def import_it(content: str | bytes, **options: Any) -> BarImport:
        raw = content.encode() if isinstance(content, str) else content
        given: dict[str, Any] = {"symbols": ("ACME",), **options}
        return services.bars_import_file(
            actor=Actor.system("tests"), file=io.BytesIO(raw), filename="prices.csv", options=ImportOptions(**given)
        )

    return import_it


def sample_slice(symbol: str, count: int) -> bytes:
    """Return the last `count` lines of `symbol` in the shipped file, gzipped, with its header."""
    with gzip.open(SAMPLE, "rt") as file:
        lines = file.read().splitlines()
    rows = [line for line in lines[1:] if line.startswith(f"{symbol},")][-count:]
    return gzip.compress("\n".join([lines[0], *rows]).encode())
