"""The regimes that an adaptation has seen: told of each bar once, when it was the newest, and never told anew.

What is said of a bar is a row. Later bars, revised ones and a window that begins elsewhere change nothing of it: the next
bar goes on from there. A change is told and begins a round in the transaction that writes its row, and a row is written once.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from market.bars import Bars, from_ns, to_ns
from market.regimes import Detector, Regimes, Told, detect, detect_on, detector_clean
from market.selectors import series_complete, series_get
from optimize.adaptation import telling
from optimize.adaptation.changing import desk_actor
from optimize.adaptation.choices import AdaptationStatus, Trigger
from optimize.adaptation.locking import locked_with_schedule
from optimize.adaptation.models import AdaptationRound, LiveAdaptation, RegimePoint
from optimize.adaptation.next_bars import next_bar
from optimize.adaptation.rounds import round_start
from optimize.services.taking import live_params
from tradingsite.common.contracts.jobs import Skipped
from tradingsite.common.errors import AppError

# Of the newest bars; a learnt regime costs about a second of work for so many.
READ_AT_MOST = 5_000
COOLDOWN, NEWER_CHANGE = "COOLDOWN", "NEWER_CHANGE"
# Members of an adaptation's `regime` that are not the detector's.
OWN = ("symbol", "cooldown_bars")


@dataclass(frozen=True)
class Untriggered:
    """Why a change began no round."""

    code: str
    reason: str


def look(adaptation: LiveAdaptation, now: datetime) -> datetime | None:
    """Tell the regimes of the bars that are new, and return when to look again; None: when bars are imported.

    Raises:
        AppError: there are no bars to be had, or nobody can say by which ones the strategy decides.
    """
    if adaptation.regime is None:
        return None
    detector, live = detector_of(adaptation.regime), live_params(adaptation.strategy)
    series = series_get(
        symbol=adaptation.regime["symbol"], source=live.source, timeframe=live.timeframe, adjustment=live.adjustment
    )
    bars = series_complete(series=series, wall=now, limit=READ_AT_MOST)
    # Where another process was faster, there is less to tell or nothing any more.
    while not _told_on(adaptation, bars, detector):
        pass
    return next_bar(series, now)


def detector_of(regime: dict[str, Any]) -> Detector:
    """Return the detector that an adaptation's `regime` names."""
    return detector_clean({name: value for name, value in regime.items() if name not in OWN})


def _told_on(adaptation: LiveAdaptation, bars: Bars, detector: Detector) -> bool:
    """Tell what is new; False where somebody else has told some of it meanwhile, so that it has to be looked at again."""
    told = _told(adaptation, detector.dwell)
    if told is not None and int(bars.time[-1]) <= told.until:
        return True
    # Outside of the transaction: nobody waits for it.
    if told is None:
        points = _points(adaptation, detect(bars, detector), None)
        # More than a regime has to last, so that the next bar knows how long it has.
        points = points[-max(adaptation.trailing_window, detector.dwell + 1) :]
    else:
        points = _points(adaptation, detect_on(bars, detector, told), told.regime)
    with transaction.atomic():
        # The schedule as well: a round may begin.
        locked = locked_with_schedule(adaptation.pk)
        if locked.status != AdaptationStatus.ACTIVE:
            return True
        now_told = _told(locked, detector.dwell)
        if now_told != told:
            return False
        RegimePoint.objects.bulk_create(points, batch_size=1_000)
        if told is not None:
            _tell(locked, detector, [point for point in points if point.changed_from], bars)
    return True


def _told(adaptation: LiveAdaptation, dwell: int) -> Told | None:
    rows = RegimePoint.objects.filter(adaptation=adaptation).order_by("-bar_time")
    newest = list(rows.values_list("bar_time", "label")[: dwell + 1])
    if not newest:
        return None
    bar_time, label = newest[0]
    lasted = sum(1 for _ in itertools.takewhile(lambda row: row[1] == label, newest))
    return Told(to_ns(bar_time), label or None, lasted)


def _points(adaptation: LiveAdaptation, found: Regimes, before: str | None) -> list[RegimePoint]:
    points = []
    for index, (time, value) in enumerate(zip(found.time.tolist(), found.value.tolist(), strict=True)):
        label = found.label(index)
        points.append(
            RegimePoint(
                adaptation=adaptation,
                bar_time=from_ns(time),
                label=label or "",
                value=value if math.isfinite(value) else None,
                changed_from=before if before and label and label != before else "",
            )
        )
        before = label or before
    return points


def _tell(adaptation: LiveAdaptation, detector: Detector, changes: Sequence[RegimePoint], bars: Bars) -> None:
    """Tell each change; the newest one begins a round, unless something speaks against it."""
    for point in changes:
        newer = Untriggered(NEWER_CHANGE, "The regime has changed again since; that change counts.")
        untriggered = _begin(adaptation, point, bars) if point is changes[-1] else newer
        telling.tell_regime(
            adaptation,
            regime_type=detector.kind,
            value=point.label,
            before=point.changed_from,
            measure=point.value,
            symbol=bars.symbol,
            bar_time=point.bar_time,
            triggered=untriggered is None,
            code=None if untriggered is None else untriggered.code,
            reason=None if untriggered is None else untriggered.reason,
        )


def _begin(adaptation: LiveAdaptation, point: RegimePoint, bars: Bars) -> Untriggered | None:
    """Begin a round; return why none begins."""
    assert adaptation.regime is not None
    cooldown = adaptation.regime["cooldown_bars"]
    last = AdaptationRound.objects.filter(adaptation=adaptation).order_by("-created_at").first()
    if last is not None:
        since, until = to_ns(last.bar_time or last.created_at), to_ns(point.bar_time)
        passed = int(np.count_nonzero((bars.time > since) & (bars.time <= until)))
        if passed < cooldown:
            return Untriggered(COOLDOWN, f"{passed} of {cooldown} bars have passed since the last round began.")
    try:
        with transaction.atomic():
            begun = round_start(
                adaptation_id=adaptation.pk, trigger=Trigger.REGIME_CHANGE, actor=desk_actor(adaptation)
            )
    except AppError as error:
        return Untriggered(error.code, error.detail)
    return Untriggered(begun.code, begun.message) if isinstance(begun, Skipped) else None
