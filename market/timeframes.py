"""Lengths of bars, and when a bar is complete."""

import numpy as np

from market.bars import TimeArray
from market.calendars import TradingCalendar

SECOND_NS = 1_000_000_000
LENGTH_S: dict[str, int] = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}
DAILY = "1d"


def length_ns(timeframe: str) -> int:
    """Return the nominal length of a bar in nanoseconds.

    Raises:
        KeyError: for an unknown timeframe.
    """
    return LENGTH_S[timeframe] * SECOND_NS


def bar_ends(times: TimeArray, timeframe: str, calendar: TradingCalendar) -> TimeArray:
    """Return when each bar ends, in nanoseconds UTC.

    A daily bar ends with its session; an intraday bar after its length, or with its session where that is earlier
    (the last hour of a 6.5-hour session). A bar outside every session ends after its nominal length.
    """
    nominal = times + length_ns(timeframe)
    if len(times) == 0:
        return nominal
    index = np.searchsorted(calendar.opens, times, side="right") - 1
    known = np.maximum(index, 0)
    closes = calendar.closes[known]
    inside = (index >= 0) & (times < closes)
    if timeframe == DAILY:
        return np.where(inside, closes, nominal)
    return np.where(inside, np.minimum(nominal, closes), nominal)


def next_end(moment: int, timeframe: str, calendar: TradingCalendar) -> int:
    """Return when the first bar ends that has not ended at `moment`; both in nanoseconds UTC.

    Bars are counted from a session's open. Beyond the last session known it is the nominal length later.
    """
    length = length_ns(timeframe)
    index = int(np.searchsorted(calendar.closes, moment, side="right"))
    if index == len(calendar.closes):
        return moment + length
    opened, closed = int(calendar.opens[index]), int(calendar.closes[index])
    if timeframe == DAILY:
        return closed
    return min(opened + (max(moment - opened, 0) // length + 1) * length, closed)


def bars_per_year(timeframe: str, calendar: TradingCalendar) -> float:
    """Return how many bars a year has: 252 for daily XNYS, 365 for daily 24/7, sessions times bars per session intraday."""
    sessions = 365.0 if calendar.code == "24/7" else float(round(calendar.sessions_per_year()))
    if timeframe == DAILY:
        return sessions
    typical = float(np.median(calendar.closes - calendar.opens))
    return sessions * float(np.ceil(typical / length_ns(timeframe)))
