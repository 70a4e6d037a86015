"""A generated market: deterministic prices for any symbol, minute by minute, from 2015 to the present moment.

The prices are invented, and everything that shows them says "generated". For each symbol a Markov chain moves between
four regimes (bull, bear, sideways, high volatility); each session draws its minutes from a random stream that belongs
to (symbol, date) alone. So a bar never depends on when it is asked for: later bars are added, earlier ones stay. Daily
and longer intraday bars are aggregated from the same minutes and agree with them to the cent.

Randomness comes from Philox's raw 64-bit output, whose stream NumPy guarantees between releases (its `normal` is not).
"""

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray, TimeArray, from_ns, to_ns
from market.calendars import TradingCalendar, calendar
from market.choices import SourceClock, SourceKind
from market.errors import SeriesUnknown
from market.sources.base import Fetched, PricePoint, SymbolFacts
from market.store import SAFE_SYMBOL
from market.timeframes import DAILY, LENGTH_S, length_ns
from tradingsite.common.clock import utcnow

SLUG = "demo"
EXCHANGE = "XNYS"
FIRST_DAY = date(2015, 1, 1)
GENERATOR = 1  # raise it when a bar would come out otherwise, so that stored runs can tell

_MINUTE_NS = 60_000_000_000
_MINUTES = 390
_DRAWS = 3  # raw words per normal deviate: 12 uniforms of 16 bits
_EXTRA = 8
_PATHS_KEPT = 128


@dataclass(frozen=True)
class Regime:
    """Daily figures of one state of the market; `stay` is the chance that the next session is in it too."""

    slug: str
    drift: float
    volatility: float
    stay: float


REGIMES = (
    Regime("bull", 0.0011, 0.009, 0.985),
    Regime("bear", -0.0013, 0.015, 0.975),
    Regime("sideways", 0.0, 0.007, 0.980),
    Regime("high_vol", 0.0002, 0.030, 0.940),
)
_PULL = 0.002  # share of the distance to the long-term level that a session takes back: prices stay printable
_GROWTH = 0.0002
_GAP_SHARE = 0.4


@dataclass(frozen=True)
class Path:
    """All sessions of one symbol up to some day.

    Attributes:
        days: days since 1970 of each session; first, last: its opening and closing time in nanoseconds UTC.
        log_open, drift, sigma: log price at the open, log drift per session, volatility per session.
        regime: index into REGIMES.
    """

    days: TimeArray
    first: TimeArray
    last: TimeArray
    log_open: FloatArray
    drift: FloatArray
    sigma: FloatArray
    regime: NDArray[np.int64]
    daily: tuple[FloatArray, ...]


def _key(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest(), "big")


def _normals(words: NDArray[np.uint64]) -> FloatArray:
    """Return standard normal deviates as the sum of twelve uniforms (Irwin-Hall), in whole numbers up to the last step."""
    parts = words.astype("<u8", copy=False).view("<u2").reshape(*words.shape[:-1], -1, 4 * _DRAWS)
    total = parts.sum(axis=-1, dtype=np.int64)
    return (total - 6 * 65_535) / 65_536.0


def _unit(word: int) -> float:
    return (int(word) >> 11) / float(1 << 53)


def _session_words(symbol_key: int, day: int) -> NDArray[np.uint64]:
    # The counter's upper words name the day; the stream of one day is far shorter than the room below.
    stream = np.random.Philox(key=symbol_key, counter=day << 128)
    words: NDArray[np.uint64] = stream.random_raw(_EXTRA + 2 * _DRAWS * _MINUTES)
    return words


def _shape() -> FloatArray:
    """Share of a session's variance in each of its minutes: more at the open and before the close."""
    position = np.linspace(-1.0, 1.0, _MINUTES)
    weight = 0.6 + 1.2 * position**2
    return weight / weight.sum()


_VARIANCE = _shape()


def _minutes(path_part: "Path", words: NDArray[np.uint64], symbol_key: int) -> tuple[FloatArray, ...]:
    """Return open, high, low, close, volume of every minute, one row per session, rounded to cents and whole units.

    Minutes behind an early close are in the arrays too; callers cut them off.
    """
    body = words[:, _EXTRA:]
    noise = _normals(body[:, : _DRAWS * _MINUTES])
    wicks = np.abs(_normals(body[:, _DRAWS * _MINUTES :]))
    spread = path_part.sigma[:, None] * np.sqrt(_VARIANCE)[None, :]
    moves = spread * noise + path_part.drift[:, None] / _MINUTES
    ends = path_part.log_open[:, None] + np.cumsum(moves, axis=1)
    starts = np.concatenate([path_part.log_open[:, None], ends[:, :-1]], axis=1)
    opened, closed = np.exp(starts), np.exp(ends)
    high = np.maximum(opened, closed) * (1.0 + 0.4 * spread * wicks)
    low = np.minimum(opened, closed) * (1.0 - 0.4 * spread * np.roll(wicks, 7, axis=1))
    typical = 2_000 + symbol_key % 20_000
    volume = typical * _VARIANCE[None, :] * _MINUTES * (0.5 + wicks) * (path_part.sigma[:, None] / 0.01)
    cents = [np.maximum(np.round(array, 2), 0.01) for array in (opened, high, low, closed)]
    return (*cents, np.floor(volume))


def _cut(first: TimeArray, last: TimeArray) -> NDArray[np.int64]:
    return np.minimum((last - first) // _MINUTE_NS, _MINUTES)


_paths: OrderedDict[str, Path] = OrderedDict()
_paths_lock = threading.Lock()


def path(symbol: str, last_day: int) -> Path:
    """Return the sessions of `symbol` up to the one of day `last_day` (days since 1970) at least.

    A longer path begins with the same sessions, so the longest one made so far serves every question.
    """
    with _paths_lock:
        kept = _paths.get(symbol)
        if kept is not None and len(kept.days) and kept.days[-1] >= last_day:
            _paths.move_to_end(symbol)
            return kept
    made = _make_path(symbol, max(last_day, _last_day(calendar(EXCHANGE), to_ns(utcnow()))))
    with _paths_lock:
        _paths[symbol] = made
        while len(_paths) > _PATHS_KEPT:
            _paths.popitem(last=False)
    return made


def _make_path(symbol: str, last_day: int) -> Path:
    known = calendar(EXCHANGE)
    begin = int(np.searchsorted(known.days, (FIRST_DAY - date(1970, 1, 1)).days))
    end = int(np.searchsorted(known.days, last_day, side="right"))
    days, first, last = known.days[begin:end], known.opens[begin:end], known.closes[begin:end]
    count = len(days)
    symbol_key = _key("desk", GENERATOR, symbol)
    base = math.log(15.0 + (symbol_key >> 64) % 30_000 / 100.0)
    scale = 0.8 + (symbol_key >> 32) % 800 / 1000.0
    words = np.empty((count, _EXTRA + 2 * _DRAWS * _MINUTES), dtype=np.uint64)
    for index in range(count):
        words[index] = _session_words(symbol_key, int(days[index]))
    regime = _regimes(symbol_key, words[:, 0], words[:, 1])
    sigma = np.array([REGIMES[i].volatility for i in regime]) * scale if count else np.empty(0)
    pace = np.array([REGIMES[i].drift for i in regime]) if count else np.empty(0)
    gaps = _GAP_SHARE * sigma * _normals(words[:, 2 : 2 + _DRAWS])[:, 0] if count else np.empty(0)
    lengths = _cut(first, last)
    noise = _normals(words[:, _EXTRA : _EXTRA + _DRAWS * _MINUTES]) * np.sqrt(_VARIANCE)[None, :]
    inside = np.arange(_MINUTES)[None, :] < lengths[:, None]
    session_noise = sigma * np.where(inside, noise, 0.0).sum(axis=1)
    log_open, drift = np.empty(count), np.empty(count)
    level = base
    for index in range(count):
        target = base + _GROWTH * index
        log_open[index] = level + gaps[index]
        drift[index] = pace[index] + _PULL * (target - level)
        level = log_open[index] + drift[index] * lengths[index] / _MINUTES + session_noise[index]
    partial = Path(days, first, last, log_open, drift, sigma, regime, ())
    opened, high, low, closed, volume = _minutes(partial, words, symbol_key)
    if count:
        daily = (
            opened[:, 0],
            np.where(inside, high, -np.inf).max(axis=1),
            np.where(inside, low, np.inf).min(axis=1),
            closed[np.arange(count), lengths - 1],
            np.where(inside, volume, 0.0).sum(axis=1),
        )
    else:
        daily = tuple(np.empty(0) for _ in range(5))
    return Path(days, first, last, log_open, drift, sigma, regime, daily)


def _regimes(symbol_key: int, leave: NDArray[np.uint64], where: NDArray[np.uint64]) -> NDArray[np.int64]:
    state = symbol_key % len(REGIMES)
    result = np.empty(len(leave), dtype=np.int64)
    for index in range(len(leave)):
        if _unit(leave[index]) >= REGIMES[state].stay:
            state = (state + 1 + int(_unit(where[index]) * (len(REGIMES) - 1))) % len(REGIMES)
        result[index] = state
    return result


@functools.lru_cache(maxsize=512)
def _session_minutes(symbol: str, day: int, index: int) -> tuple[TimeArray, FloatArray]:
    """Return the minutes of session `index`, which is that of `day`: open times and a (5, n) array of figures."""
    whole = path(symbol, day)
    part = slice(index, index + 1)
    one = Path(
        whole.days[part], whole.first[part], whole.last[part], whole.log_open[part], whole.drift[part],
        whole.sigma[part], whole.regime[part], (),
    )  # fmt: skip
    symbol_key = _key("desk", GENERATOR, symbol)
    figures = _minutes(one, _session_words(symbol_key, int(one.days[0]))[None, :], symbol_key)
    count = int(_cut(one.first, one.last)[0])
    times = one.first[0] + np.arange(count, dtype=np.int64) * _MINUTE_NS
    return times, np.stack([array[0, :count] for array in figures])


def _check(symbol: str, timeframe: str) -> None:
    if not SAFE_SYMBOL.fullmatch(symbol):
        raise SeriesUnknown(f"{symbol!r} cannot be a symbol: capital letters, digits, dots and dashes, at most 15.")
    if timeframe not in LENGTH_S:
        raise SeriesUnknown(f"The generated market has the timeframes {', '.join(LENGTH_S)}.")


def _last_day(known: TradingCalendar, now: int) -> int:
    """Return the day of the newest session that has opened by `now`."""
    index = int(np.searchsorted(known.opens, now, side="right")) - 1
    return int(known.days[max(index, 0)])


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
    last_day = _last_day(known, now)
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
        session_times, session = _aggregate(*_session_minutes(symbol, int(whole.days[index]), index), length)
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
    whole = path(symbol, _last_day(calendar(EXCHANGE), to_ns(wall)))
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
    last_day = _last_day(known, now)
    whole = path(symbol, last_day)
    index = int(np.searchsorted(whole.last, wanted, side="right"))
    while index < len(whole.days):
        times, figures = _session_minutes(symbol, int(whole.days[index]), index)
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
    last_day = _last_day(known, now)
    whole = path(symbol, last_day)
    index = int(np.searchsorted(whole.first, now, side="right")) - 1
    if index < 0:
        return None
    if now >= whole.last[index]:
        return PricePoint(_cents(whole.daily[3][index]), from_ns(int(whole.last[index])))
    times, figures = _session_minutes(symbol, int(whole.days[index]), index)
    minute = int(np.searchsorted(times, now, side="right")) - 1
    return PricePoint(_cents(figures[0, minute]), from_ns(int(times[minute])))


def regime_at(symbol: str, moment: datetime) -> str:
    """Return the regime that the generator was in during the newest session that had opened at `moment`."""
    now = to_ns(moment)
    whole = path(symbol, _last_day(calendar(EXCHANGE), now))
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
