"""What was promised of new parameters, held against the bars that came after them.

Of an applied change a broken promise takes it back: at once, or after the thaw where nothing may be changed now. Of a proposal
that waits, or was only suggested, it is written down what it would have made.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from market.bars import Bars, from_ns, to_ns
from market.calendars import calendar
from market.models import BarSeries
from market.selectors import series_complete, series_get
from market.timeframes import bars_per_year, length_ns
from optimize.adaptation.changing import desk_actor, take_back
from optimize.adaptation.choices import AdaptationStatus, EventStatus, Trigger, WatchStatus
from optimize.adaptation.errors import AdaptationFrozen, ParametersChanged
from optimize.adaptation.locking import locked
from optimize.adaptation.models import AdaptationEvent, AdaptationWatch, LiveAdaptation
from optimize.adaptation.next_bars import next_bar
from optimize.adaptation.recording import SERIES, event_add
from optimize.data import HISTORY
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import AppError
from workflows.strategies import StrategyType, strategy_types

# A broken promise that nothing may be done about is looked at so often.
THAW_AFTER = timedelta(seconds=5)


def look(adaptation: LiveAdaptation, now: datetime) -> datetime | None:
    """Judge what is watched by the bars that are new, and return when to look again; None: when bars are imported.

    Raises:
        AppError: there are no bars to be had.
    """
    wanted: list[datetime] = []
    rows = AdaptationWatch.objects.filter(adaptation=adaptation, status=WatchStatus.WATCHING).order_by("event_number")
    for watch in rows:
        again = _look(adaptation, watch, now)
        if again is not None:
            wanted.append(again)
    return min(wanted, default=None)


def _look(adaptation: LiveAdaptation, watch: AdaptationWatch, now: datetime) -> datetime | None:
    if watch.applied and watch.figures.get("breach"):
        # It was broken while nothing could be done: what came after changes nothing of that.
        return _write(watch, watch.figures, bars=watch.bars, seen_until=watch.seen_until, now=now)
    kind = strategy_types.get(adaptation.strategy.strategy_type)
    series = _series(watch)
    judged = _judged(adaptation, watch, kind, series, now)
    again = min((moment for each in series if (moment := next_bar(each, now))), default=None)
    if judged is None:
        return again
    figures, bars, seen_until = judged
    thaw = _write(watch, figures, bars=bars, seen_until=seen_until, now=now)
    return thaw or again


def _series(watch: AdaptationWatch) -> list[BarSeries]:
    """Return the series that the promise was made on."""
    evidence = AdaptationEvent.objects.get(adaptation_id=watch.adaptation_id, number=watch.event_number).evidence
    read = evidence[SERIES]
    return [
        series_get(symbol=symbol, source=read["source"], timeframe=read["timeframe"], adjustment=read["adjustment"])
        for symbol in read["symbols"]
    ]


def _judged(
    adaptation: LiveAdaptation,
    watch: AdaptationWatch,
    kind: StrategyType,
    series: Sequence[BarSeries],
    now: datetime,
) -> tuple[dict[str, Any], int, datetime] | None:
    """Return figures, how many bars they are of and the newest of them; None where no bar is new."""
    from optimize import engine
    from optimize.adaptation import promising, shadow

    history = max(HISTORY, 10 * max(kind.warmup(watch.params), kind.warmup(watch.shadow_params)))
    bars = [_bars(each, watch.from_time, history, now) for each in series]
    if not any(int(each.time[-1]) > to_ns(watch.seen_until or watch.from_time) for each in bars):
        return None
    years = max(bars_per_year(each.timeframe, calendar(each.instrument.exchange)) for each in series)
    settings = engine.Settings(
        fee=adaptation.costs["fee"], slippage=adaptation.costs["slippage"], periods_per_year=years
    )
    found = shadow.beside(
        kind,
        watch.params,
        watch.shadow_params,
        bars,
        after=watch.from_time,
        most=adaptation.watch_bars,
        settings=settings,
    )
    if found is None:
        return None
    figures = shadow.figures_of(found, promising.Promise.of(watch.promise), periods_per_year=years)
    return figures, len(found.time), from_ns(int(found.time[-1]))


def _bars(series: BarSeries, since: datetime, history: int, now: datetime) -> Bars:
    """Return the complete bars that opened after `since`, and up to `history` before them."""
    most = history + 1 + max(0, math.ceil((to_ns(now) - to_ns(since)) / length_ns(series.timeframe)))
    bars = series_complete(series=series, wall=now, limit=most)
    first = len(bars.until(since))
    return bars.slice(max(0, first - history))


@transaction.atomic
def _write(
    watch: AdaptationWatch, figures: dict[str, Any], *, bars: int, seen_until: datetime | None, now: datetime
) -> datetime | None:
    """Write what was found and what follows from it; return when to look again, where something waits for a thaw."""
    adaptation = locked(watch.adaptation_id)
    row = AdaptationWatch.objects.filter(pk=watch.pk, status=WatchStatus.WATCHING).first()
    if row is None or adaptation.status != AdaptationStatus.ACTIVE or row.bars > bars:
        # Somebody has ended it meanwhile, or has seen more.
        return None
    row.figures, row.bars, row.seen_until = figures, bars, seen_until
    row.save(update_fields=["figures", "bars", "seen_until"])
    if row.applied and figures["breach"] is not None:
        return _take_back(adaptation, row, now)
    if bars >= adaptation.watch_bars:
        _end(row, WatchStatus.KEPT if figures["breach"] is None else WatchStatus.ENDED)
    return None


def _take_back(adaptation: LiveAdaptation, watch: AdaptationWatch, now: datetime) -> datetime | None:
    event = AdaptationEvent.objects.get(adaptation=adaptation, number=watch.event_number)
    text = _broken(watch)
    try:
        with transaction.atomic():
            take_back(
                adaptation=adaptation,
                event=event,
                trigger=Trigger.BREACH,
                actor=desk_actor(adaptation),
                message=text,
            )
    except AdaptationFrozen:
        return now + THAW_AFTER
    except AppError as error:
        event_add(
            locked(adaptation.pk),
            actor=desk_actor(adaptation),
            trigger=Trigger.BREACH,
            status=EventStatus.STALE if isinstance(error, ParametersChanged) else EventStatus.FAILED,
            about=event.number,
            live_params=watch.params,
            code=error.code,
            message=f"{text} It could not be taken back: {error.detail}",
        )
        _end(watch, WatchStatus.ENDED)
    else:
        _end(watch, WatchStatus.BREACHED)
    return None


def _broken(watch: AdaptationWatch) -> str:
    breach = watch.figures["breach"]
    made, least = math.expm1(breach["log_return"]), math.expm1(breach["floor"])
    return (
        f"Event {watch.event_number} broke its promise: after {breach['bar']} bars its parameters had made {made:.2%} on "
        f"paper, below the {least:.2%} that they were to stay above."
    )


def _end(watch: AdaptationWatch, status: WatchStatus) -> None:
    watch.status, watch.ended_at = status, utcnow()
    watch.save(update_fields=["status", "ended_at"])
