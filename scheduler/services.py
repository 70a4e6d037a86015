"""Every change of a schedule and of the clock."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from safety.services import alert_raise
from scheduler import firing, mirror, work
from scheduler.choices import GapPolicy, Misfire, Overlap, RepeatPolicy, ScheduleKind
from scheduler.cron import Cron
from scheduler.errors import ScheduleNameTaken, ScheduleNotDeleted, ScheduleNotFound
from scheduler.models import Clock, Schedule, ScheduleFire
from scheduler.rules import DAY_S, JITTER_MAX_S, plan, plan_problems
from scheduler.work import run_ended
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.jobs import JobType, job_types
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.owners import require_owner
from tradingsite.common.roles import Role

__all__ = [
    "clock_switch",
    "run_ended",
    "schedule_create",
    "schedule_delete",
    "schedule_preview",
    "schedule_restore",
    "schedule_run",
    "schedule_switch",
    "schedule_update",
]

Precondition = Callable[[Schedule], None]
MAX_NAME = 200
# Beyond these calendars and clocks know nothing, and years run out.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

# What a body may say of a schedule apart from its rule, and what holds when it does not.
OPTIONS: Mapping[str, Any] = {
    "gap": GapPolicy.NEXT,
    "repeat": RepeatPolicy.FIRST,
    "jitter_s": 0,
    "start_at": None,
    "end_at": None,
    "misfire": Misfire.ONCE,
    "misfire_grace_s": 60,
    "misfire_bound": 10,
    "overlap": Overlap.SKIP,
    "pause_after": 5,
}
_WORDS = {"gap": GapPolicy, "repeat": RepeatPolicy, "misfire": Misfire, "overlap": Overlap}
_NUMBERS = {
    "jitter_s": (0, JITTER_MAX_S),
    "misfire_grace_s": (1, DAY_S),
    "misfire_bound": (1, 1000),
    "pause_after": (0, 1000),
}


def rule_fields(schedule: object, timezone: str) -> dict[str, Any]:
    """Turn the API's `schedule` into the fields of a rule: a cron string, an interval, or a market session.

    Raises:
        ValidationFailed: naming what is wrong with it.
    """
    fields: dict[str, Any] = {
        "kind": ScheduleKind.CRON, "cron": "", "timezone": timezone, "every_s": None, "market": "", "event": "",
        "offset_s": 0,
    }  # fmt: skip
    if isinstance(schedule, str):
        fields["cron"] = schedule
    elif isinstance(schedule, Mapping) and "every_s" in schedule:
        fields |= {"kind": ScheduleKind.INTERVAL, **_members(schedule, {"every_s"})}
    elif isinstance(schedule, Mapping) and "market" in schedule:
        given = _members(schedule, {"market", "event", "offset_s"})
        fields |= {"kind": ScheduleKind.MARKET, **given, "market": str(given["market"])[:20]}
    else:
        detail = 'Must be a cron string, {"every_s": 300}, or {"market": "XNYS", "event": "close", "offset_s": -300}.'
        raise ValidationFailed(errors=[FieldError("schedule", "invalid", detail)])
    errors = plan_problems(fields)
    if errors:
        raise ValidationFailed(errors=errors)
    if fields["kind"] == ScheduleKind.CRON:
        fields["cron"] = Cron.parse(fields["cron"]).text
    return fields


def _members(given: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    errors = [
        FieldError(f"schedule/{name}", "unknown_field", "This field is not known here.")
        for name in sorted(map(str, given))
        if name not in known
    ]
    if errors:
        raise ValidationFailed(errors=errors)
    return dict(given)


def schedule_draft(
    *,
    actor: Actor,
    name: str,
    job_type: str,
    schedule: object,
    timezone: str = "UTC",
    config: Mapping[str, Any] | None = None,
    enabled: bool = True,
    **options: Any,
) -> Schedule:
    """Return a checked schedule that is not saved yet.

    Raises:
        ValidationFailed: naming each wrong field.
        PermissionDenied: the job needs a higher role than `actor` has.
    """
    row = Schedule(created_by_id=actor.user_id)
    _fill(row, actor, name=name, job_type=job_type, schedule=schedule, timezone=timezone, config=config or {},
          enabled=enabled, options=options)  # fmt: skip
    return row


def schedule_preview(*, schedule: object, timezone: str = "UTC", enabled: bool = True, **options: Any) -> Schedule:
    """Return a schedule that only tells when it would be due.

    Raises:
        ValidationFailed
    """
    said = {**OPTIONS, **options}
    errors = _option_problems(said)
    if errors:
        raise ValidationFailed(errors=errors)
    return Schedule(enabled=enabled, **rule_fields(schedule, timezone), **said)


def _fill(
    row: Schedule,
    actor: Actor,
    *,
    name: str,
    job_type: str,
    schedule: object,
    timezone: str,
    config: Mapping[str, Any],
    enabled: bool,
    options: Mapping[str, Any],
) -> None:
    said = {**OPTIONS, **options}
    errors = [*_name_problems(name), *_option_problems(said)]
    try:
        rule = rule_fields(schedule, timezone)
    except ValidationFailed as failure:
        rule = {}
        errors += failure.errors
    try:
        row.config = _config(actor, job_type, config)
    except ValidationFailed as failure:
        errors += failure.errors
    if errors:
        raise ValidationFailed(errors=errors)
    row.name, row.job_type = name.strip(), job_type
    for field, value in {**rule, **said}.items():
        setattr(row, field, value)
    row.enabled = enabled
    row.paused_reason = ""
    plan(row, utcnow())


def _name_problems(name: object) -> list[FieldError]:
    text = name.strip() if isinstance(name, str) else ""
    if text and len(text) <= MAX_NAME and text.isprintable():
        return []
    return [FieldError("name", "invalid", f"Must be 1 to {MAX_NAME} printable characters.")]


def _option_problems(said: Mapping[str, Any]) -> list[FieldError]:
    errors = [
        FieldError(name, "unknown_field", "This field is not known here.") for name in said if name not in OPTIONS
    ]
    for name, words in _WORDS.items():
        if said[name] not in words.values:
            errors.append(FieldError(name, "invalid_choice", f"Must be one of {', '.join(words.values)}."))
    for name, (least, most) in _NUMBERS.items():
        value = said[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            errors.append(FieldError(name, "out_of_range", f"Must be a whole number from {least} to {most}."))
    start, end = said["start_at"], said["end_at"]
    for name, moment in (("start_at", start), ("end_at", end)):
        if isinstance(moment, datetime) and not EARLIEST <= moment <= LATEST:
            errors.append(FieldError(name, "out_of_range", f"Must be from {EARLIEST:%Y} to {LATEST:%Y}."))
    if isinstance(start, datetime) and isinstance(end, datetime) and end <= start:
        errors.append(FieldError("end_at", "invalid", "Must be later than start_at."))
    return errors


def _config(actor: Actor, slug: str, config: Mapping[str, Any]) -> dict[str, Any]:
    job_type = _job_type(slug)
    if actor.kind != "system" and not actor.may(job_type.least_role):
        raise PermissionDenied(f"Scheduling {slug} takes the role {job_type.least_role.slug}.")
    try:
        typed = validated(job_type.config_class, config)
        job_type.check(config=typed)
    except ValidationFailed as failure:
        errors = [FieldError(f"config/{e.pointer}".rstrip("/"), e.code, e.detail) for e in failure.errors]
        raise ValidationFailed(errors=errors) from None
    # As it was given: what is stored is JSON, and is typed anew whenever it is used.
    return dict(config)


def _job_type(slug: str) -> JobType:
    try:
        return job_types.get(slug)()
    except UnknownName:
        known = ", ".join(item.slug for item in job_types.all())
        detail = f"There is no such job type. Known: {known}."
        raise ValidationFailed(errors=[FieldError("job_type", "unknown", detail)]) from None


def summary(row: Schedule) -> dict[str, Any]:
    """Return what the audit keeps of a schedule."""
    fields = ("name", "job_type", "config", "enabled", "kind", "cron", "timezone", "every_s", "market", "event",
              "offset_s", *OPTIONS)  # fmt: skip
    values = {field: getattr(row, field) for field in fields}
    return {key: rfc3339(value) if isinstance(value, datetime) else value for key, value in values.items()}


def _save(row: Schedule) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        if "name" not in str(error):
            raise
        raise ScheduleNameTaken(f"Another schedule is named {row.name!r}; choose another name.") from error
    mirror.keep(row)


@transaction.atomic
def schedule_create(*, actor: Actor, **fields: Any) -> Schedule:
    """Write a schedule; the clock sees it at its next look, within a second.

    Raises:
        ValidationFailed, PermissionDenied, ScheduleNameTaken
    """
    row = schedule_draft(actor=actor, **fields)
    _save(row)
    audit.record(actor=actor, action="schedule.create", target=row, after=summary(row))
    return row


def _locked(schedule_id: UUID, *, deleted: bool = False) -> Schedule:
    rows = Schedule.objects.select_for_update(of=("self",)).filter(Q(deleted_at__isnull=not deleted), pk=schedule_id)
    row: Schedule | None = rows.first()
    if row is None:
        raise ScheduleNotFound(f"There is no schedule {schedule_id}.")
    return row


def _nothing(row: Schedule) -> None:
    return None


@transaction.atomic
def schedule_update(
    *, actor: Actor, schedule_id: UUID, changes: Mapping[str, Any], precondition: Precondition = _nothing
) -> Schedule:
    """Change fields of a schedule; its next time is counted anew from now.

    Raises:
        ScheduleNotFound, ValidationFailed, PermissionDenied, ScheduleNameTaken, PreconditionFailed
    """
    row = _locked(schedule_id)
    require_owner(actor=actor, created_by_id=row.created_by_id)
    precondition(row)
    before = summary(row)
    options = {**{name: getattr(row, name) for name in OPTIONS}, **{k: v for k, v in changes.items() if k in OPTIONS}}
    strangers = {k: v for k, v in changes.items() if k not in OPTIONS and k not in _BODY}
    _fill(
        row, actor,
        name=changes.get("name", row.name),
        job_type=changes.get("job_type", row.job_type),
        schedule=changes.get("schedule", rule_spoken(row)),
        timezone=changes.get("timezone", row.timezone),
        config=changes.get("config", row.config),
        enabled=changes.get("enabled", row.enabled),
        options={**options, **strangers},
    )  # fmt: skip
    if row.enabled:
        row.failure_streak = 0
    if actor.user_id is not None:
        # Who saves it last answers for it: it fires with that person's rights.
        row.created_by_id = actor.user_id
    _save(row)
    audit.record(actor=actor, action="schedule.update", target=row, before=before, after=summary(row))
    return row


_BODY = frozenset({"name", "job_type", "schedule", "timezone", "config", "enabled"})


def rule_spoken(row: Schedule) -> str | dict[str, Any]:
    """Return a schedule's rule as the API takes it."""
    if row.kind == ScheduleKind.CRON:
        return row.cron
    if row.kind == ScheduleKind.INTERVAL:
        return {"every_s": row.every_s}
    return {"market": row.market, "event": row.event, "offset_s": row.offset_s}


@transaction.atomic
def schedule_switch(*, actor: Actor, schedule_id: UUID, enabled: bool) -> Schedule:
    """Start or stop one schedule. What passed while it was stopped is not made up for.

    Raises:
        ScheduleNotFound, PermissionDenied
    """
    row = _locked(schedule_id)
    require_owner(actor=actor, created_by_id=row.created_by_id)
    if row.enabled != enabled or row.paused_reason:
        row.enabled = enabled
        row.paused_reason = ""
        row.failure_streak = 0
        plan(row, utcnow())
        _save(row)
        action = "schedule.start" if enabled else "schedule.stop"
        audit.record(actor=actor, action=action, target=row, after={"enabled": enabled})
    return row


@transaction.atomic
def schedule_run(*, actor: Actor, schedule_id: UUID) -> ScheduleFire:
    """Fire a schedule now, beside its rule; also one that is stopped.

    Raises:
        ScheduleNotFound, PermissionDenied
    """
    row = _locked(schedule_id)
    require_owner(actor=actor, created_by_id=row.created_by_id)
    fire = firing.fire_by_hand(row, actor_name=actor.name)
    audit.record(actor=actor, action="schedule.run", target=row, after={"fire_id": str(fire.pk)})
    return fire


@transaction.atomic
def schedule_delete(*, actor: Actor, schedule_id: UUID, precondition: Precondition = _nothing) -> None:
    """Hide a schedule; its history stays, and what it has started goes on.

    Raises:
        ScheduleNotFound, PermissionDenied, PreconditionFailed
    """
    row = _locked(schedule_id)
    require_owner(actor=actor, created_by_id=row.created_by_id)
    precondition(row)
    row.deleted_at = utcnow()
    row.save(update_fields=["deleted_at"])
    mirror.forget(row)
    for fire in row.fires.filter(status="waiting"):
        work.settle_fire(fire, row, "cancelled", message="its schedule was deleted")
    audit.record(actor=actor, action="schedule.delete", target=row, before=summary(row))


@transaction.atomic
def schedule_restore(*, actor: Actor, schedule_id: UUID) -> Schedule:
    """Bring a deleted schedule back, stopped.

    Raises:
        ScheduleNotFound, ScheduleNotDeleted, PermissionDenied, ScheduleNameTaken
    """
    if Schedule.objects.alive().filter(pk=schedule_id).exists():
        raise ScheduleNotDeleted
    row = _locked(schedule_id, deleted=True)
    require_owner(actor=actor, created_by_id=row.created_by_id)
    row.deleted_at, row.enabled = None, False
    _save(row)
    audit.record(actor=actor, action="schedule.restore", target=row, after=summary(row))
    return row


@transaction.atomic
def clock_switch(*, actor: Actor, running: bool, reason: str = "") -> Clock:
    """Start or stop the whole clock. What passed while it was stopped on purpose is not made up for.

    Raises:
        PermissionDenied: below operator.
    """
    if actor.kind != "system" and not actor.may(Role.OPERATOR):
        raise PermissionDenied("The whole clock takes an operator.")
    Clock.objects.get_or_create(pk=1)
    clock = Clock.objects.select_for_update().get(pk=1)
    if clock.running == running:
        return clock
    clock.running, clock.changed_at, clock.changed_by, clock.reason = running, utcnow(), actor.name, reason[:500]
    clock.save()
    if running:
        for row in Schedule.objects.alive().filter(enabled=True).select_for_update(of=("self",)):
            plan(row, clock.changed_at)
            row.save(update_fields=["next_run_at", "due_at"])
    else:
        alert_raise(
            kind="clock",
            name="Clock stopped",
            severity="warning",
            message=f"{actor.name} stopped the clock: no schedule fires. {reason}".strip(),
            actor=actor,
        )
    action = "clock.start" if running else "clock.stop"
    audit.record(actor=actor, action=action, target=clock, after={"running": running}, reason=reason)
    return clock
