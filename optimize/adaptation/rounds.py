"""The life of a round: begun once, carried as a job like every other, and settled once its job has ended."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import Error, transaction
from django.db.models import Exists, OuterRef

from optimize import ending
from optimize.adaptation import asking
from optimize.adaptation.changing import (
    apply,
    desk_actor,
    require_unchanged,
    require_within,
    series_of,
    take_back,
)
from optimize.adaptation.choices import AdaptationStatus, EventStatus, Mode, Trigger
from optimize.adaptation.errors import (
    AdaptationFrozen,
    AdaptationStopped,
    ParametersChanged,
    RoundUnderWay,
)
from optimize.adaptation.freezing import held
from optimize.adaptation.locking import locked_with_schedule
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, LiveAdaptation
from optimize.adaptation.recording import PROMISE, SERIES, event_add, newest_bar, supersede, watch_begin
from optimize.choices import UNFINISHED, JobKind, JobStatus
from optimize.errors import OptimizerBusy
from optimize.models import OptimizationJob
from optimize.services.asking import job_create
from optimize.services.taking import live_params
from optimize.walkforward.asking import moment
from scheduler.choices import FireStatus
from scheduler.services import run_ended
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Skipped
from tradingsite.common.errors import AppError, PermissionDenied
from tradingsite.common.roles import Role
from workflows.selectors import strategy_get

__all__ = ["round_cancel", "round_end", "round_start", "settle", "take_back"]

logger = logging.getLogger(__name__)

EVERY_S = 1.0
BATCH = 100
JOB_GONE, NO_NEW_BARS = "JOB_GONE", "NO_NEW_BARS"
# What a round came to when nothing hindered it; of what was applied the live parameters tell.
_CONCLUDED = (EventStatus.NO_CHANGE, EventStatus.SUGGESTED, EventStatus.PROPOSED)
_FIRES = {EventStatus.FAILED: FireStatus.FAILED, EventStatus.CANCELLED: FireStatus.CANCELLED}


@transaction.atomic
def round_start(*, adaptation_id: UUID, trigger: str, actor: Actor) -> AdaptationRound | Skipped:
    """Begin a round, or return why none begins now.

    Raises:
        AdaptationNotFound, StrategyNotFound
        OptimizationNotApplicable: nobody can say by what the strategy decides.
        ValidationFailed: there is nothing to compare, or not enough to compare it on.
    """
    adaptation = locked_with_schedule(adaptation_id)
    before = open_round(adaptation)
    if before is not None and _has_ended(before):
        # What it found comes first: the next one begins from there.
        _settle_locked(adaptation, before)
        before = None
    refused = _hindrance(adaptation, before)
    if refused is not None:
        return refused
    strategy = strategy_get(adaptation.strategy_id)
    live = live_params(strategy)
    series = series_of(strategy)
    if trigger == Trigger.SCHEDULE and _nothing_new(adaptation, live.params, series):
        return Skipped(NO_NEW_BARS, "No bar is new since the last round, which would come to the same again.")
    body = {**asking.body_of(adaptation, strategy, live), SERIES: series}
    try:
        job = job_create(actor=desk_actor(adaptation), kind=JobKind.ADAPTATION, body=body)
    except OptimizerBusy as error:
        return Skipped(error.code, error.detail)
    begun = AdaptationRound(
        adaptation=adaptation,
        trigger=trigger,
        job_id=job.pk,
        live_params=live.params,
        bar_time=moment(job.request["end"]),
        actor_name=actor.name[:150],
    )
    begun.save(force_insert=True)
    after = {"round_id": str(begun.pk), "job_id": str(job.pk), "trigger": trigger, "live_params": live.params}
    audit.record(actor=actor, action="adaptation.round", target=adaptation, after=after)
    return begun


def require_may_start(adaptation_id: UUID, actor: Actor) -> None:
    """See that a schedule may begin rounds of an adaptation: anybody can make one that names it.

    Args:
        actor: of the clock, in the name of who saved the schedule last.

    Raises:
        PermissionDenied: that is neither the owner of the adaptation nor an operator.
    """
    owner_id = LiveAdaptation.objects.filter(pk=adaptation_id).values_list("created_by_id", flat=True).first()
    if actor.user_id is None or actor.user_id == owner_id:
        return
    person = get_user_model().objects.filter(pk=actor.user_id).first()
    if person is None or not Actor.for_user(person).may(Role.OPERATOR):
        raise PermissionDenied("The adaptation is somebody else's; an operator may schedule it.")


def _hindrance(adaptation: LiveAdaptation, before: AdaptationRound | None) -> Skipped | None:
    if adaptation.status != AdaptationStatus.ACTIVE:
        return Skipped(AdaptationStopped.code, "The adaptation was stopped.")
    if before is not None:
        return Skipped(RoundUnderWay.code, f"The round that began at {before.created_at:%Y-%m-%d %H:%M:%S} goes on.")
    reason = held(adaptation)
    return None if reason is None else Skipped(AdaptationFrozen.code, reason.detail)


def _nothing_new(adaptation: LiveAdaptation, live: Mapping[str, Any], series: Mapping[str, Any]) -> bool:
    """Say whether the last round has compared the same on the same bars, and what it came to was left as it is."""
    last = adaptation.rounds.order_by("-created_at").first()
    if last is None or last.live_params != dict(live):
        return False
    event = AdaptationEvent.objects.filter(round_id=last.pk, status__in=_CONCLUDED).first()
    if event is None or event.evidence[SERIES] != series:
        return False
    return bool(last.bar_time == newest_bar(series, utcnow()))


def open_round(adaptation: LiveAdaptation) -> AdaptationRound | None:
    """Return the round of an adaptation that was not settled yet."""
    found: AdaptationRound | None = adaptation.rounds.filter(ended_at__isnull=True).first()
    return found


def _has_ended(row: AdaptationRound) -> bool:
    return not OptimizationJob.objects.filter(pk=row.job_id, status__in=UNFINISHED).exists()


@transaction.atomic
def round_cancel(*, round_id: UUID) -> None:
    """Have a round's work stopped within two seconds; nothing happens when it has ended already."""
    row = AdaptationRound.objects.filter(pk=round_id, ended_at__isnull=True).first()
    if row is not None:
        job_stop(row)


def job_stop(row: AdaptationRound) -> None:
    """End the job of a round unless it has ended."""
    job = OptimizationJob.objects.select_for_update().defer("result").filter(pk=row.job_id).first()
    if job is not None and not job.ended:
        ending.job_stop(job)


def settle() -> int:
    """Write down what came of the rounds whose jobs have ended, and return how many those were.

    Any number of processes may do so at once; what one of them leaves undone because it ends, the next one does.
    """
    under_way = OptimizationJob.objects.filter(pk=OuterRef("job_id"), status__in=UNFINISHED)
    ended = AdaptationRound.objects.filter(~Exists(under_way), ended_at__isnull=True).order_by("created_at", "pk")
    found = list(ended.values_list("pk", "adaptation_id")[:BATCH])
    return sum(_settle_guarded(round_id, adaptation_id) for round_id, adaptation_id in found)


def _settle_guarded(round_id: UUID, adaptation_id: UUID) -> bool:
    """Settle one round; whatever is wrong with it alone must not keep the others waiting."""
    try:
        return _settle_one(round_id, adaptation_id)
    except Error:
        raise
    except Exception:  # the border to the strategies and their types
        logger.exception("round %s cannot be settled", round_id)
        return False


@transaction.atomic
def _settle_one(round_id: UUID, adaptation_id: UUID) -> bool:
    adaptation = locked_with_schedule(adaptation_id)
    row = AdaptationRound.objects.filter(pk=round_id, ended_at__isnull=True).first()
    if row is None or not _has_ended(row):
        return False
    _settle_locked(adaptation, row)
    return True


def _settle_locked(adaptation: LiveAdaptation, row: AdaptationRound) -> None:
    job = OptimizationJob.objects.filter(pk=row.job_id).first()
    try:
        with transaction.atomic():
            event = _concluded(adaptation, row, job)
    except AppError as error:
        # Nothing of it happened: what it found cannot be taken.
        event = _round_event(
            adaptation, row, EventStatus.FAILED, code=error.code, message=error.detail, evidence=_evidence(job)
        )
    round_end(row, event)


def round_end(row: AdaptationRound, event: AdaptationEvent) -> None:
    """Close a round with the event that tells how it ended, and the fire of the clock that began it."""
    row.ended_at = utcnow()
    row.save(update_fields=["ended_at"])
    run_ended(
        run_id=row.pk,
        status=_FIRES.get(EventStatus(event.status), FireStatus.COMPLETED),
        result={"round_id": str(row.pk), "job_id": str(row.job_id), "event": event.number, "status": event.status},
        code=event.code if event.status in _FIRES else "",
        message=event.message,
    )


def _round_event(
    adaptation: LiveAdaptation, row: AdaptationRound, status: EventStatus, *, trigger: str = "", **fields: Any
) -> AdaptationEvent:
    return event_add(
        adaptation,
        actor=desk_actor(adaptation),
        trigger=trigger or row.trigger,
        status=status,
        round_id=row.pk,
        job_id=row.job_id,
        live_params=row.live_params,
        **fields,
    )


def stopped(adaptation: LiveAdaptation, row: AdaptationRound, *, actor: Actor) -> None:
    """End the round of an adaptation that is being stopped, whatever it may have found by now."""
    job_stop(row)
    event = event_add(
        adaptation,
        actor=actor,
        trigger=Trigger.STOP,
        status=EventStatus.CANCELLED,
        round_id=row.pk,
        job_id=row.job_id,
        live_params=row.live_params,
        message="The adaptation was stopped during the round.",
    )
    round_end(row, event)


def _concluded(adaptation: LiveAdaptation, row: AdaptationRound, job: OptimizationJob | None) -> AdaptationEvent:
    """Write what a round came to; with `auto` the strategy is changed.

    Raises:
        AppError: it cannot be taken, and nothing was written.
    """
    if job is None:
        text = "Its job was deleted before anybody saw what it found."
        return _round_event(adaptation, row, EventStatus.FAILED, code=JOB_GONE, message=text)
    if job.status == JobStatus.CANCELLED:
        return _round_event(adaptation, row, EventStatus.CANCELLED, message="Its job was cancelled.")
    if job.status == JobStatus.FAILED:
        return _round_event(
            adaptation, row, EventStatus.FAILED, code=job.error_code, message=job.error_detail or job.error_code
        )
    found = job.result or {}
    said = {"code": found["code"], "message": found["text"], "evidence": _evidence(job)}
    if found["params"] is None:
        return _round_event(adaptation, row, EventStatus.NO_CHANGE, **said)
    return _proposed(adaptation, row, found["params"], said)


def _evidence(job: OptimizationJob | None) -> dict[str, Any]:
    """Return what an event keeps of a job: that may be cleared away later."""
    if job is None or job.result is None or job.status != JobStatus.COMPLETE:
        return {}
    return {**job.result["evidence"], PROMISE: job.result["promise"], SERIES: job.request[SERIES]}


def _proposed(
    adaptation: LiveAdaptation, row: AdaptationRound, params: Mapping[str, Any], said: Mapping[str, Any]
) -> AdaptationEvent:
    evidence = said["evidence"]
    found = {"proposed_params": dict(params), **said}
    try:
        require_unchanged(strategy_get(adaptation.strategy_id), row.live_params, evidence[SERIES])
    except ParametersChanged as error:
        found |= {"code": error.code, "message": error.detail}
        return _round_event(adaptation, row, EventStatus.STALE, **found)
    require_within(adaptation, row.live_params, params)
    if adaptation.mode == Mode.AUTO:
        return _applied(adaptation, row, params, found)
    if adaptation.mode == Mode.APPROVE:
        text = "A newer round has another proposal."
        supersede(adaptation, actor=desk_actor(adaptation), trigger=row.trigger, message=text)
    status = EventStatus.PROPOSED if adaptation.mode == Mode.APPROVE else EventStatus.SUGGESTED
    event = _round_event(adaptation, row, status, **found)
    watch_begin(event, evidence=evidence)
    return event


def _applied(
    adaptation: LiveAdaptation, row: AdaptationRound, params: Mapping[str, Any], found: dict[str, Any]
) -> AdaptationEvent:
    reason = held(adaptation)
    if reason is not None:
        return _frozen(adaptation, row, found, reason.code, reason.detail)
    try:
        with transaction.atomic():
            versions = apply(
                adaptation,
                actor=desk_actor(adaptation),
                live=row.live_params,
                params=params,
                series=found["evidence"][SERIES],
                reason=found["message"],
            )
    except AdaptationFrozen as error:
        return _frozen(adaptation, row, found, error.extra["frozen"]["code"], error.detail)
    except ParametersChanged as error:
        found |= {"code": error.code, "message": error.detail}
        return _round_event(adaptation, row, EventStatus.STALE, **found)
    event = _round_event(
        adaptation,
        row,
        EventStatus.APPLIED,
        applied_params=dict(params),
        version_before=versions.before,
        version_after=versions.after,
        **found,
    )
    watch_begin(event, evidence=found["evidence"])
    return event


def _frozen(
    adaptation: LiveAdaptation, row: AdaptationRound, found: dict[str, Any], code: str, detail: str
) -> AdaptationEvent:
    text = f"Something better was found, but nothing may be changed now. {detail}"
    return _round_event(adaptation, row, EventStatus.FROZEN, **{**found, "code": code, "message": text})
