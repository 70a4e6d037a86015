"""From raw rows to clean bars: every cell checked, every fault named by line; pure, and the same for every door."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import COLUMNS, TimeArray, from_ns
from market.calendars import TradingCalendar
from market.moments import BadMoment, MomentReader
from market.problems import Problems
from market.store import SAFE_SYMBOL
from market.tables import Table
from market.timeframes import DAILY, length_ns

Columns = dict[str, NDArray[Any]]

HIGHEST_PRICE = 1e12
DATES_SHOWN = 100
_JUMP = 2.0


@dataclass
class CleanSeries:
    """The bars of one symbol, oldest first, and the line that each came from."""

    columns: Columns
    lines: NDArray[np.int64]


@dataclass
class Cleaned:
    series: dict[str, CleanSeries] = field(default_factory=dict)
    rows: int = 0
    filtered: int = 0
    duplicates: int = 0
    rounded: int = 0


@dataclass(frozen=True)
class Rules:
    """How to read a table.

    Attributes:
        only: the symbols to take; empty takes all. The one symbol of a file without a symbol column.
        readers: how to read times, by symbol (instruments may trade on different exchanges).
        adjust: multiply prices by adj_close / close.
    """

    only: Collection[str]
    readers: Callable[[str], MomentReader]
    adjust: bool


def clean(table: Table, rules: Rules, problems: Problems) -> Cleaned:
    """Return the bars of each symbol in `table`; whatever is wrong goes to `problems` and its row is left out."""
    result = Cleaned(rows=len(table))
    named = "symbol" in table.cells
    if not named and len(rules.only) != 1 and len(table):
        problems.add(
            None, "symbol", "missing_column", "There is no symbol column: say which one symbol the file is of."
        )
        return result
    if rules.adjust and "adj_close" not in table.cells and len(table):
        problems.add(None, "adj_close", "missing_column", "There is no adjusted close to adjust from.")
        return result
    rows: dict[str, dict[int, tuple[float, ...]]] = {}
    lines: dict[str, dict[int, int]] = {}
    readers: dict[str, MomentReader] = {}
    alone = next(iter(rules.only), "")
    for index, line in enumerate(table.lines):
        symbol = str(table.cells["symbol"][index] or "") if named else alone
        if not SAFE_SYMBOL.fullmatch(symbol):
            detail = f"{symbol[:40]!r} is no symbol: capital letters, digits, dots and dashes, at most 15."
            problems.add(line, "symbol", "invalid_symbol", detail)
            continue
        if rules.only and symbol not in rules.only:
            result.filtered += 1
            continue
        if symbol not in readers:
            readers[symbol] = rules.readers(symbol)
            rows[symbol], lines[symbol] = {}, {}
        figures = _row(table.cells, index, line, rules.adjust, problems, result)
        try:
            opened = readers[symbol].read(table.cells["time"][index])
        except BadMoment as bad:
            problems.add(line, "time", bad.code, bad.detail)
            continue
        if figures is None:
            continue
        known = rows[symbol].get(opened)
        if known is None:
            rows[symbol][opened] = figures
            lines[symbol][opened] = line
        elif known == figures:
            result.duplicates += 1
        else:
            first = lines[symbol][opened]
            detail = f"{symbol} at {table.cells['time'][index]} has other figures on line {first}."
            problems.add(line, "time", "conflicting_duplicate", detail)
    for symbol in sorted(rows):
        if rows[symbol]:
            result.series[symbol] = _arrays(rows[symbol], lines[symbol])
    missing = sorted(set(rules.only) - set(rows))
    if missing and len(table):
        problems.add(None, "symbol", "symbol_missing", f"The file has no rows of {', '.join(missing)}.")
    if not len(table) and not problems:
        problems.add(None, "", "no_rows", "The file has a header and no rows.")
    return result


def _arrays(rows: Mapping[int, tuple[float, ...]], lines: Mapping[int, int]) -> CleanSeries:
    times = sorted(rows)
    figures = np.array([rows[time] for time in times], dtype=np.float64)
    columns: Columns = {"time": np.array(times, dtype=np.int64)}
    for position, name in enumerate(COLUMNS[1:]):
        columns[name] = np.ascontiguousarray(figures[:, position])
    return CleanSeries(columns, np.array([lines[time] for time in times], dtype=np.int64))


def _row(
    cells: Mapping[str, list[Any]], index: int, line: int, adjust: bool, problems: Problems, result: Cleaned
) -> tuple[float, ...] | None:
    before = problems.total
    prices: dict[str, float] = {}
    for name in ("open", "high", "low", "close", *(("adj_close",) if adjust else ())):
        number = _number(cells[name][index], line, name, problems)
        if number is None:
            continue
        if number <= 0:
            problems.add(line, name, "not_positive", f"{name} is {number:g}; a price must be above zero.")
        elif number > HIGHEST_PRICE:
            problems.add(line, name, "out_of_range", f"{name} is {number:g}, more than a price can be.")
        prices[name] = number
    volume = _number(cells["volume"][index], line, "volume", problems) if "volume" in cells else 0.0
    if volume is not None and volume < 0:
        problems.add(line, "volume", "negative", f"volume is {volume:g}; it cannot be below zero.")
    if problems.total != before or volume is None:
        return None
    opened, high, low, close = (prices[name] for name in ("open", "high", "low", "close"))
    # Vendors round each figure by itself, so open or close may stand out by their last digit.
    slack = max(5e-5, 1e-6 * high)
    if high < low - slack:
        problems.add(line, "high", "high_below_low", f"high {high:g} is below low {low:g}.")
        return None
    for name, value in (("open", opened), ("close", close)):
        if not low - slack <= value <= high + slack:
            problems.add(line, name, "outside_range", f"{name} {value:g} lies outside low {low:g} to high {high:g}.")
    if problems.total != before:
        return None
    top, bottom = max(opened, high, low, close), min(opened, high, low, close)
    if (top, bottom) != (high, low):
        result.rounded += 1
    factor = prices["adj_close"] / close if adjust else 1.0
    return opened * factor, top * factor, bottom * factor, close * factor, volume


def _number(cell: object, line: int, name: str, problems: Problems) -> float | None:
    if cell is None or cell == "":
        problems.add(line, name, "missing", f"There is no {name}.")
        return None
    number: float | None = None
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        number = float(cell)
    elif isinstance(cell, str) and "_" not in cell:
        try:
            number = float(cell)
        except ValueError:
            number = None
    if number is None:
        problems.add(line, name, "not_a_number", f"{name} is {str(cell)[:40]!r}, which is no number.")
    elif not math.isfinite(number):
        problems.add(line, name, "not_finite", f"{name} is {cell}, which is no price.")
        return None
    return number


def gaps(times: TimeArray, timeframe: str, calendar: TradingCalendar) -> dict[str, Any] | None:
    """Return which sessions between the first and the last bar lack bars, or None when none does.

    Returns:
        `sessions`: number of sessions without any bar; `dates`: the first DATES_SHOWN of them; for intraday bars also
        `short_sessions`: number of sessions with some bars missing, and `bars`: how many bars are missing in those.
    """
    if len(times) < 2:
        return None
    place = np.searchsorted(calendar.opens, times, side="right") - 1
    first, last = int(place[0]), int(place[-1])
    counts = np.bincount(place - first, minlength=last - first + 1)
    empty = np.flatnonzero(counts == 0) + first
    found: dict[str, Any] = {}
    if len(empty):
        found["sessions"] = len(empty)
        found["dates"] = [_day(int(calendar.days[index])) for index in empty[:DATES_SHOWN]]
    if timeframe != DAILY and last - first > 1:
        # The first and the last session may have been cut by the file's own range.
        inner = slice(first + 1, last)
        expected = -(-(calendar.closes[inner] - calendar.opens[inner]) // length_ns(timeframe))
        lack = np.where(counts[1:-1] > 0, expected - counts[1:-1], 0)
        if np.any(lack > 0):
            found["short_sessions"] = int(np.count_nonzero(lack > 0))
            found["bars"] = int(lack[lack > 0].sum())
    return found or None


def jumps(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the dates at which the close more than doubled or halved: often a split that was not adjusted for."""
    ratio = columns["close"][1:] / columns["close"][:-1]
    where = np.flatnonzero((ratio > _JUMP) | (ratio < 1.0 / _JUMP)) + 1
    return [from_ns(int(columns["time"][index])).date().isoformat() for index in where[:DATES_SHOWN]]


def _day(number: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + number).isoformat()
