"""How what agents advised turned out, filled in once the bars have come."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from django.db import transaction
from django.db.models import F, Q

from agents.models import AgentRecommendation
from agents.performance import HORIZONS
from market.bars import Bars, to_ns
from market.selectors import bars_since
from tradingsite.common.errors import NotFound

# So many in one round, and none of them again within this time.
ROUND = 500
AGAIN = timedelta(minutes=10)
_SERIES = ("source", "symbol", "timeframe", "adjustment")


def returns_fill(*, wall: datetime) -> int:
    """Fill in the later returns whose bars are complete by now, and return how many recommendations were changed.

    Any number of processes may do it at once, and a second time changes nothing. A series that is gone leaves its
    recommendations unjudged.
    """
    changed: list[AgentRecommendation] = []
    rows = _taken(wall)
    for name, group in groupby(rows, key=lambda row: tuple(getattr(row, field) for field in _SERIES)):
        advised = list(group)
        named = dict(zip(_SERIES, name, strict=True))
        try:
            bars = bars_since(**named, since=min(row.bar_time for row in advised), wall=wall)
        except NotFound:
            continue
        changed += [row for row in advised if _fill(row, later_returns(bars, row.bar_time))]
    AgentRecommendation.objects.bulk_update(changed, [f"return_{count}" for count in HORIZONS], batch_size=100)
    return len(changed)


def later_returns(bars: Bars, bar_time: datetime) -> dict[int, float]:
    """Return, by the number of bars, what a long position gained: in at the open after `bar_time`'s bar, out at a close.

    A number whose bar is not there yet, or whose prices make no sense, is left out.
    """
    first = int(np.searchsorted(bars.time, to_ns(bar_time), side="right"))
    found = {}
    for count in HORIZONS:
        last = first + count - 1
        if last < len(bars):
            entry, leave = float(bars.open[first]), float(bars.close[last])
            if entry > 0 and math.isfinite(entry) and math.isfinite(leave):
                found[count] = leave / entry - 1
    return found


@transaction.atomic
def _taken(wall: datetime) -> list[AgentRecommendation]:
    """Return the recommendations to look at in this round, series by series; no other process takes them meanwhile."""
    waiting = AgentRecommendation.objects.filter(
        Q(looked_at__isnull=True) | Q(looked_at__lt=wall - AGAIN), return_20__isnull=True
    ).exclude(source="")
    oldest = waiting.order_by(F("looked_at").asc(nulls_first=True))
    keys = list(oldest.select_for_update(skip_locked=True).values_list("pk", flat=True)[:ROUND])
    rows = AgentRecommendation.objects.filter(pk__in=keys)
    rows.update(looked_at=wall)
    return list(rows.order_by(*_SERIES))


def _fill(row: AgentRecommendation, found: Mapping[int, float]) -> bool:
    """Set what is found and was not known; an earlier figure stays, whatever became of the series since."""
    new = {count: value for count, value in found.items() if getattr(row, f"return_{count}") is None}
    for count, value in new.items():
        setattr(row, f"return_{count}", value)
    return bool(new)
