"""Reading adaptations, how they stand and what happened to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet

from optimize.adaptation.choices import SETTLES, AdaptationStatus, EventStatus
from optimize.adaptation.errors import AdaptationNotFound, EventNotFound
from optimize.adaptation.freezing import Frozen, frozen_each
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, LiveAdaptation
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

# How an event settles the earlier one that it names.
_OUTCOMES: Mapping[str, str] = {
    EventStatus.APPLIED: "approved",
    EventStatus.REJECTED: "rejected",
    EventStatus.SUPERSEDED: "superseded",
    EventStatus.ROLLED_BACK: "rolled_back",
}
OPEN = "open"
OUTCOMES = (OPEN, *_OUTCOMES.values())


@dataclass(frozen=True)
class Standing:
    """An adaptation and how it stands.

    Attributes:
        next_run: when a round is due next; None when it is stopped, or its schedule is paused or over.
        frozen: why nothing may be changed now; of a stopped one None.
        last_event: the newest one.
        open_round: the search that is under way.
        proposal: the number of the event that waits for a decision.
    """

    adaptation: LiveAdaptation
    next_run: datetime | None
    frozen: Frozen | None
    last_event: AdaptationEvent | None
    open_round: AdaptationRound | None
    proposal: int | None


def adaptations_visible(actor: Actor, *, everybodys: bool = False) -> QuerySet[LiveAdaptation]:
    """Return the adaptations of `actor`, or with `everybodys` those of all, the newest first."""
    rows = _with_names().order_by("-created_at", "-id")
    return rows if everybodys else rows.filter(created_by_id=actor.user_id)


def adaptation_get(adaptation_id: UUID, actor: Actor | None = None) -> LiveAdaptation:
    """Return one adaptation.

    Args:
        actor: who wants to see it: its owner, or an operator. None sees everything.

    Raises:
        AdaptationNotFound: there is none, or it is somebody else's.
    """
    row = _with_names().filter(pk=adaptation_id).first()
    if row is None or not may_see(actor, row):
        raise AdaptationNotFound(f"There is no adaptation {adaptation_id}.")
    return row


def may_see(actor: Actor | None, adaptation: LiveAdaptation) -> bool:
    """Say whether `actor` may see an adaptation: its owner and operators may."""
    if actor is None or actor.kind == "system" or actor.may(Role.OPERATOR):
        return True
    return adaptation.created_by_id is not None and adaptation.created_by_id == actor.user_id


def _with_names() -> QuerySet[LiveAdaptation]:
    rows: QuerySet[LiveAdaptation] = LiveAdaptation.objects.select_related("strategy", "schedule", "created_by")
    return rows


def standings(adaptations: Iterable[LiveAdaptation]) -> list[Standing]:
    """Return how adaptations stand, in their order, in as many queries for many as for one."""
    rows = list(adaptations)
    # The newest event has the number that the adaptation counted to.
    newest = AdaptationEvent.objects.filter(adaptation__in=rows, number=F("adaptation__events_count")).defer("evidence")
    events = {event.adaptation_id: event for event in newest}
    rounds = AdaptationRound.objects.filter(adaptation__in=rows, ended_at__isnull=True)
    open_rounds = {found.adaptation_id: found for found in rounds}
    settled = AdaptationEvent.objects.filter(
        adaptation=OuterRef("adaptation"), about=OuterRef("number"), status__in=sorted(SETTLES)
    )
    waiting = AdaptationEvent.objects.filter(~Exists(settled), adaptation__in=rows, status=EventStatus.PROPOSED)
    proposals = dict(waiting.order_by("number").values_list("adaptation_id", "number"))
    active = [row.strategy_id for row in rows if row.status == AdaptationStatus.ACTIVE]
    frozen = frozen_each(active) if active else {}
    return [
        Standing(
            adaptation=row,
            next_run=_next_run(row),
            frozen=frozen.get(row.strategy_id) if row.status == AdaptationStatus.ACTIVE else None,
            last_event=events.get(row.pk),
            open_round=open_rounds.get(row.pk),
            proposal=proposals.get(row.pk),
        )
        for row in rows
    ]


def _next_run(adaptation: LiveAdaptation) -> datetime | None:
    schedule = adaptation.schedule
    if adaptation.status != AdaptationStatus.ACTIVE or not schedule.enabled or schedule.deleted_at is not None:
        return None
    return schedule.next_run_at


def events_listed(
    adaptation: LiveAdaptation, *, before: int | None = None, limit: int | None = None
) -> Sequence[AdaptationEvent]:
    """Return events, the newest first.

    Args:
        before: those with a smaller number.
    """
    rows = AdaptationEvent.objects.filter(adaptation=adaptation).order_by("-number")
    if before is not None:
        rows = rows.filter(number__lt=before)
    return list(rows if limit is None else rows[:limit])


def event_get(adaptation: LiveAdaptation, number: int) -> AdaptationEvent:
    """Return one event.

    Raises:
        EventNotFound
    """
    row = AdaptationEvent.objects.filter(adaptation=adaptation, number=number).first()
    if row is None:
        raise EventNotFound(f"The adaptation {adaptation.pk} has no event {number}.")
    return row


def outcomes(adaptation: LiveAdaptation, events: Iterable[AdaptationEvent]) -> dict[int, str]:
    """Return how events were settled, by their numbers: `open` for a proposal that waits, nothing for one that stands."""
    rows = list(events)
    found = {event.number: OPEN for event in rows if event.status == EventStatus.PROPOSED}
    later = AdaptationEvent.objects.filter(
        adaptation=adaptation, about__in=[event.number for event in rows], status__in=sorted(_OUTCOMES)
    ).order_by("number")
    for about, status in later.values_list("about", "status"):
        if about is not None:
            found[about] = _OUTCOMES[status]
    return found


def returnable(adaptation: LiveAdaptation) -> int | None:
    """Return the number of the event that a rollback may take back: the newest change that stands."""
    taken_back = AdaptationEvent.objects.filter(
        adaptation=adaptation, status=EventStatus.ROLLED_BACK, about__isnull=False
    ).values("about")
    found: int | None = (
        AdaptationEvent.objects.filter(adaptation=adaptation, status=EventStatus.APPLIED)
        .exclude(number__in=taken_back)
        .order_by("-number")
        .values_list("number", flat=True)
        .first()
    )
    return found
