"""Every change of an adaptation that somebody asks for: start, stop, a round now, and what becomes of an event."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from market.regimes import detector_clean
from optimize.adaptation import asking, rounds
from optimize.adaptation.candidates import CANDIDATES_MAX, candidates, most_candidates
from optimize.adaptation.changing import apply, desk_actor, require_active, require_thawed, take_back
from optimize.adaptation.choices import JOB, AdaptationStatus, EventStatus, Mode, Trigger
from optimize.adaptation.errors import (
    AdaptationFrozen,
    AdaptationStopped,
    AlreadyAdapting,
    EventNotFound,
    EventNotOpen,
    RoundUnderWay,
)
from optimize.adaptation.locking import locked, locked_with_schedule
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, LiveAdaptation
from optimize.adaptation.recording import (
    SERIES,
    event_add,
    open_proposals,
    supersede,
    watch_begin,
    watches_end,
)
from optimize.errors import OptimizationNotApplicable, OptimizerBusy
from optimize.services.taking import Live, live_params, params_take
from optimize.walkforward.asking import OBJECTIVES
from optimize.walkforward.grids import clean_axes
from portfolio.models import Account
from scheduler.models import Schedule
from scheduler.services import schedule_create, schedule_delete, schedule_preview
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Skipped
from tradingsite.common.errors import AppError, FieldError, ValidationFailed
from tradingsite.common.owners import require_owner
from workflows.errors import StrategyNotFound
from workflows.selectors import strategy_get
from workflows.strategies import strategy_types

COSTS_MAX = 0.2
WATCH_MIN = 5
COOLDOWN_BARS = 20
_REFUSALS: Mapping[str, type[AppError]] = {
    each.code: each for each in (AdaptationStopped, AdaptationFrozen, RoundUnderWay, OptimizerBusy)
}


@transaction.atomic
def live_start(
    *,
    actor: Actor,
    strategy_id: UUID,
    trailing_window: int,
    schedule: str,
    max_param_change_pct: float,
    mode: str = Mode.APPROVE,
    objective: str = "sharpe",
    search_space: Mapping[str, Sequence[Any]] | None = None,
    regime: Mapping[str, Any] | None = None,
    costs: Mapping[str, float] | None = None,
    watch_bars: int = 60,
    timezone: str = "UTC",
) -> LiveAdaptation:
    """Let a strategy's parameters follow the market from now on, by a schedule of its own.

    Args:
        trailing_window: bars that a round looks at.
        schedule: a cron expression, read in `timezone`.
        max_param_change_pct: percent of its live value by which a round may move a parameter, above 0 to 100.
        search_space: parameter -> values; the type's own grid when left out.
        regime: `{kind, …}` of a detector, with `symbol` (one of the strategy's) and `cooldown_bars`.
        costs: `fee` and `slippage`, fractions; those of the desk's account when left out, since a change that pays
            before costs alone would lose money.
        watch_bars: bars after a change during which its promise is held against it.

    Raises:
        ValidationFailed: naming each wrong field.
        PermissionDenied: the strategy is somebody else's.
        AlreadyAdapting: with the id of the adaptation.
    """
    try:
        strategy = strategy_get(strategy_id)
    except StrategyNotFound as error:
        raise ValidationFailed(errors=[FieldError("strategy_id", "not_found", error.detail)]) from None
    require_owner(actor=actor, created_by_id=strategy.created_by_id)
    _require_alone(strategy_id)
    costs = _usual_costs() if costs is None else {"fee": 0.0, "slippage": 0.0, **costs}
    errors = [
        *_number("trailing_window", trailing_window, 1, asking.WINDOW_MAX, whole=True),
        *_number("watch_bars", watch_bars, WATCH_MIN, asking.WINDOW_MAX, whole=True),
        *_number("max_param_change_pct", max_param_change_pct, 0, 100, above=True),
        *_choice("mode", mode, Mode.values),
        *_choice("objective", objective, OBJECTIVES),
        *_costs(costs),
        *_rule(schedule, timezone),
    ]
    cleaned = _regime(errors, regime, strategy.symbols)
    adaptation = LiveAdaptation(
        strategy=strategy,
        mode=mode,
        trailing_window=trailing_window,
        max_param_change_pct=max_param_change_pct,
        objective=objective,
        regime=cleaned,
        costs=costs,
        watch_bars=watch_bars,
        created_by_id=actor.user_id,
    )
    _searched(errors, adaptation, search_space, actor)
    if errors:
        raise ValidationFailed(errors=errors)
    adaptation.schedule = schedule_create(
        actor=actor,
        name=f"Adapt {strategy.name[:150]} {str(adaptation.pk)[-12:]}",
        job_type=JOB,
        schedule=schedule,
        timezone=timezone,
        config={"adaptation_id": str(adaptation.pk)},
        overlap="skip",
    )
    try:
        # The database lets one of two starts through, whatever either of them has seen.
        with transaction.atomic():
            adaptation.save(force_insert=True)
    except IntegrityError:
        _require_alone(strategy_id)
        raise
    audit.record(actor=actor, action="adaptation.start", target=adaptation, after=_summary(adaptation, schedule))
    return adaptation


def _require_alone(strategy_id: UUID) -> None:
    """See that a strategy follows the market in one way alone.

    Raises:
        AlreadyAdapting
    """
    rows = LiveAdaptation.objects.filter(strategy_id=strategy_id, status=AdaptationStatus.ACTIVE)
    found = rows.values_list("pk", flat=True).first()
    if found is not None:
        raise AlreadyAdapting(f"Stop the adaptation {found} first.", extra={"adaptation_id": str(found)})


def _summary(adaptation: LiveAdaptation, schedule: str) -> dict[str, Any]:
    fields = (
        "mode", "trailing_window", "max_param_change_pct", "objective", "search_space", "regime", "costs", "watch_bars",
    )  # fmt: skip
    return {
        "strategy_id": str(adaptation.strategy_id),
        "schedule": schedule,
        **{name: getattr(adaptation, name) for name in fields},
    }


def _number(
    name: str, value: object, least: float, most: float, *, whole: bool = False, above: bool = False
) -> list[FieldError]:
    kind = int if whole else int | float
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if good and least <= value <= most and not (above and value == least):  # type: ignore[operator]  # a number by now
        return []
    what = "a whole number" if whole else "a number"
    bounds = f"above {least:g} and at most {most:,g}" if above else f"from {least:g} to {most:,g}"
    return [FieldError(name, "out_of_range" if good else "invalid", f"Must be {what} {bounds}.")]


def _choice(name: str, value: object, words: Sequence[str]) -> list[FieldError]:
    return [] if value in words else [FieldError(name, "invalid_choice", f"Must be one of {', '.join(words)}.")]


def _usual_costs() -> dict[str, float]:
    """Return what trading costs in the desk's account; before its first set-up, what it would cost in a new one."""
    account = Account.objects.filter(is_default=True).first() or Account()
    return {"fee": float(account.fee_rate), "slippage": float(account.slippage)}


def _costs(costs: Mapping[str, Any]) -> list[FieldError]:
    unknown = [
        FieldError(f"costs/{name}", "unknown_field", "This field is not known here.")
        for name in costs
        if name not in ("fee", "slippage")
    ]
    known = [each for name in ("fee", "slippage") for each in _number(f"costs/{name}", costs[name], 0, COSTS_MAX)]
    return [*unknown, *known]


def _rule(schedule: object, timezone: str) -> list[FieldError]:
    if not isinstance(schedule, str):
        return [FieldError("schedule", "invalid", "Must be a cron expression, such as `0 22 * * mon-fri`.")]
    try:
        schedule_preview(schedule=schedule, timezone=timezone)
    except ValidationFailed as error:
        return list(error.errors)
    return []


def _regime(errors: list[FieldError], given: Mapping[str, Any] | None, symbols: Sequence[str]) -> dict[str, Any] | None:
    """Return the detector as cleaned, with whose bars it reads and for how many it then rests."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        errors.append(FieldError("regime", "invalid", "Must be an object with the kind of a detector."))
        return None
    symbol, rest = given.get("symbol", symbols[0] if symbols else None), given.get("cooldown_bars", COOLDOWN_BARS)
    if symbol not in symbols:
        detail = f"Must be one of the strategy's: {', '.join(symbols) or 'it has none'}."
        errors.append(FieldError("regime/symbol", "invalid_choice", detail))
    errors.extend(_number("regime/cooldown_bars", rest, 0, asking.WINDOW_MAX, whole=True))
    own = {name: value for name, value in given.items() if name not in ("symbol", "cooldown_bars")}
    try:
        detector = detector_clean(own)
    except ValidationFailed as error:
        errors.extend(error.errors)
        return None
    return {**detector.as_dict(), "symbol": symbol, "cooldown_bars": rest}


def _searched(errors: list[FieldError], adaptation: LiveAdaptation, search_space: object, actor: Actor) -> None:
    """See that a round could be done now and its result be taken; `search_space` is cleaned on the way."""
    strategy = adaptation.strategy
    try:
        kind = asking.type_of(strategy.strategy_type)
        live = live_params(strategy)
    except OptimizationNotApplicable as error:
        errors.append(FieldError("strategy_id", "not_applicable", error.detail))
        return
    except ValidationFailed as error:
        errors.extend(error.errors)
        return
    try:
        axes = clean_axes(kind, search_space, "search_space")
        adaptation.search_space = None if search_space is None else axes
        count = most_candidates(kind, adaptation.search_space)
        if count > CANDIDATES_MAX:
            detail = (
                f"A round would compare up to {count} combinations, at most {CANDIDATES_MAX} are. Use fewer values."
            )
            raise ValidationFailed(errors=[FieldError("search_space", "too_many", detail)])
        if errors:
            # The rest asks for figures that are known to be good.
            return
        window = adaptation.trailing_window
        warm_up = kind.warmup(_slowest(live.params, axes))
        asking.folds_of(window, warm_up)
        asking.check_work(count, window, warm_up, max(1, len(strategy.symbols)))
        asking.plan(asking.body_of(adaptation, strategy, live))
    except ValidationFailed as error:
        errors.extend(error.errors)
        return
    errors.extend(_fixed(adaptation, live, actor))


def _slowest(live: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return parameters that need the longest warm-up of all that rounds may come to: no type needs less for larger numbers."""
    greatest = {
        name: max([live[name], *values])
        for name, values in axes.items()
        if all(isinstance(value, int | float) for value in values)
    }
    return {**live, **greatest}


def _fixed(adaptation: LiveAdaptation, live: Live, actor: Actor) -> list[FieldError]:
    """Return which parameters the strategy's workflow does not let anybody change, as trying shows."""
    strategy = adaptation.strategy
    found = candidates(
        strategy_types.get(strategy.strategy_type), live.params, adaptation.search_space,
        adaptation.max_param_change_pct,
    )  # fmt: skip
    errors = []
    for name in live.params:
        moved = next((each for each in found if each[name] != live.params[name]), None)
        if moved is None:
            continue
        try:
            with transaction.atomic():
                params_take(actor=actor, strategy=strategy, params=moved)
                transaction.set_rollback(True)
        except OptimizationNotApplicable as error:
            errors.append(FieldError("strategy_id", "not_applicable", error.detail))
    return errors[:1]


@transaction.atomic
def live_stop(*, actor: Actor, adaptation: LiveAdaptation, reason: str = "") -> LiveAdaptation:
    """End an adaptation: it changes nothing any more. A second wish changes nothing either.

    A round under way is cancelled and stops within two seconds; its schedule goes, and what waits is superseded. The
    strategy keeps the parameters that it has.

    Raises:
        PermissionDenied: somebody else started it.
    """
    found = locked_with_schedule(adaptation.pk)
    require_owner(actor=actor, created_by_id=found.created_by_id)
    if found.status == AdaptationStatus.STOPPED:
        return found
    found.status, found.stopped_at = AdaptationStatus.STOPPED, utcnow()
    found.save(update_fields=["status", "stopped_at"])
    under_way = rounds.open_round(found)
    if under_way is not None:
        rounds.stopped(found, under_way, actor=actor)
    supersede(found, actor=actor, trigger=Trigger.STOP, message="The adaptation was stopped.")
    watches_end(found)
    own = Schedule.objects.alive().filter(pk=found.schedule_id, job_type=JOB, config__adaptation_id=str(found.pk))
    # Whoever saved it last owns the schedule; it goes with the adaptation all the same.
    if own.exists():
        schedule_delete(actor=desk_actor(found), schedule_id=found.schedule_id)
    audit.record(actor=actor, action="adaptation.stop", target=found, after={"status": found.status}, reason=reason)
    return found


def live_run(*, actor: Actor, adaptation: LiveAdaptation) -> AdaptationRound:
    """Begin a round now, beside the schedule.

    Raises:
        PermissionDenied: somebody else started the adaptation.
        AdaptationStopped, AdaptationFrozen, RoundUnderWay, OptimizerBusy
        OptimizationNotApplicable, ValidationFailed: there is nothing to compare, or not enough to compare it on.
    """
    require_owner(actor=actor, created_by_id=adaptation.created_by_id)
    found = rounds.round_start(adaptation_id=adaptation.pk, trigger=Trigger.MANUAL, actor=actor)
    if isinstance(found, Skipped):
        raise _REFUSALS[found.code](found.message)
    return found


@transaction.atomic
def event_approve(*, actor: Actor, adaptation: LiveAdaptation, number: int, reason: str = "") -> AdaptationEvent:
    """Let the strategy decide by what was proposed, and hold its promise against it from now on.

    Returns:
        The event that says so, about event `number`.

    Raises:
        PermissionDenied: somebody else started the adaptation, or the strategy is somebody else's.
        AdaptationStopped, EventNotFound
        EventNotOpen: it is no proposal, or somebody decided on it already.
        AdaptationFrozen
        ParametersChanged: the strategy no longer is what the proposal started from.
        ChangeTooLarge, OptimizationNotApplicable, ValidationFailed: it cannot be written.
    """
    found, event = _open_event(actor, adaptation, number)
    require_thawed(found)
    assert event.live_params is not None
    assert event.proposed_params is not None
    series = event.evidence[SERIES]
    message = f"{actor.name} approved event {number}."
    versions = apply(
        found, actor=actor, live=event.live_params, params=event.proposed_params, series=series, reason=message
    )
    written = event_add(
        found,
        actor=actor,
        trigger=Trigger.DECISION,
        status=EventStatus.APPLIED,
        reason=reason,
        about=number,
        live_params=event.live_params,
        proposed_params=event.proposed_params,
        applied_params=event.proposed_params,
        version_before=versions.before,
        version_after=versions.after,
        evidence=event.evidence,
        code=event.code,
        message=message,
    )
    watch_begin(written, evidence=event.evidence)
    return written


@transaction.atomic
def event_reject(*, actor: Actor, adaptation: LiveAdaptation, number: int, reason: str = "") -> AdaptationEvent:
    """Close a proposal without taking it.

    Raises:
        PermissionDenied, AdaptationStopped, EventNotFound, EventNotOpen: as of an approval.
    """
    found, event = _open_event(actor, adaptation, number)
    watches_end(found, number=number)
    return event_add(
        found,
        actor=actor,
        trigger=Trigger.DECISION,
        status=EventStatus.REJECTED,
        reason=reason,
        about=number,
        live_params=event.live_params,
        proposed_params=event.proposed_params,
        message=f"{actor.name} rejected event {number}.",
    )


def event_rollback(*, actor: Actor, adaptation: LiveAdaptation, number: int, reason: str = "") -> AdaptationEvent:
    """Let the strategy be again what it was before an applied event, exactly.

    Raises:
        PermissionDenied: somebody else started the adaptation, or the strategy is somebody else's.
        AdaptationStopped, EventNotFound
        EventNotOpen: it is not the newest change that stands.
        ParametersChanged: somebody has changed the strategy since.
        AdaptationFrozen
    """
    require_owner(actor=actor, created_by_id=adaptation.created_by_id)
    return take_back(
        adaptation=adaptation,
        event=_event(adaptation, number),
        trigger=Trigger.DECISION,
        actor=actor,
        message=f"{actor.name} rolled event {number} back.",
        reason=reason,
    )


def _open_event(actor: Actor, adaptation: LiveAdaptation, number: int) -> tuple[LiveAdaptation, AdaptationEvent]:
    """Return the adaptation, locked, and its proposal that waits."""
    found = locked(adaptation.pk)
    require_owner(actor=actor, created_by_id=found.created_by_id)
    event = _event(found, number)
    require_active(found)
    if not open_proposals(found).filter(pk=event.pk).exists():
        raise EventNotOpen(f"Event {number} is no proposal that waits; somebody may have decided on it already.")
    return found, event


def _event(adaptation: LiveAdaptation, number: int) -> AdaptationEvent:
    found = AdaptationEvent.objects.filter(adaptation_id=adaptation.pk, number=number).first()
    if found is None:
        raise EventNotFound(f"The adaptation {adaptation.pk} has no event {number}.")
    return found
