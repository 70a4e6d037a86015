"""Reading instruments, bars and prices.

Two ways to read bars. `bars_load` gives what is stored, for research. `complete_bars` gives what a decision may see at a
moment: only bars that have ended by the market's own present (`market_now`), so that no step looks ahead.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import numpy as np
from django.db.models import Q, QuerySet

from market import store
from market.bars import Bars, from_ns, to_ns
from market.calendars import calendar
from market.choices import Adjustment, SourceClock, SourceKind
from market.errors import InstrumentUnknown, SeriesEmpty, SeriesUnknown, SourceUnknown
from market.models import BarImport, BarSeries, DataSource, Instrument
from market.prices import price_decimal
from market.sources import demo
from market.sources.base import PricePoint
from market.timeframes import DAILY, bar_ends
from tradingsite.common.clock import utcnow

__all__ = ["PricePoint"]

# What a reader gets who does not say: total returns before raw prices.
_PREFERRED = (Adjustment.SPLIT_DIVIDEND.value, Adjustment.SPLIT.value, Adjustment.NONE.value)


@dataclass(frozen=True)
class SeriesName:
    """What names one series, with nothing left to a default."""

    symbol: str
    source: str
    timeframe: str
    adjustment: str


@dataclass(frozen=True)
class SeriesAsked:
    """What somebody says of a series: without a source or an adjustment it is the preferred one."""

    symbol: str
    source: str | None
    timeframe: str
    adjustment: str | None


def instrument_get(symbol: str) -> Instrument:
    """Return the instrument called `symbol`.

    Raises:
        InstrumentUnknown: when there is none.
    """
    found: Instrument | None = Instrument.objects.select_related("default_source").filter(symbol=symbol).first()
    if found is None:
        raise InstrumentUnknown(f"{symbol!r} is not known. Import bars for it, or add it under market/instruments.")
    return found


def instruments_by_symbol(symbols: Sequence[str]) -> dict[str, Instrument]:
    """Return those of `symbols` that exist, by symbol, with one query."""
    rows = Instrument.objects.select_related("default_source").filter(symbol__in=list(symbols))
    return {row.symbol: row for row in rows}


def instruments() -> QuerySet[Instrument]:
    rows: QuerySet[Instrument] = Instrument.objects.select_related("default_source")
    return rows


def imports() -> QuerySet[BarImport]:
    return BarImport.objects.all()


def data_sources() -> QuerySet[DataSource]:
    return DataSource.objects.all()


def source_get(slug: str) -> DataSource:
    """Return the data source called `slug`.

    Raises:
        SourceUnknown: when there is none.
    """
    found = DataSource.objects.filter(slug=slug).first()
    if found is None:
        raise SourceUnknown(f"There is no data source {slug!r}.")
    return found


def series_get(
    *, symbol: str, source: str | None = None, timeframe: str = DAILY, adjustment: str | None = None
) -> BarSeries:
    """Return the series meant by these words, with its instrument and source.

    Without a source it is the instrument's default, or the only one that has such bars; without an adjustment it is
    the most adjusted one there is. A generated series exists for every symbol; until it was imported its row is not
    saved.

    Raises:
        SeriesUnknown: when there is none, or several sources have it and none is the default.
    """
    rows = list(
        BarSeries.objects.select_related("instrument__default_source", "source").filter(
            instrument__symbol=symbol, timeframe=timeframe
        )
    )
    default: str | None = None
    if rows:
        default = rows[0].instrument.default_source_slug
    elif source is None:
        default = Instrument.objects.filter(symbol=symbol).values_list("default_source__slug", flat=True).first()
    asked = SeriesAsked(symbol, source, timeframe, adjustment)
    found = series_chosen(asked, rows, default)
    if found is None:
        raise SeriesUnknown(_what_there_is(symbol, timeframe, source or default, adjustment))
    return found


def series_chosen(asked: SeriesAsked, rows: Sequence[BarSeries], default: str | None) -> BarSeries | None:
    """Return which of `rows`, all of the symbol and timeframe asked for, is meant; None when none is.

    Raises:
        SeriesUnknown: when several sources have it, none is the default, and nobody said which.
    """
    chosen = asked.source or default
    if chosen is None and rows:
        slugs = sorted({row.source.slug for row in rows})
        if len(slugs) > 1:
            raise SeriesUnknown(f"{asked.symbol} has {asked.timeframe} bars from {', '.join(slugs)}: say which source.")
        chosen = slugs[0]
    wanted = _PREFERRED if asked.adjustment is None else (asked.adjustment,)
    found = {row.adjustment: row for row in rows if row.source.slug == chosen}
    for name in wanted:
        if name in found:
            return found[name]
    if chosen == demo.SLUG and Adjustment.NONE.value in wanted and store.SAFE_SYMBOL.fullmatch(asked.symbol):
        return _unsaved_demo_series(asked.symbol, asked.timeframe)
    return None


def _series_named(names: Collection[SeriesName]) -> dict[SeriesName, BarSeries]:
    """Return those of the series that there are, as `series_get` finds them, with one query."""
    if not names:
        return {}
    rows = BarSeries.objects.select_related("instrument", "source").filter(
        instrument__symbol__in={name.symbol for name in names}, source__slug__in={name.source for name in names}
    )
    saved = {SeriesName(row.instrument.symbol, row.source.slug, row.timeframe, row.adjustment): row for row in rows}
    found = {}
    for name in names:
        if name in saved:
            found[name] = saved[name]
        elif _is_generated(name):
            found[name] = _unsaved_demo_series(name.symbol, name.timeframe)
    return found


def _is_generated(name: SeriesName) -> bool:
    return (
        name.source == demo.SLUG
        and name.adjustment == Adjustment.NONE
        and store.SAFE_SYMBOL.fullmatch(name.symbol) is not None
    )


def _unsaved_demo_series(symbol: str, timeframe: str) -> BarSeries:
    source = DataSource(
        slug=demo.SLUG,
        kind=SourceKind.DEMO.value,
        clock=SourceClock.LIVE.value,
        title=demo.DemoSource.title,
        generated=True,
    )
    instrument = Instrument(symbol=symbol, exchange=demo.EXCHANGE)
    return BarSeries(instrument=instrument, source=source, timeframe=timeframe, adjustment=Adjustment.NONE.value)


def _what_there_is(symbol: str, timeframe: str, source: str | None, adjustment: str | None) -> str:
    there = BarSeries.objects.filter(instrument__symbol=symbol).values_list("source__slug", "timeframe", "adjustment")
    known = ", ".join("/".join(row) for row in there) or "nothing"
    asked = "/".join(filter(None, (source, timeframe, adjustment)))
    return f"{symbol} has no series {asked}; there is {known}. Import bars for it."


def market_now(*, series: BarSeries, wall: datetime) -> datetime:
    """Return the present of the market that `series` records.

    A live source's present is the wall clock. A historical one stands still at the open of its last bar: that bar has
    just begun, the one before it is the newest that a decision may see.

    Raises:
        SeriesEmpty: for a historical series without bars, which has no present.
    """
    if series.source.clock == SourceClock.LIVE:
        return wall
    if series.last_at is None:
        raise SeriesEmpty(f"{series} has no bars.")
    return series.last_at


@dataclass(frozen=True)
class _Loaded:
    series: BarSeries
    bars: Bars
    now: datetime


def _load(series: BarSeries, *, wall: datetime, version: int | None, limit: int | None = None) -> _Loaded:
    """Return the bars of a series with the market's present; `limit` only spares work, it may be exceeded."""
    symbol, timeframe = series.instrument.symbol, series.timeframe
    series_id: UUID | None = None if series._state.adding else series.id
    if series.source.kind == SourceKind.DEMO:
        until = wall if version is None else demo.version_end(symbol, timeframe, version, wall=max(wall, utcnow()))
        bars = demo.bars(symbol, timeframe, wall=until, limit=limit)
        return _Loaded(series, replace(bars, series_id=series_id), wall)
    number = series.version if version is None else version
    if not 1 <= number <= series.version:
        raise SeriesUnknown(f"{series} has no version {number}; the present one is {series.version}.")
    folder = store.series_folder(
        source=series.source.slug, symbol=symbol, timeframe=timeframe, adjustment=series.adjustment
    )
    bars = Bars(
        symbol=symbol,
        source=series.source.slug,
        timeframe=timeframe,
        adjustment=series.adjustment,
        version=number,
        series_id=series_id,
        **store.read_version(folder, number),
    )
    if series.source.clock == SourceClock.HISTORICAL and len(bars):
        return _Loaded(series, bars, bars.opened_at(-1))
    return _Loaded(series, bars, wall)


def _complete(loaded: _Loaded) -> Bars:
    ends = bar_ends(loaded.bars.time, loaded.bars.timeframe, calendar(loaded.series.instrument.exchange))
    return loaded.bars.slice(0, int(np.searchsorted(ends, to_ns(loaded.now), side="right")))


def bars_load(
    *,
    symbol: str,
    source: str | None = None,
    timeframe: str = DAILY,
    adjustment: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int | None = None,
    version: int | None = None,
) -> Bars:
    """Return stored bars that opened from `start` to `end` (both included), the newest `limit` of them.

    Raises:
        SeriesUnknown: when there is no such series or version.
        SeriesEmpty: when it has no bars in this range.
    """
    series = series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
    spare = limit if start is None and end is None else None
    bars = _load(series, wall=utcnow(), version=version, limit=spare).bars
    if start is not None:
        bars = bars.since(start)
    if end is not None:
        bars = bars.until(end)
    if limit is not None:
        bars = bars.last(limit)
    if len(bars) == 0:
        raise SeriesEmpty(f"{series} has no bars in this range.")
    return bars


def complete_bars(
    *,
    symbol: str,
    source: str | None = None,
    timeframe: str,
    adjustment: str | None = None,
    wall: datetime,
    limit: int | None = None,
    version: int | None = None,
) -> Bars:
    """Return the bars that a decision at `wall` may see: those that have ended by the market's present.

    Raises:
        SeriesUnknown: when there is no such series or version.
        SeriesEmpty: when no bar is complete yet.
    """
    series = series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
    return series_complete(series=series, wall=wall, limit=limit, version=version)


def series_complete(*, series: BarSeries, wall: datetime, limit: int | None = None, version: int | None = None) -> Bars:
    """As `complete_bars`, for a series at hand.

    Raises:
        SeriesUnknown, SeriesEmpty: as there.
    """
    bars = _complete(_load(series, wall=wall, version=version, limit=limit))
    if limit is not None:
        bars = bars.last(limit)
    if len(bars) == 0:
        raise SeriesEmpty(f"{series} has no complete bar yet.")
    return bars


def next_price(
    *, symbol: str, source: str | None, timeframe: str, adjustment: str | None, after: datetime, wall: datetime
) -> PricePoint | None:
    """Return the first price at or after `after` at which one could have traded by the market's present.

    That is the open of the first bar that opens at or after `after`; the generated market quotes every minute of a
    session. None means: not yet.

    Raises:
        SeriesUnknown: when there is no such series.
    """
    series = series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
    if series.source.kind == SourceKind.DEMO:
        return demo.quote(symbol, at=after, wall=wall)
    loaded = _load(series, wall=wall, version=None)
    index = int(np.searchsorted(loaded.bars.time, to_ns(after), side="left"))
    if index == len(loaded.bars) or loaded.bars.time[index] > to_ns(loaded.now):
        return None
    return PricePoint(price_decimal(float(loaded.bars.open[index])), loaded.bars.opened_at(index))


def mark_price(
    *, symbol: str, source: str | None, timeframe: str, adjustment: str | None, wall: datetime
) -> PricePoint | None:
    """Return what one unit is worth at the market's present, or None when nothing is known.

    The newest price known, with its time: the last close, or the open of a bar that has opened since. An order filled
    at that open is then not valued by a price from before it. In the generated market, the price of the running minute.

    Raises:
        SeriesUnknown: when there is no such series.
    """
    return series_mark(series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment), wall)


def mark_prices(names: Collection[SeriesName], *, wall: datetime) -> dict[SeriesName, PricePoint]:
    """Return the `mark_price` of each series that has one, with one query for all of them."""
    marks = {}
    for name, series in _series_named(names).items():
        try:
            point = series_mark(series, wall)
        except SeriesUnknown:
            # It has a row and no bars yet.
            continue
        if point is not None:
            marks[name] = point
    return marks


def series_mark(series: BarSeries, wall: datetime) -> PricePoint | None:
    """As `mark_price`, for a series at hand.

    Raises:
        SeriesUnknown: when it has a row and no bars.
    """
    return series_standing(series, wall).point


@dataclass(frozen=True)
class Standing:
    """A series at one moment, read once.

    Attributes:
        bars: those that have ended, as `series_complete` gives them; there may be none.
        ended_at: when the newest of them ended.
        point: as `mark_price` gives it.
        now: the market's present.
    """

    bars: Bars
    ended_at: datetime | None
    point: PricePoint | None
    now: datetime


def series_standing(series: BarSeries, wall: datetime, *, limit: int = 1) -> Standing:
    """Return the price of a series and its complete bars; `limit` only spares work, there may be more.

    Raises:
        SeriesUnknown: when it has a row and no bars.
    """
    loaded = _load(series, wall=wall, version=None, limit=limit)
    opened = loaded.bars.until(loaded.now)
    known = calendar(series.instrument.exchange)
    # Bars do not overlap: of those that have begun all but the newest have ended.
    ends = bar_ends(opened.time[-2:], opened.timeframe, known)
    running = len(ends) > 0 and int(ends[-1]) > to_ns(loaded.now)
    bars = opened.slice(0, -1) if running else opened
    ended_at = from_ns(int(ends[len(ends) - 1 - running])) if len(bars) else None
    point: PricePoint | None = None
    if series.source.kind == SourceKind.DEMO:
        point = demo.latest(series.instrument.symbol, wall=wall)
    elif running:
        point = PricePoint(price_decimal(float(opened.open[-1])), opened.opened_at(-1))
    elif ended_at is not None:
        point = PricePoint(price_decimal(float(bars.close[-1])), ended_at)
    return Standing(bars, ended_at, point, loaded.now)


def bars_since(
    *, symbol: str, source: str | None, timeframe: str, adjustment: str | None, since: datetime, wall: datetime
) -> Bars:
    """Return the complete bars that opened at or after `since` by the market's present; there may be none.

    For resting limit orders, which fill when a bar's range crosses their limit.

    Raises:
        SeriesUnknown: when there is no such series.
    """
    series = series_get(symbol=symbol, source=source, timeframe=timeframe, adjustment=adjustment)
    return _complete(_load(series, wall=wall, version=None)).since(since)


def series_of_symbols(symbols: Sequence[str]) -> Mapping[str, list[BarSeries]]:
    """Return every series of `symbols`, by symbol, with one query."""
    result: dict[str, list[BarSeries]] = {symbol: [] for symbol in symbols}
    rows = BarSeries.objects.select_related("instrument", "source").filter(
        Q(instrument__symbol__in=list(symbols)) & Q(bars_count__gt=0)
    )
    for row in rows:
        result[row.instrument.symbol].append(row)
    return result


def source_contents() -> list[tuple[str, list[str], list[str], DataSource]]:
    """Return (slug, symbols, timeframes, row) of every source that the desk has rows of, with two queries."""
    rows = {row.pk: (row, set[str](), set[str]()) for row in DataSource.objects.all()}
    for source, symbol, timeframe in BarSeries.objects.values_list("source_id", "instrument__symbol", "timeframe"):
        if source in rows:
            rows[source][1].add(symbol)
            rows[source][2].add(timeframe)
    return [(row.slug, sorted(symbols), sorted(frames), row) for row, symbols, frames in rows.values()]
