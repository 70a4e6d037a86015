"""Changing the limits."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from safety import selectors
from safety.models import SETTINGS_ID, SafetySettings
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import to_decimal
from tradingsite.common.errors import FieldError, PermissionDenied, PreconditionFailed, ValidationFailed
from tradingsite.common.roles import Role

_MONEY = ("position_limit", "order_notional_limit")


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
    if not actor.may(Role.ADMIN):
        raise PermissionDenied("Only an admin changes limits.")
    with transaction.atomic():
        SafetySettings.objects.bulk_create([SafetySettings()], ignore_conflicts=True)
        row = SafetySettings.objects.select_for_update().get(pk=SETTINGS_ID)
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(f"The limits are at version {row.version}, not {expected_version}.")
        before = selectors.limits_as_json(row)
        _apply_limits(row, changes)
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


def _apply_limits(row: SafetySettings, changes: Mapping[str, Any]) -> None:
    errors: list[FieldError] = []
    for name, value in changes.items():
        if name not in selectors.CODE_OF:
            errors.append(FieldError(name, "unknown_field", "There is no such limit."))
            continue
        kind = type(SafetySettings._meta.get_field(name))
        try:
            if name in _MONEY:
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
        raise ValidationFailed(
            "Some limits are not valid.",
            errors=[FieldError(name, "invalid", " ".join(messages)) for name, messages in error.message_dict.items()],
        ) from None
