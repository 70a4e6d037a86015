"""The market as rules look at it: one view per series, read at most once a round, whatever the number of rules."""

import math
import sys
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from market import selectors as market
from market.bars import Bars
from market.calendars import calendar
from market.choices import SourceClock
from market.errors import SeriesUnknown
from market.indicators import indicator_get
from market.models import BarSeries
from market.prices import price_decimal
from market.selectors import PricePoint, SeriesAsked, Standing
from market.watching import series_asked
from safety.alerting.kinds import PRICE
from safety.alerting.observations import Gap
from tradingsite.common.errors import AppError

# What an indicator is computed on beyond its warm-up: enough for averages that never quite forget.
SETTLING = 400
_LARGEST = 1e17


class Missing(Exception):
    """Something that a rule needs is not there; carries the gap that its state will show."""

    def __init__(self, code: str, detail: str) -> None:
        self.gap = Gap(code, detail)
        super().__init__(detail)


class SeriesView:
    """One series at one moment, read once for all rules, unless one of them looks further back than those before it."""

    def __init__(self, series: BarSeries, wall: datetime) -> None:
        self.series = series
        self._wall = wall
        self._read = 0
        self._standing: Standing | None = None
        self._gap: Gap | None = None
        self._age: int | None = None
        self._outputs: dict[tuple[Any, ...], float] = {}

    def _at_hand(self, bars: int) -> Standing:
        """Return what there is, with so many bars of it if there are as many.

        Raises:
            Missing
        """
        if self._standing is None or bars > self._read:
            # Stored bars are all read at once. Generated ones cost their making: a power of two, so that few rules have
            # them made anew.
            limit = max(64, 1 << bars.bit_length())
            self._read = limit if self.series.source.generated else sys.maxsize
            try:
                self._standing = market.series_standing(self.series, self._wall, limit=limit)
            except AppError as error:
                self._gap = Gap(error.code, error.detail)
        if self._gap is not None:
            raise Missing(self._gap.code, self._gap.detail)
        assert self._standing is not None
        return self._standing

    def point(self) -> PricePoint:
        """Return the newest price with its time.

        Raises:
            Missing
        """
        point = self._at_hand(1).point
        if point is None:
            raise Missing("NO_PRICE", f"{self.series} has no price yet.")
        return point

    def bars(self, least: int, more: int = 0) -> Bars:
        """Return at least `least` complete bars, the newest last, and up to `more` before them where there are.

        Raises:
            Missing
        """
        found = self._at_hand(least + more).bars.last(least + more)
        if len(found) < least:
            raise Missing("TOO_FEW_BARS", f"{self.series} has {len(found)} complete bars; {least} are needed.")
        return found

    def close(self, back: int) -> float:
        """Return the close of the newest complete bar, or of the one so many bars before it.

        Raises:
            Missing
        """
        found = self._at_hand(back + 1).bars
        if len(found) <= back:
            raise Missing("TOO_FEW_BARS", f"{self.series} has {len(found)} complete bars; {back + 1} are needed.")
        return float(found.close[-1 - back])

    def bar_end(self) -> datetime:
        """Return when the newest complete bar ended.

        Raises:
            Missing
        """
        ended_at = self._at_hand(1).ended_at
        if ended_at is None:
            raise Missing("TOO_FEW_BARS", f"{self.series} has no complete bar yet.")
        return ended_at

    def age_s(self) -> int:
        """Return how many whole seconds of open market ago the newest price was made.

        Raises:
            Missing
        """
        if self._age is None:
            known = calendar(self.series.instrument.exchange)
            self._age = known.open_seconds(self.point().time, self._at_hand(1).now)
        return self._age

    @property
    def standing_still(self) -> bool:
        """Whether this market's present is its last bar, so that nothing in it grows old."""
        return self.series.source.clock == SourceClock.HISTORICAL

    def output(self, operand: Mapping[str, Any]) -> tuple[float, datetime]:
        """Return the newest value of an indicator's output, or the close, and the end of the bar that it is of.

        Raises:
            Missing
        """
        if operand["indicator"] == PRICE:
            return _finite(self.close(0), "the close"), self.bar_end()
        indicator, params = indicator_get(operand["indicator"]), operand["params"]
        key = (operand["indicator"], *params.items())
        if (*key, operand["output"]) not in self._outputs:
            bars = self.bars(indicator.warmup(params) + 1, SETTLING)
            for name, array in indicator.compute(bars, params).items():
                self._outputs[(*key, name)] = float(array[-1])
        return _finite(self._outputs[(*key, operand["output"])], operand["indicator"]), self.bar_end()


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise Missing("NO_VALUE", f"{what} has no value at the newest bar: it is warming up, or a bar has a gap.")
    return value


def figure(value: float) -> Decimal:
    """Return a computed figure as the exact decimal that is shown and compared.

    Raises:
        Missing: for one that is too large to be kept.
    """
    if not math.isfinite(value) or abs(value) >= _LARGEST:
        raise Missing("NOT_COMPUTABLE", "The value is too large to be kept.")
    return price_decimal(value)


def series_views(asked: Collection[SeriesAsked], *, wall: datetime) -> dict[SeriesAsked, SeriesView | Gap]:
    """Return a view of each series, with two queries for all of them."""
    views: dict[SeriesAsked, SeriesView | Gap] = {}
    shared: dict[Any, SeriesView] = {}
    for each, found in series_asked(asked).items() if asked else ():
        if isinstance(found, SeriesUnknown):
            views[each] = Gap(found.code, found.detail)
        else:
            name = (each.symbol, found.source.slug, found.timeframe, found.adjustment)
            views[each] = shared.setdefault(name, SeriesView(found, wall))
    return views
