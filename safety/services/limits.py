"""Changing the limits."""

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from market import selectors as market
from safety import selectors
from safety.choices import LimitScope
from safety.facts import NARROWABLE
from safety.models import SETTINGS_ID, SafetySettings, ScopedLimits
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField, to_decimal
from tradingsite.common.errors import FieldError, PermissionDenied, PreconditionFailed, ValidationFailed
from tradingsite.common.roles import Role


def limits_update(
    *, actor: Actor, changes: Mapping[str, Any], expected_version: int | None = None, reason: str = ""
) -> SafetySettings:
    """Change some limits; all are checked before one is written.

    Args:
        changes: limits by name; money as decimal strings or Decimals.
        expected_version: refuse when the settings have changed since this version was read.

    Raises:
        PermissionDenied: for anybody but an admin.
        ValidationFailed: naming every unknown name, wrong type, wrong sign, NaN or empty value.
        PreconditionFailed: on another version.
    """
    _admin_only(actor)
    with transaction.atomic():
        SafetySettings.objects.bulk_create([SafetySettings()], ignore_conflicts=True)
        row = SafetySettings.objects.select_for_update().get(pk=SETTINGS_ID)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(f"The limits are at version {row.version}, not {expected_version}.")
        before = selectors.limits_as_json(row)
        _apply_limits(row, changes, selectors.SETTABLE)
        after = selectors.limits_as_json(row)
        changed = {name for name in after if after[name] != before[name]}
        if not changed:
            return row
        row.version += 1
        row.updated_at = utcnow()
        row.updated_by = actor.name[:150]
        row.save()
        audit.record(
            actor=actor,
            action="limits.update",
            target=row,
            before={name: before[name] for name in sorted(changed)},
            after={name: after[name] for name in sorted(changed)},
            reason=reason,
        )
    return row


def scoped_limits_set(
    *,
    actor: Actor,
    scope: str,
    key: str,
    limits: Mapping[str, Any],
    expected_version: int | None = None,
    reason: str = "",
) -> ScopedLimits:
    """Give one strategy or instrument limits of its own, in place of those that it had.

    Args:
        key: the strategy's id, or the instrument's symbol.
        limits: by name, those that are to be narrower than the desk's; at least one.
        expected_version: refuse when they have changed since this version was read; 0 for none there were.

    Raises:
        PermissionDenied: for anybody but an admin.
        ValidationFailed: naming the scope, the key or every limit that makes no sense.
        PreconditionFailed: on another version.
    """
    _admin_only(actor)
    key = selectors.scope_key(scope, key)
    if scope == LimitScope.INSTRUMENT and key not in market.instruments_by_symbol([key]):
        raise ValidationFailed(errors=[FieldError("key", "unknown", f"There is no instrument {key!r}.")])
    if not limits:
        raise ValidationFailed(errors=[FieldError("", "required", "Name at least one limit, or delete them all.")])
    with transaction.atomic():
        ScopedLimits.objects.bulk_create([ScopedLimits(scope=scope, key=key, version=0)], ignore_conflicts=True)
        row = ScopedLimits.objects.select_for_update().get(scope=scope, key=key)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(f"The limits of {row.name} are at version {row.version}, not {expected_version}.")
        before = selectors.scoped_limits_as_json(row)
        for name in NARROWABLE:
            setattr(row, name, None)
        _apply_limits(row, limits, NARROWABLE)
        after = selectors.scoped_limits_as_json(row)
        if after == before:
            return row
        row.version += 1
        row.updated_by = actor.name[:150]
        row.save()
        audit.record(actor=actor, action="scoped_limits.set", target=row, before=before, after=after, reason=reason)
    return row


def scoped_limits_remove(*, actor: Actor, scope: str, key: str, reason: str = "") -> None:
    """Let the desk's limits alone hold for a strategy or an instrument again.

    Raises:
        PermissionDenied: for anybody but an admin.
        ValidationFailed: for a scope or a key that cannot be.
        ScopedLimitsNotFound: when it has none of its own.
    """
    _admin_only(actor)
    with transaction.atomic():
        row = selectors.scoped_limits_get(scope, key)
        before = selectors.scoped_limits_as_json(row)
        audit.record(actor=actor, action="scoped_limits.remove", target=row, before=before, reason=reason)
        row.delete()


def _admin_only(actor: Actor) -> None:
    if not actor.may(Role.ADMIN):
        raise PermissionDenied("Only an admin changes limits.")


def _apply_limits(row: models.Model, changes: Mapping[str, Any], known: Collection[str]) -> None:
    errors: list[FieldError] = []
    for name, value in changes.items():
        if name not in known:
            errors.append(FieldError(name, "unknown_field", "There is no such limit."))
            continue
        kind = type(row._meta.get_field(name))
        try:
            if issubclass(kind, ExactField):
                value = to_decimal(value, name)
            elif kind is models.BooleanField and not isinstance(value, bool):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be true or false.")])
            elif kind is models.PositiveIntegerField and (not isinstance(value, int) or isinstance(value, bool)):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be a whole number.")])
            elif kind is models.CharField and not isinstance(value, str):
                raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be a word.")])
        except ValidationFailed as error:
            errors.extend(error.errors)
            continue
        setattr(row, name, value)
    if errors:
        raise ValidationFailed("Some limits are not valid.", errors=errors)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        # Of two that contradict each other, the one that was given is told.
        found = {name: messages for name, messages in error.message_dict.items() if name in changes}
        raise ValidationFailed(
            "Some limits are not valid.",
            errors=[
                FieldError(name, "invalid", " ".join(messages))
                for name, messages in (found or error.message_dict).items()
            ],
        ) from None
