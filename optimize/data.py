"""The series that a job reads: chosen and pinned when it is asked for, loaded by that version wherever it is carried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from market import store
from market.bars import Bars, TimeArray, to_ns
from market.calendars import calendar
from market.errors import SeriesEmpty, SeriesUnknown
from market.selectors import bars_load, instruments_by_symbol, series_get
from market.timeframes import bars_per_year
from optimize.work import Pinned
from tradingsite.common.errors import FieldError, ValidationFailed

# How many bars before the first one are loaded to warm indicators, at least: exponential averages forget slowly, and
# what a combination gets must not depend on which others are tried with it.
HISTORY = 5000


@dataclass(frozen=True)
class Chosen:
    """What a request's symbols and period come to.

    Attributes:
        data: one series for each symbol, in the order asked.
        times: of the bars in the period, all symbols together: int64 nanoseconds UTC, increasing.
        counts: bars of each symbol in the period.
        periods_per_year: bars in a year; of several calendars the most.
    """

    data: tuple[Pinned, ...]
    times: TimeArray
    counts: tuple[int, ...]
    periods_per_year: float


def choose(
    *,
    symbols: Sequence[str],
    timeframe: str,
    start: datetime,
    end: datetime,
    source: str | None = None,
    adjustment: str | None = None,
) -> Chosen:
    """Choose and pin the series of a request.

    Raises:
        ValidationFailed: naming each symbol that is unknown, has no such series or no bars in the period.
    """
    known = instruments_by_symbol(symbols)
    errors: list[FieldError] = []
    data: list[Pinned] = []
    times: list[TimeArray] = []
    years: list[float] = []
    for index, symbol in enumerate(symbols):
        pointer = f"symbols/{index}"
        if symbol not in known:
            detail = f"{symbol!r} is not known; import bars for it first."
            errors.append(FieldError(pointer, "unknown_symbol", detail))
            continue
        try:
            pinned, bars = _pin(symbol, timeframe, source, adjustment)
        except (SeriesUnknown, SeriesEmpty) as error:
            errors.append(FieldError(pointer, "no_series", error.detail))
            continue
        first, last = bounds(bars.time, start, end)
        if last <= first:
            there = f"{bars.opened_at(0):%Y-%m-%d} to {bars.opened_at(-1):%Y-%m-%d}"
            detail = f"{symbol} has no {timeframe} bars in this period; there are bars from {there}."
            errors.append(FieldError(pointer, "no_bars", detail))
            continue
        data.append(pinned)
        times.append(bars.time[first:last])
        years.append(bars_per_year(timeframe, calendar(known[symbol].exchange)))
    if errors:
        raise ValidationFailed(errors=errors)
    union = times[0] if len(times) == 1 else np.unique(np.concatenate(times))
    return Chosen(tuple(data), union, tuple(len(time) for time in times), max(years))


def _pin(symbol: str, timeframe: str, source: str | None, adjustment: str | None) -> tuple[Pinned, Bars]:
    series = series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
    bars = bars_load(symbol=symbol, source=series.source.slug, timeframe=timeframe, adjustment=series.adjustment)
    # Counted with the import; a generated series has no file, and an older row may lack it.
    kept = series.fingerprint if not series.source.generated and series.version == bars.version else ""
    fingerprint = kept or store.fingerprint(bars.columns())
    return Pinned(symbol, bars.source, timeframe, bars.adjustment, bars.version, fingerprint), bars


def bounds(time: TimeArray, start: datetime, end: datetime) -> tuple[int, int]:
    """Return which bars `[first, last)` opened from `start` to `end`, both included."""
    first = int(np.searchsorted(time, to_ns(start), side="left"))
    return first, int(np.searchsorted(time, to_ns(end), side="right"))


def load(
    data: Sequence[Pinned],
    *,
    start: datetime,
    end: datetime,
    warm_up: int = 0,
    check: Callable[[], None] = lambda: None,
) -> list[Bars]:
    """Return the bars of pinned series up to `end`, with those before `start` that warm the indicators.

    Args:
        warm_up: bars that the slowest combination needs; ten times as many are loaded, and never less than HISTORY.

    Raises:
        SeriesUnknown, SeriesEmpty, SeriesFileMissing: a pinned version is not to be had any more.
    """
    found = []
    for pinned in data:
        check()
        bars = bars_load(
            symbol=pinned.symbol,
            source=pinned.source,
            timeframe=pinned.timeframe,
            adjustment=pinned.adjustment,
            version=pinned.version,
        )
        first, last = bounds(bars.time, start, end)
        found.append(bars.slice(max(0, first - max(HISTORY, 10 * warm_up)), last))
    return found
