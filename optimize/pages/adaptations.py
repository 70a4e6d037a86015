"""The list of adaptations and the page of one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from market.selectors import bars_load, series_get
from optimize.adaptation import selectors
from optimize.adaptation.choices import AdaptationStatus
from optimize.adaptation.models import AdaptationWatch, LiveAdaptation, RegimePoint
from optimize.adaptation.promising import Promise, floor
from optimize.adaptation.watch_selectors import regimes_of, watches_of
from optimize.models import OptimizationJob
from optimize.pages import drawing
from optimize.pages.events import EventLine, event_line
from optimize.services.taking import Live, live_params
from scheduler.rules import in_words
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role
from workflows.strategies import StrategyType, strategy_types

PAGE = 25
EVENTS = 20
# Of the drawing: what fits a screen; the API has more.
POINTS = 400
CHANGES = 12
WATCHES = 4
FILTERS = (("active", "Active"), ("stopped", "Stopped"), ("all", "All"))


def adaptations_page(actor: Actor, *, status: str, number: int) -> dict[str, Any]:
    """Return one page of the list: one's own, for an operator everybody's; the first for a number that is none."""
    everybodys = actor.may(Role.OPERATOR)
    rows = selectors.adaptations_visible(actor, everybodys=everybodys)
    if status != "all":
        rows = rows.filter(status=status)
    last = max(1, -(-rows.count() // PAGE))
    number = number if 1 <= number <= last else 1
    found = selectors.standings(rows[(number - 1) * PAGE : number * PAGE])
    reasons = {one.frozen.detail: one.frozen for one in found if one.frozen is not None}
    return {
        "standings": found,
        "frozen": list(reasons.values())[:3],
        "everybodys": everybodys,
        "status": status,
        "filters": FILTERS,
        "newer_page": number - 1 if number > 1 else None,
        "older_page": number + 1 if number < last else None,
    }


def adaptation_page(adaptation_id: UUID, actor: Actor, *, before: int | None) -> dict[str, Any]:
    """Return the page of one adaptation.

    Args:
        before: show events with a smaller number; None the newest.

    Raises:
        AdaptationNotFound: there is none, or it is somebody else's.
    """
    adaptation = selectors.adaptation_get(adaptation_id, actor)
    (standing,) = selectors.standings([adaptation])
    events = selectors.events_listed(adaptation, before=before, limit=EVENTS + 1)
    outcomes = selectors.outcomes(adaptation, events)
    returnable = selectors.returnable(adaptation)
    slug = adaptation.strategy.strategy_type
    strategy_type = strategy_types.get(slug) if slug in strategy_types else None
    lines = [
        event_line(event, adaptation, strategy_type, outcome=outcomes.get(event.number, ""), returnable=returnable)
        for event in events[:EVENTS]
    ]
    live, problem = _live(adaptation)
    return {
        "adaptation": adaptation,
        "standing": standing,
        "final": adaptation.status == AdaptationStatus.STOPPED,
        "rule": in_words(adaptation.schedule),
        "job": _job(standing),
        "live": live,
        "live_problem": problem,
        "generated": _generated(adaptation, live),
        "regimes": _regimes(adaptation, live),
        "watches": [_watch(watch) for watch in watches_of(adaptation)[:WATCHES]],
        "lines": lines,
        "earlier": events[EVENTS - 1].number if len(events) > EVENTS else None,
        "from_the_newest": before is None,
    }


def decision_page(adaptation_id: UUID, actor: Actor, number: int) -> tuple[LiveAdaptation, EventLine]:
    """Return an adaptation and one of its events, for the page that asks whether it is meant.

    Raises:
        AdaptationNotFound, EventNotFound
    """
    adaptation = selectors.adaptation_get(adaptation_id, actor)
    event = selectors.event_get(adaptation, number)
    outcome = selectors.outcomes(adaptation, [event]).get(number, "")
    slug = adaptation.strategy.strategy_type
    strategy_type: StrategyType | None = strategy_types.get(slug) if slug in strategy_types else None
    line = event_line(event, adaptation, strategy_type, outcome=outcome, returnable=selectors.returnable(adaptation))
    return adaptation, line


def _live(adaptation: LiveAdaptation) -> tuple[Live | None, str]:
    """Return by what the strategy decides now, or why that cannot be told."""
    try:
        return live_params(adaptation.strategy), ""
    except AppError as error:
        return None, error.detail


def _job(standing: selectors.Standing) -> OptimizationJob | None:
    if standing.open_round is None:
        return None
    return OptimizationJob.objects.filter(pk=standing.open_round.job_id).defer("result", "request", "data").first()


def _generated(adaptation: LiveAdaptation, live: Live | None) -> bool:
    """Whether prices of any of its symbols are invented."""
    if live is None:
        return False
    for symbol in adaptation.strategy.symbols:
        try:
            if _series(symbol, live).source.generated:
                return True
        except AppError:
            continue
    return False


def _series(symbol: str, live: Live) -> Any:
    return series_get(symbol=symbol, source=live.source, timeframe=live.timeframe, adjustment=live.adjustment)


@dataclass(frozen=True)
class RegimeView:
    """The regimes that were seen, drawn.

    Attributes:
        price: the closes of the same bars, where they can be had.
        measure: what the regimes were read from.
    """

    kind: str
    symbol: str
    cooldown: Any
    count: int
    newest: RegimePoint | None
    first: RegimePoint | None
    bands: Sequence[drawing.Band]
    marks: Sequence[drawing.Mark]
    price: drawing.Line | None
    measure: drawing.Line | None
    labels: Sequence[str]
    changes: Sequence[Mapping[str, Any]]
    hidden: int


def _regimes(adaptation: LiveAdaptation, live: Live | None) -> RegimeView | None:
    rule = adaptation.regime
    if not rule:
        return None
    points = regimes_of(adaptation, limit=POINTS)
    changed = [index for index, point in enumerate(points) if point.changed_from]
    marks = drawing.marks(changed, len(points))
    changes = [{"mark": mark, "point": points[index]} for mark, index in zip(marks, changed, strict=True)]
    symbol = str(rule.get("symbol") or "")
    return RegimeView(
        kind=str(rule.get("kind", "")),
        symbol=symbol,
        cooldown=rule.get("cooldown_bars"),
        count=len(points),
        newest=points[-1] if points else None,
        first=points[0] if points else None,
        bands=drawing.bands([point.label for point in points]),
        marks=marks,
        price=drawing.line(_closes(symbol, live, points)) if live is not None and points else None,
        measure=drawing.line([point.value for point in points]),
        labels=list(dict.fromkeys(point.label for point in points if point.label)),
        changes=changes[::-1][:CHANGES],
        hidden=max(0, len(changes) - CHANGES),
    )


def _closes(symbol: str, live: Live, points: Sequence[RegimePoint]) -> list[float | None]:
    """Return the closes of the bars that the points are about; None for one that is no more."""
    try:
        bars = bars_load(
            symbol=symbol, source=live.source, timeframe=live.timeframe, adjustment=live.adjustment,
            start=points[0].bar_time, end=points[-1].bar_time,
        )  # fmt: skip
    except AppError:
        return []
    closes = dict(zip((int(time) for time in bars.time), (float(close) for close in bars.close), strict=True))
    return [closes.get(int(point.bar_time.timestamp()) * 1_000_000_000) for point in points]


@dataclass(frozen=True)
class Spot:
    """A point of a chart, in percent of its width and height."""

    left: float
    top: float


@dataclass(frozen=True)
class WatchView:
    """What is watched: the floor that was promised over its bars, and where both sets of parameters are by now.

    Attributes:
        zero: the height of what earned nothing, in percent.
        live, shadow: after the bars that were judged; None before the first.
        low, high: the least and most log return that the chart shows.
    """

    watch: AdaptationWatch
    promise: Promise
    floor: drawing.Line | None
    zero: float
    live: Spot | None
    shadow: Spot | None
    low: float
    high: float


def _watch(watch: AdaptationWatch) -> WatchView:
    promise = Promise.of(watch.promise)
    floors = [0.0, *(floor(promise, bar) for bar in range(1, promise.bars + 1))]
    made = watch.figures.get("log_return") if watch.bars else None
    besides = (watch.figures.get("shadow") or {}).get("total_return") if watch.bars else None
    other = None if besides is None or besides <= -1 else math.log1p(besides)
    low, high = drawing.span(floors, [made, other]) or (0.0, 0.0)
    left = 100 * (watch.bars + 0.5) / len(floors)
    spots = [
        None if value is None else Spot(round(min(left, 100.0), 2), drawing.height(value, low, high))
        for value in (made, other)
    ]
    return WatchView(
        watch, promise, drawing.line(floors, (low, high)), drawing.height(0.0, low, high), spots[0], spots[1],
        math.expm1(low), math.expm1(high),
    )  # fmt: skip
