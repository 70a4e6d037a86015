"""Writing events, and what is watched because of them. The adaptation is locked by whoever calls."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from market.bars import from_ns
from optimize.adaptation.asking import complete_times
from optimize.adaptation.choices import SETTLES, EventStatus, WatchStatus
from optimize.adaptation.models import AdaptationEvent, AdaptationWatch, LiveAdaptation
from optimize.adaptation.telling import tell_event
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

# Of the evidence of an event: which bars a proposal was made of, and what it promises.
SERIES, PROMISE = "series", "promise"


def event_add(
    adaptation: LiveAdaptation,
    *,
    actor: Actor,
    trigger: str,
    status: EventStatus,
    reason: str = "",
    **fields: Any,
) -> AdaptationEvent:
    """Write the next event of a locked adaptation, and tell it.

    Args:
        reason: what the person who decided said; kept with the audit.
        fields: of the event.
    """
    adaptation.events_count += 1
    adaptation.save(update_fields=["events_count"])
    event = AdaptationEvent(
        adaptation=adaptation,
        number=adaptation.events_count,
        trigger=trigger,
        status=status,
        actor_name=actor.name[:150],
        **fields,
    )
    event.save(force_insert=True)
    after = {
        "event": event.number,
        "about": event.about,
        "trigger": event.trigger,
        "status": event.status,
        "live_params": event.live_params,
        "proposed_params": event.proposed_params,
        "applied_params": event.applied_params,
        "code": event.code,
    }
    audit.record(actor=actor, action=f"adaptation.{event.status}", target=adaptation, after=after, reason=reason)
    tell_event(event, actor=actor)
    return event


def open_proposals(adaptation: LiveAdaptation) -> QuerySet[AdaptationEvent]:
    """Return the proposals that nobody has decided on yet."""
    settled = AdaptationEvent.objects.filter(
        adaptation=adaptation, about=OuterRef("number"), status__in=sorted(SETTLES)
    )
    rows: QuerySet[AdaptationEvent] = AdaptationEvent.objects.filter(
        ~Exists(settled), adaptation=adaptation, status=EventStatus.PROPOSED
    )
    return rows.order_by("number")


def supersede(adaptation: LiveAdaptation, *, actor: Actor, trigger: str, message: str) -> None:
    """Close the proposals that wait: what they were made of is no longer so, or nobody may apply them any more."""
    for event in list(open_proposals(adaptation)):
        event_add(
            adaptation,
            actor=actor,
            trigger=trigger,
            status=EventStatus.SUPERSEDED,
            about=event.number,
            live_params=event.live_params,
            proposed_params=event.proposed_params,
            message=message,
        )
        watches_end(adaptation, number=event.number)


def watches_end(
    adaptation: LiveAdaptation,
    *,
    number: int | None = None,
    applied: bool | None = None,
    status: WatchStatus = WatchStatus.ENDED,
) -> None:
    """End what is watched: of one event, of those that were or were not applied, or all of it."""
    rows = AdaptationWatch.objects.filter(adaptation=adaptation, status=WatchStatus.WATCHING)
    if number is not None:
        rows = rows.filter(event_number=number)
    if applied is not None:
        rows = rows.filter(applied=applied)
    now = utcnow()
    rows.update(status=status, ended_at=now, updated_at=now)


def watch_begin(event: AdaptationEvent, *, evidence: Mapping[str, Any]) -> AdaptationWatch | None:
    """Hold what was promised against the bars from now on; None where nothing was promised.

    A change takes the place of everything that was watched. A proposal takes that of older proposals alone: what was
    applied before it is still live, and still has its promise to keep.

    Args:
        evidence: of the proposal.
    """
    applied = event.status == EventStatus.APPLIED
    watches_end(event.adaptation, applied=None if applied else False)
    promise = evidence.get(PROMISE)
    if promise is None:
        return None
    shown = event.applied_params if applied else event.proposed_params
    watch = AdaptationWatch(
        adaptation=event.adaptation,
        event_number=event.number,
        applied=applied,
        params=shown,
        shadow_params=event.live_params,
        promise=promise,
        from_time=newest_bar(evidence[SERIES], utcnow()),
    )
    watch.save(force_insert=True)
    return watch


def newest_bar(series: Mapping[str, Any], wall: datetime) -> datetime:
    """Return when the newest bar that is complete at `wall` opened, of any symbol.

    Args:
        series: `symbols`, `timeframe`, `source` and `adjustment`.

    Raises:
        ValidationFailed: a symbol has none.
    """
    times = complete_times(series["symbols"], series, wall, limit=1)
    return from_ns(max(int(each[-1]) for each in times))
