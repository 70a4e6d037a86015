"""The random engine of the generated market: sessions, regimes and minutes of one symbol, without any bookkeeping.

Randomness comes from Philox's raw 64-bit output, whose stream NumPy guarantees between releases (its `normal` is not).
Each session draws from a stream that belongs to (symbol, date) alone.
"""

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray, TimeArray, to_ns
from market.calendars import TradingCalendar, calendar
from tradingsite.common.clock import utcnow

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
    deviates: FloatArray = (total - 6 * 65_535) / 65_536.0
    return deviates


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
    share: FloatArray = weight / weight.sum()
    return share


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
    lengths: NDArray[np.int64] = np.minimum((last - first) // _MINUTE_NS, _MINUTES)
    return lengths


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
    made = _make_path(symbol, max(last_day, last_day_opened(calendar(EXCHANGE), to_ns(utcnow()))))
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
    daily: tuple[FloatArray, ...]
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
def session_minutes(symbol: str, day: int, index: int) -> tuple[TimeArray, FloatArray]:
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


def last_day_opened(known: TradingCalendar, now: int) -> int:
    """Return the day of the newest session that has opened by `now`."""
    index = int(np.searchsorted(known.opens, now, side="right")) - 1
    return int(known.days[max(index, 0)])
