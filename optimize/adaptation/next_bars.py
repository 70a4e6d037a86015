"""When the next bar of a series is complete."""

from datetime import datetime

from market.bars import from_ns, to_ns
from market.calendars import calendar
from market.choices import SourceClock
from market.models import BarSeries
from market.timeframes import next_end


def next_bar(series: BarSeries, now: datetime) -> datetime | None:
    """Return when a bar ends by the clock; None where only an import brings bars: a historical market stands still."""
    if series.source.clock != SourceClock.LIVE:
        return None
    return from_ns(next_end(to_ns(now), series.timeframe, calendar(series.instrument.exchange)))
