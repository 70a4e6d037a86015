"""Goals: every change of what an account should hold, and the watch over how far it is from there."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from django.db import IntegrityError, transaction
from django.db.models import Q

from market.selectors import instruments_by_symbol
from portfolio.drift import Watch, watched
from portfolio.errors import GoalNameTaken, GoalNotDeleted, GoalUnknown
from portfolio.goal_selectors import goal_measure
from portfolio.models import Account, Goal, GoalWatch
from portfolio.selectors import account_default
from safety.alerting.selectors import drift_told_by_rule
from safety.services import alert_raise
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.directories import STRATEGY, is_known
from tradingsite.common.decimals import decimal_string, to_decimal
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.owners import require_owner

Precondition = Callable[[Goal], None]

MAX_NAME = 120
MAX_SYMBOLS = 200
CHECK_EVERY = timedelta(seconds=30)
WATCHMAN = Actor.system("drift watch")
_FIELDS = ("name", "target_weights", "drift_threshold", "strategy_id", "enabled")
# A change of one of these asks another question: what was remembered of the old one is no answer to it.
_WATCHED = ("target_weights", "drift_threshold", "enabled")


def goal_create(
    *,
    actor: Actor,
    name: str,
    target_weights: Mapping[str, object],
    drift_threshold: object,
    strategy_id: UUID | None = None,
    enabled: bool = True,
) -> Goal:
    """Create a goal of the desk's account. Its drift is watched from this moment on: it is looked at for the first time
    in the same transaction.

    Args:
        target_weights: by symbol, above 0 and at most 1 together; the rest is cash.
        drift_threshold: above 0, at most 1.

    Raises:
        ValidationFailed: naming each wrong field, as `target_weights/<symbol>` where it is one weight.
        GoalNameTaken, AccountMissing
    """
    with transaction.atomic():
        goal = Goal(account=account_default(), created_by_id=actor.user_id)
        _fill(
            goal,
            name=name,
            target_weights=target_weights,
            drift_threshold=drift_threshold,
            strategy_id=strategy_id,
            enabled=enabled,
        )
        _save(goal)
        GoalWatch.objects.create(goal=goal)
        audit.record(actor=actor, action="goal.create", target=goal, after=_summary(goal))
        _look(goal.pk)
    return goal


def goal_update(
    *, actor: Actor, goal_id: UUID, changes: Mapping[str, Any], precondition: Precondition | None = None
) -> Goal:
    """Change what `changes` names; `target_weights` as a whole. Other weights, another threshold or switching it on
    begins the watch anew.

    Raises:
        GoalUnknown, ValidationFailed, GoalNameTaken, PermissionDenied
    """
    with transaction.atomic():
        goal = _alive(goal_id)
        require_owner(actor=actor, created_by_id=goal.created_by_id)
        if precondition is not None:
            precondition(goal)
        unknown = sorted(set(changes) - set(_FIELDS))
        if unknown:
            raise ValidationFailed(
                errors=[FieldError(each, "unknown_field", "There is no such field.") for each in unknown]
            )
        before = _summary(goal)
        _fill(goal, **{**{field: getattr(goal, field) for field in _FIELDS}, **changes})
        after = _summary(goal)
        if after == before:
            return goal
        goal.version += 1
        _save(goal)
        audit.record(actor=actor, action="goal.update", target=goal, before=before, after=after)
        if any(before[field] != after[field] for field in _WATCHED):
            _forget(goal)
            _look(goal.pk)
    return goal


def goal_delete(*, actor: Actor, goal_id: UUID, precondition: Precondition | None = None) -> None:
    """Hide a goal and end its watch; what was ordered for it stays.

    Raises:
        GoalUnknown, PermissionDenied
    """
    with transaction.atomic():
        goal = _alive(goal_id)
        require_owner(actor=actor, created_by_id=goal.created_by_id)
        if precondition is not None:
            precondition(goal)
        goal.deleted_at = utcnow()
        goal.save(update_fields=["deleted_at"])
        audit.record(actor=actor, action="goal.delete", target=goal, before=_summary(goal))


def goal_restore(*, actor: Actor, goal_id: UUID) -> Goal:
    """Bring a deleted goal back under its name; its watch begins anew.

    Raises:
        GoalUnknown, GoalNotDeleted, PermissionDenied
        GoalNameTaken: when another goal took the name meanwhile.
    """
    with transaction.atomic():
        goal = _locked(goal_id)
        require_owner(actor=actor, created_by_id=goal.created_by_id)
        if goal.deleted_at is None:
            raise GoalNotDeleted(f"Goal {goal.name!r} is not deleted.")
        goal.deleted_at = None
        _save(goal)
        audit.record(actor=actor, action="goal.restore", target=goal, after=_summary(goal))
        _forget(goal)
        _look(goal.pk)
    return goal


def goals_check(*, at_most_every: timedelta = CHECK_EVERY) -> dict[str, int]:
    """Look at every enabled goal and raise an alert for each that has just drifted over its threshold.

    Any number of processes may do so at once: one of them looks at a goal, the others pass it by.

    Args:
        at_most_every: goals that were looked at less than this ago are left.

    Returns:
        `checked`, `over` (of those, over their thresholds) and `unknown` (of those, without equity or a price).
    """
    due = Q(watch__checked_at=None) | Q(watch__checked_at__lte=utcnow() - at_most_every)
    found = {"checked": 0, "over": 0, "unknown": 0}
    for goal_id in list(Goal.objects.alive().filter(due, enabled=True).order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            watch = _look(goal_id)
        if watch is not None:
            found["checked"] += 1
            found["over"] += watch.over_since is not None
            found["unknown"] += watch.total_drift is None
    return found


def _look(goal_id: UUID) -> GoalWatch | None:
    """Measure a goal under the lock of its watch, so that one look follows another; None when another process has it.

    An account that cannot be valued leaves what is remembered as it is: neither a crossing nor a recovery is a guess.
    """
    watch = (
        GoalWatch.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("goal__account")
        .filter(goal_id=goal_id, goal__enabled=True, goal__deleted_at=None)
        .first()
    )
    if watch is None:
        return None
    goal, now, looked_before = watch.goal, utcnow(), watch.checked_at
    found = goal_measure(goal, wall=now)
    watch.checked_at, watch.total_drift = now, None
    if found.measure is not None and not found.unpriced:
        total = watch.total_drift = found.measure.total
        after = watched(Watch(watch.over_since), total=total, threshold=goal.drift_threshold, at=now)
        crossed = after.over_since is not None and watch.over_since is None
        if crossed and not drift_told_by_rule(
            goal_id=goal.pk, threshold=goal.drift_threshold, since=looked_before, now=now
        ):
            _tell(goal, total, now)
        watch.over_since = after.over_since
    watch.save()
    return watch


def _tell(goal: Goal, total: Decimal, since: datetime) -> None:
    percent, most = (
        f"{decimal_string((each * 100).quantize(Decimal('0.01')))} %" for each in (total, goal.drift_threshold)
    )
    alert_raise(
        kind="drift",
        name=goal.name,
        severity="warning",
        message=f"{goal.account.name} has drifted {percent} from goal {goal.name}; its threshold is {most}.",
        value=total,
        threshold=goal.drift_threshold,
        event_id=uuid5(goal.pk, rfc3339(since)),
        actor=WATCHMAN,
    )


def _forget(goal: Goal) -> None:
    # Locks the watch: a look that is at work ends first, and with the old definition.
    GoalWatch.objects.select_for_update().get(pk=goal.pk)
    GoalWatch.objects.filter(pk=goal.pk).update(over_since=None, checked_at=None, total_drift=None)


def _fill(
    goal: Goal,
    *,
    name: object,
    target_weights: object,
    drift_threshold: object,
    strategy_id: UUID | None,
    enabled: bool,
) -> None:
    """Write checked fields into `goal`.

    Raises:
        ValidationFailed: naming every wrong one.
    """
    errors: list[FieldError] = []
    text = name.strip() if isinstance(name, str) else ""
    if not text or len(text) > MAX_NAME or not text.isprintable():
        errors.append(FieldError("name", "invalid", f"Must be 1 to {MAX_NAME} printable characters."))
    weights = _weights(target_weights, goal.account, errors)
    threshold = _fraction(drift_threshold, "drift_threshold", errors)
    # One that a goal has may have been deleted since: its kill switch holds on, and the goal's other fields can change.
    if strategy_id is not None and strategy_id != goal.strategy_id and not is_known(STRATEGY, strategy_id):
        detail = "There is no such strategy: take an id of GET /api/strategies, or null."
        errors.append(FieldError("strategy_id", "unknown_strategy", detail))
    if errors:
        raise ValidationFailed(errors=errors)
    goal.name = text
    goal.target_weights = {symbol: decimal_string(weight) for symbol, weight in sorted(weights.items())}
    goal.drift_threshold = threshold
    goal.strategy_id, goal.enabled = strategy_id, enabled


def _weights(given: object, account: Account, errors: list[FieldError]) -> dict[str, Decimal]:
    if not isinstance(given, Mapping) or not given:
        errors.append(
            FieldError("target_weights", "invalid", "Must be an object of one weight for each symbol, one at least.")
        )
        return {}
    if len(given) > MAX_SYMBOLS:
        errors.append(FieldError("target_weights", "too_many", f"Must be at most {MAX_SYMBOLS} symbols."))
        return {}
    known = instruments_by_symbol([str(symbol) for symbol in given])
    before = len(errors)
    weights = {}
    for symbol, value in given.items():
        pointer = f"target_weights/{str(symbol)[:40]}"
        weights[str(symbol)] = _fraction(value, pointer, errors)
        instrument = known.get(str(symbol))
        if instrument is None:
            detail = "There is no such instrument. Import bars for it, or add it under market/instruments."
            errors.append(FieldError(pointer, "unknown_symbol", detail))
        elif instrument.currency != account.currency:
            detail = f"It is priced in {instrument.currency}, the account holds {account.currency}."
            errors.append(FieldError(pointer, "currency_mismatch", detail))
    total = sum(weights.values(), Decimal(0))
    if len(errors) == before and total > 1:
        detail = f"The weights come to {decimal_string(total)}; together they may be at most 1, the rest is cash."
        errors.append(FieldError("target_weights", "sum_above_one", detail))
    return weights


def _fraction(value: object, pointer: str, errors: list[FieldError]) -> Decimal:
    """Return `value` as a number above 0 and at most 1; else 0, with the error added."""
    try:
        number = to_decimal(value, pointer)
    except ValidationFailed as failure:
        errors += failure.errors
        return Decimal(0)
    if not 0 < number <= 1:
        what = "Must be above 0" if number <= 0 else "Must be at most 1"
        errors.append(FieldError(pointer, "out_of_range", f"{what}: it is a fraction of the equity."))
        return Decimal(0)
    return number


def _summary(goal: Goal) -> dict[str, Any]:
    return {
        "name": goal.name,
        "target_weights": goal.target_weights,
        "drift_threshold": decimal_string(goal.drift_threshold),
        "strategy_id": None if goal.strategy_id is None else str(goal.strategy_id),
        "enabled": goal.enabled,
    }


def _locked(goal_id: UUID) -> Goal:
    goal: Goal | None = (
        Goal.objects.select_for_update(of=("self",)).select_related("account").filter(pk=goal_id).first()
    )
    if goal is None:
        raise GoalUnknown(f"There is no goal {goal_id}.")
    return goal


def _alive(goal_id: UUID) -> Goal:
    goal = _locked(goal_id)
    if goal.deleted_at is not None:
        raise GoalUnknown(f"There is no goal {goal_id}.")
    return goal


def _save(goal: Goal) -> None:
    """Save a goal whose name is unique among the living; the constraint decides, not a look beforehand."""
    try:
        with transaction.atomic():
            goal.save()
    except IntegrityError as error:
        if "name" not in str(error):
            raise
        raise GoalNameTaken(f"Another goal is named {goal.name!r}; choose another name.") from error
