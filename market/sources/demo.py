"""A generated market: deterministic prices for any symbol, minute by minute, from 2015 to the present moment.

The prices are invented, and everything that shows them says "generated". For each symbol a Markov chain moves between
four regimes (bull, bear, sideways, high volatility); each session draws its minutes from a random stream that belongs
to (symbol, date) alone. So a bar never depends on when it is asked for: later bars are added, earlier ones stay. Daily
and longer intraday bars are aggregated from the same minutes and agree with them to the cent.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray, TimeArray, from_ns, to_ns
from market.calendars import calendar
from market.choices import SourceClock, SourceKind
from market.errors import SeriesUnknown
from market.sources.base import Fetched, PricePoint, SymbolFacts
from market.sources.generator import EXCHANGE, FIRST_DAY, GENERATOR, REGIMES, last_day_opened, path, session_minutes
from market.store import SAFE_SYMBOL
from market.timeframes import DAILY, LENGTH_S, length_ns

__all__ = ["EXCHANGE", "GENERATOR", "SLUG", "DemoSource", "bars", "first_open", "latest", "quote", "regime_at"]

SLUG = "demo"
_MINUTE_NS = 60_000_000_000


def _check(symbol: str, timeframe: str) -> None:
    if not SAFE_SYMBOL.fullmatch(symbol):
        raise SeriesUnknown(f"{symbol!r} cannot be a symbol: capital letters, digits, dots and dashes, at most 15.")
    if timeframe not in LENGTH_S:
        raise SeriesUnknown(f"The generated market has the timeframes {', '.join(LENGTH_S)}.")


def bars(
    symbol: str, timeframe: str, *, wall: datetime, start: datetime | None = None, limit: int | None = None
) -> Bars:
    """Return the complete bars of `symbol` as of `wall`, oldest first.

    Args:
        start: only bars that opened at or after it.
        limit: only the newest so many.

    Returns:
        Bars whose `version` is the number of bars from the beginning of the series up to the last one returned: a
        version names the same bars for ever.

    Raises:
        SeriesUnknown: for a symbol or timeframe that cannot be generated.
    """
    _check(symbol, timeframe)
    known = calendar(EXCHANGE)
    now = to_ns(wall)
    last_day = last_day_opened(known, now)
    whole = path(symbol, last_day)
    if timeframe == DAILY:
        complete = int(np.searchsorted(whole.last, now, side="right"))
        result = _assemble(symbol, timeframe, whole.first, np.stack(whole.daily))
        return _window(result.slice(0, complete), complete, start, limit)
    length = length_ns(timeframe)
    per_session = -(-(whole.last - whole.first) // length)
    opened = int(np.searchsorted(whole.first, now, side="right"))
    if opened == 0:
        return _assemble(symbol, timeframe, np.empty(0, dtype=np.int64), np.empty((5, 0)))
    current = opened - 1
    running = int(whole.last[current]) > now
    finished = int((now - whole.first[current]) // length) if running else int(per_session[current])
    total = int(per_session[:current].sum()) + finished
    first = current
    if start is not None:
        first = max(0, int(np.searchsorted(whole.last, to_ns(start), side="right")))
    if limit is not None:
        needed = np.cumsum(per_session[current - 1 :: -1] if current else np.empty(0)) + finished
        back = int(np.searchsorted(needed, limit)) + 1 if finished < limit else 0
        newest = max(0, current - back)
        first = max(first, newest) if start is not None else newest
    elif start is None:
        first = 0
    times: list[TimeArray] = []
    figures: list[FloatArray] = []
    for index in range(first, current + 1):
        session_times, session = _aggregate(*session_minutes(symbol, int(whole.days[index]), index), length)
        if index == current:
            session_times, session = session_times[:finished], session[:, :finished]
        times.append(session_times)
        figures.append(session)
    if not times:
        return _assemble(symbol, timeframe, np.empty(0, dtype=np.int64), np.empty((5, 0)))
    result = _assemble(symbol, timeframe, np.concatenate(times), np.concatenate(figures, axis=1))
    return _window(result, total, start, limit)


def version_end(symbol: str, timeframe: str, version: int, *, wall: datetime) -> datetime:
    """Return the moment at which the series had exactly `version` bars: the end of the last of them.

    Raises:
        SeriesUnknown: when the series is not that long at `wall`.
    """
    _check(symbol, timeframe)
    whole = path(symbol, last_day_opened(calendar(EXCHANGE), to_ns(wall)))
    length = length_ns(timeframe)
    if timeframe == DAILY:
        per_session = np.ones(len(whole.days), dtype=np.int64)
    else:
        per_session = -(-(whole.last - whole.first) // length)
    ends = np.cumsum(per_session)
    index = int(np.searchsorted(ends, version))
    if version < 1 or index == len(ends):
        raise SeriesUnknown(f"The generated {timeframe} series of {symbol} has no version {version} yet.")
    within = version - (int(ends[index - 1]) if index else 0)
    end = int(whole.last[index]) if within == per_session[index] else int(whole.first[index]) + within * length
    if end > to_ns(wall):
        raise SeriesUnknown(f"The generated {timeframe} series of {symbol} has no version {version} yet.")
    return from_ns(end)


def _aggregate(times: TimeArray, minutes: FloatArray, length: int) -> tuple[TimeArray, FloatArray]:
    if length == _MINUTE_NS:
        return times, minutes
    starts = np.arange(0, len(times), length // _MINUTE_NS)
    stops = np.append(starts[1:], len(times))
    return times[starts], np.stack(
        [
            minutes[0][starts],
            np.maximum.reduceat(minutes[1], starts),
            np.minimum.reduceat(minutes[2], starts),
            minutes[3][stops - 1],
            np.add.reduceat(minutes[4], starts),
        ]
    )


def _assemble(symbol: str, timeframe: str, times: TimeArray, figures: FloatArray) -> Bars:
    names = ("open", "high", "low", "close", "volume")
    columns: dict[str, NDArray[Any]] = {"time": times, **dict(zip(names, figures, strict=True))}
    return Bars.of(columns, symbol=symbol, source=SLUG, timeframe=timeframe, adjustment="none")


def _window(whole: Bars, version: int, start: datetime | None, limit: int | None) -> Bars:
    part = whole if start is None else whole.since(start)
    if limit is not None:
        part = part.last(limit)
    fields = part.columns()
    return Bars.of(
        fields, symbol=part.symbol, source=SLUG, timeframe=part.timeframe, adjustment="none", version=version
    )


def quote(symbol: str, *, at: datetime, wall: datetime) -> PricePoint | None:
    """Return the open of the first minute at or after `at`, or None while that minute has not begun at `wall`.

    Raises:
        SeriesUnknown: for a symbol that cannot be generated.
    """
    _check(symbol, "1m")
    known = calendar(EXCHANGE)
    now, wanted = to_ns(wall), to_ns(at)
    last_day = last_day_opened(known, now)
    whole = path(symbol, last_day)
    index = int(np.searchsorted(whole.last, wanted, side="right"))
    while index < len(whole.days):
        times, figures = session_minutes(symbol, int(whole.days[index]), index)
        minute = int(np.searchsorted(times, wanted, side="left"))
        if minute < len(times):
            moment = int(times[minute])
            return PricePoint(_cents(figures[0, minute]), from_ns(moment)) if moment <= now else None
        index += 1
    return None


def latest(symbol: str, *, wall: datetime) -> PricePoint | None:
    """Return the open of the minute that `wall` lies in, or the last session's close when the market is shut.

    Raises:
        SeriesUnknown: for a symbol that cannot be generated.
    """
    _check(symbol, "1m")
    known = calendar(EXCHANGE)
    now = to_ns(wall)
    last_day = last_day_opened(known, now)
    whole = path(symbol, last_day)
    index = int(np.searchsorted(whole.first, now, side="right")) - 1
    if index < 0:
        return None
    if now >= whole.last[index]:
        return PricePoint(_cents(whole.daily[3][index]), from_ns(int(whole.last[index])))
    times, figures = session_minutes(symbol, int(whole.days[index]), index)
    minute = int(np.searchsorted(times, now, side="right")) - 1
    return PricePoint(_cents(figures[0, minute]), from_ns(int(times[minute])))


def first_open(symbol: str) -> datetime:
    """Return when the first bar of `symbol` opened, which is the same in every timeframe."""
    whole = path(symbol, (FIRST_DAY - date(1970, 1, 1)).days + 7)
    return from_ns(int(whole.first[0]))


def regime_at(symbol: str, moment: datetime) -> str:
    """Return the regime that the generator was in during the newest session that had opened at `moment`."""
    now = to_ns(moment)
    whole = path(symbol, last_day_opened(calendar(EXCHANGE), now))
    index = int(np.searchsorted(whole.first, now, side="right")) - 1
    return REGIMES[int(whole.regime[max(index, 0)])].slug


def _cents(value: float) -> Decimal:
    return Decimal(repr(round(float(value), 2)))


class DemoSource:
    """The generated market behind the protocol of all sources."""

    slug: ClassVar[str] = SLUG
    kind: ClassVar[str] = SourceKind.DEMO.value
    clock: ClassVar[str] = SourceClock.LIVE.value
    title: ClassVar[str] = "Generated demo market (invented prices)"
    generated: ClassVar[bool] = True
    timeframes: ClassVar[tuple[str, ...]] = tuple(LENGTH_S)

    def symbols(self) -> tuple[str, ...]:
        return ()

    def fetch(self, *, symbol: str, timeframe: str, start: datetime | None, wall: datetime) -> list[Fetched]:
        found = bars(symbol, timeframe, wall=wall.astimezone(UTC), start=start)
        return [Fetched(found, SymbolFacts(name=f"{symbol} (generated)"))]
