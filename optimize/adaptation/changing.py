"""Changing the strategy of an adaptation and changing it back: what every path comes through, whoever asks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction

from optimize.adaptation.choices import AdaptationStatus, EventStatus, Trigger, WatchStatus
from optimize.adaptation.clamping import within
from optimize.adaptation.errors import (
    AdaptationFrozen,
    AdaptationStopped,
    ChangeTooLarge,
    EventNotOpen,
    ParametersChanged,
)
from optimize.adaptation.freezing import frozen
from optimize.adaptation.locking import locked
from optimize.adaptation.models import AdaptationEvent, LiveAdaptation
from optimize.adaptation.recording import event_add, supersede, watches_end
from optimize.services.taking import live_params, params_take
from tradingsite.common.actor import Actor
from workflows.models import Strategy
from workflows.selectors import strategy_get, strategy_locked
from workflows.services import strategy_version_of, strategy_version_restore
from workflows.strategies import strategy_types


class Versions(NamedTuple):
    """Which versions of the strategy a change went from and to."""

    before: int
    after: int


def desk_actor(adaptation: LiveAdaptation) -> Actor:
    """Return in whose name the desk acts for an adaptation."""
    name = f"adaptation of {adaptation.strategy.name}"[:150]
    return Actor(kind="system", name=name, user_id=adaptation.created_by_id)


def require_active(adaptation: LiveAdaptation) -> None:
    """See that an adaptation may still change something.

    Raises:
        AdaptationStopped
    """
    if adaptation.status != AdaptationStatus.ACTIVE:
        raise AdaptationStopped("It changes nothing any more; start another one.")


def require_thawed(adaptation: LiveAdaptation) -> None:
    """See that parameters may be changed now.

    Raises:
        AdaptationFrozen
    """
    found = frozen(adaptation.strategy_id)
    if found is not None:
        raise AdaptationFrozen(found.detail, extra={"frozen": {"code": found.code, "detail": found.detail}})


def require_within(adaptation: LiveAdaptation, live: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """See that no parameter moves further than the adaptation allows.

    Raises:
        ChangeTooLarge: naming those that would.
    """
    kind, pct = strategy_types.get(adaptation.strategy.strategy_type), adaptation.max_param_change_pct
    broken = within(kind, live, params, pct)
    if broken:
        raise ChangeTooLarge(f"{', '.join(broken)} would change by more than {pct:g} %, or leave the declared range.")


def require_unchanged(strategy: Strategy, params: Mapping[str, Any], series: Mapping[str, Any] | None = None) -> None:
    """See that a strategy still decides by these parameters, and trades what they were compared on.

    Args:
        series: `symbols`, `timeframe`, `source` and `adjustment` as they were read; None where they do not matter.

    Raises:
        ParametersChanged
        OptimizationNotApplicable: nobody can say by what it decides.
    """
    live = live_params(strategy)
    if live.params != dict(params):
        names = [name for name in {**live.params, **params} if live.params.get(name) != params.get(name)]
        raise ParametersChanged(f"{strategy.name!r} was changed since: {', '.join(names)} differs.")
    if series is not None and series != series_of(strategy):
        raise ParametersChanged(f"{strategy.name!r} trades other symbols or bars since.")


def series_of(strategy: Strategy) -> dict[str, Any]:
    """Return which bars a strategy decides on, as it says it."""
    live = live_params(strategy)
    return {
        "symbols": list(strategy.symbols),
        "timeframe": live.timeframe,
        "source": live.source,
        "adjustment": live.adjustment,
    }


def apply(
    adaptation: LiveAdaptation,
    *,
    actor: Actor,
    live: Mapping[str, Any],
    params: Mapping[str, Any],
    series: Mapping[str, Any],
    reason: str,
) -> Versions:
    """Let the strategy of a locked adaptation decide by `params` from now on.

    Args:
        live: by what it decided when they were proposed.
        series: on which bars they were compared.

    Raises:
        ParametersChanged, ChangeTooLarge, AdaptationFrozen
        OptimizationNotApplicable, StrategyNotFound, ValidationFailed, PermissionDenied: as of any change of a strategy.
    """
    require_unchanged(strategy_get(adaptation.strategy_id), live, series)
    require_within(adaptation, live, params)
    before: list[int] = []

    def last_look(strategy: Strategy) -> None:
        require_unchanged(strategy, live, series)
        require_thawed(adaptation)
        before.append(strategy_version_of(strategy))

    changed = params_take(
        actor=actor, strategy=adaptation.strategy, params=params, reason=reason, precondition=last_look
    )
    return Versions(before[0], strategy_version_of(changed))


@transaction.atomic
def take_back(
    *,
    adaptation: LiveAdaptation,
    event: AdaptationEvent,
    trigger: str,
    actor: Actor,
    message: str,
    reason: str = "",
) -> AdaptationEvent:
    """Let the strategy be again what it was before an applied event, exactly, and write that down.

    A return is no step: it may lead further than the adaptation allows a round.

    Args:
        message: why, in a sentence.
        reason: what the person who asks for it says.

    Raises:
        AdaptationStopped
        EventNotOpen: it is not the newest change that stands.
        ParametersChanged: somebody has changed the strategy since.
        AdaptationFrozen
    """
    adaptation = locked(adaptation.pk)
    require_active(adaptation)
    newest = standing_change(adaptation)
    if newest is None or newest.number != event.number:
        stands = "none stands" if newest is None else f"that is event {newest.number}"
        raise EventNotOpen(f"Only the newest change that stands can be taken back; {stands}.")
    assert newest.applied_params is not None
    assert newest.version_before is not None
    strategy = strategy_locked(adaptation.strategy_id)
    require_unchanged(strategy, newest.applied_params)
    now = strategy_version_of(strategy)
    if now != _version_left(adaptation):
        raise ParametersChanged(f"{strategy.name!r} was changed since: it is at version {now}.")
    require_thawed(adaptation)
    restored = strategy_version_restore(
        actor=actor, strategy_id=strategy.pk, number=newest.version_before, reason=reason or message
    )
    written = event_add(
        adaptation,
        actor=actor,
        trigger=trigger,
        status=EventStatus.ROLLED_BACK,
        reason=reason,
        about=newest.number,
        live_params=newest.applied_params,
        applied_params=live_params(restored).params,
        version_before=now,
        version_after=strategy_version_of(restored),
        message=message,
    )
    watches_end(
        adaptation,
        number=newest.number,
        status=WatchStatus.BREACHED if trigger == Trigger.BREACH else WatchStatus.ENDED,
    )
    text = f"Event {newest.number}, which it was made after, was rolled back."
    supersede(adaptation, actor=actor, trigger=trigger, message=text)
    return written


def standing_change(adaptation: LiveAdaptation) -> AdaptationEvent | None:
    """Return the newest applied event that was not rolled back."""
    rows = AdaptationEvent.objects.filter(adaptation=adaptation)
    taken_back = rows.filter(status=EventStatus.ROLLED_BACK).values("about")
    applied: AdaptationEvent | None = (
        rows.filter(status=EventStatus.APPLIED).exclude(number__in=taken_back).order_by("-number").first()
    )
    return applied


def _version_left(adaptation: LiveAdaptation) -> int | None:
    """Return at which version of the strategy the adaptation left it."""
    left = AdaptationEvent.objects.filter(adaptation=adaptation, version_after__isnull=False)
    found: int | None = left.order_by("-number").values_list("version_after", flat=True).first()
    return found
