"""Yahoo Finance, for those who install the extra `yahoo`. Its terms of use are the user's own matter."""

import importlib
from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, to_ns
from market.calendars import calendar
from market.choices import Adjustment, SourceClock, SourceKind
from market.errors import MissingExtra, SeriesUnknown, VendorFailed
from market.sources.base import Fetched, SymbolFacts
from market.timeframes import DAILY, bar_ends

FIRST_DAY = date(1990, 1, 1)
EXCHANGE = "XNYS"


def _yfinance() -> ModuleType:
    try:
        return importlib.import_module("yfinance")
    except ModuleNotFoundError:
        raise MissingExtra(
            "Prices from Yahoo need the extra 'yahoo': .venv/bin/pip install '.[yahoo]' in the desk's folder.",
            extra={"pip_extra": "yahoo"},
        ) from None


class YahooSource:
    """Daily bars of symbols on the US exchanges: as traded but for splits, and adjusted for dividends too."""

    slug: ClassVar[str] = "yahoo"
    kind: ClassVar[str] = SourceKind.YAHOO.value
    clock: ClassVar[str] = SourceClock.LIVE.value
    title: ClassVar[str] = "Yahoo Finance"
    generated: ClassVar[bool] = False
    timeframes: ClassVar[tuple[str, ...]] = (DAILY,)

    def symbols(self) -> tuple[str, ...]:
        return ()

    def fetch(self, *, symbol: str, timeframe: str, start: datetime | None, wall: datetime) -> list[Fetched]:
        vendor = _yfinance()
        if timeframe != DAILY:
            raise SeriesUnknown("From Yahoo the desk takes daily bars only.")
        first = start.date() if start is not None else FIRST_DAY
        try:
            frame = vendor.Ticker(symbol.replace(".", "-")).history(
                start=first.isoformat(),
                end=(wall.date() + timedelta(days=1)).isoformat(),
                interval="1d",
                auto_adjust=False,
                actions=False,
                raise_errors=True,
            )
        except (OSError, ValueError, KeyError, TypeError, vendor.exceptions.YFException) as error:
            raise VendorFailed(f"Yahoo gave no bars of {symbol}: {error}") from error
        if not len(frame):
            raise SeriesUnknown(f"Yahoo has no daily bars of {symbol}.")
        return self._series(symbol, frame, wall)

    def _series(self, symbol: str, frame: Any, wall: datetime) -> list[Fetched]:
        known = calendar(EXCHANGE)
        days = [stamp.date() for stamp in frame.index]
        figures = {name: np.asarray(frame[name], dtype=np.float64) for name in _HEADERS}
        # Yahoo sends lines without prices for days that it knows nothing of; those are gaps, and reported as such.
        finite = np.logical_and.reduce([np.isfinite(array) for array in figures.values()])
        keep = np.array([known.is_session(day) for day in days]) & finite
        times = np.array([to_ns(known.session_open(day)) for day, kept in zip(days, keep, strict=True) if kept])
        columns: dict[str, NDArray[Any]] = {name: array[keep] for name, array in figures.items()}
        # Today's bar still changes: it is taken once its session has closed.
        done = int(np.searchsorted(bar_ends(times, DAILY, known), to_ns(wall.astimezone(UTC)), side="right"))
        factor = columns["Adj Close"] / columns["Close"]
        found = []
        for adjustment, by in ((Adjustment.SPLIT, np.ones_like(factor)), (Adjustment.SPLIT_DIVIDEND, factor)):
            part = {name.lower(): columns[name] * by for name in ("Open", "High", "Low", "Close")}
            bars = Bars.of(
                {"time": times, "volume": columns["Volume"], **part},
                symbol=symbol,
                source=self.slug,
                timeframe=DAILY,
                adjustment=adjustment.value,
            )
            found.append(Fetched(bars.slice(0, done), SymbolFacts(name=symbol, exchange=EXCHANGE)))
        return found


_HEADERS = ("Open", "High", "Low", "Close", "Volume", "Adj Close")
