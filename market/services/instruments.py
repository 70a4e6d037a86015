"""Creating and changing instruments."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, transaction

from market.calendars import calendar
from market.errors import CalendarUnknown, InstrumentExists
from market.models import Instrument
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.roles import Role

EDITABLE = (
    "name",
    "exchange",
    "currency",
    "asset_class",
    "price_precision",
    "quantity_precision",
    "lot_size",
    "default_source",
    "enabled",
)


def instrument_create(*, actor: Actor, symbol: str, fields: Mapping[str, Any]) -> Instrument:
    """Add an instrument; `fields` are some of EDITABLE.

    Raises:
        InstrumentExists: the symbol is taken.
        ValidationFailed: naming each wrong field.
    """
    instrument = Instrument(symbol=symbol, created_by_id=actor.user_id)
    _apply(instrument, fields)
    try:
        with transaction.atomic():
            instrument.save(force_insert=True)
            audit.record(actor=actor, action="instrument.create", target=instrument, after=_facts(instrument))
    except IntegrityError:
        raise InstrumentExists(f"{symbol} is known already; change it instead.") from None
    return instrument


def instrument_update(
    *,
    actor: Actor,
    instrument: Instrument,
    changes: Mapping[str, Any],
    precondition: Callable[[Instrument], None] | None = None,
) -> Instrument:
    """Change an instrument; `changes` are some of EDITABLE.

    Args:
        precondition: called with the locked row before anything changes; raises to refuse.

    Raises:
        PermissionDenied: a trader changes what someone else, or an import of someone else, has made.
        ValidationFailed: naming each wrong field.
    """
    with transaction.atomic():
        locked: Instrument = Instrument.objects.lock().get(pk=instrument.pk)
        theirs = actor.kind != "system" and locked.created_by_id != actor.user_id
        if theirs and not actor.may(Role.OPERATOR):
            raise PermissionDenied(f"{locked.symbol} was added by someone else; an operator may change it.")
        if precondition is not None:
            precondition(locked)
        before = _facts(locked)
        _apply(locked, changes)
        after = _facts(locked)
        if after != before:
            locked.version += 1
            locked.save()
            audit.record(actor=actor, action="instrument.update", target=locked, before=before, after=after)
    return locked


def _apply(instrument: Instrument, fields: Mapping[str, Any]) -> None:
    unknown = sorted(set(fields) - set(EDITABLE))
    if unknown:
        raise ValidationFailed(
            errors=[FieldError(name, "unknown_field", "This field is not known here.") for name in unknown]
        )
    for name, value in fields.items():
        setattr(instrument, name, value)
    errors: list[FieldError] = []
    try:
        # Uniqueness is the database's to say: checked here it would be a race.
        instrument.full_clean(validate_unique=False, validate_constraints=False)
    except DjangoValidationError as error:
        for name, messages in error.message_dict.items():
            errors += [FieldError(name, "invalid", message) for message in messages]
    if not errors:
        try:
            calendar(instrument.exchange)
        except CalendarUnknown as unknown_calendar:
            errors.append(FieldError("exchange", "invalid_choice", unknown_calendar.detail))
    if errors:
        raise ValidationFailed(errors=errors)


def _facts(instrument: Instrument) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(instrument, name) for name in EDITABLE if name != "default_source"}
    facts["lot_size"] = decimal_string(Decimal(instrument.lot_size))
    facts["default_source"] = instrument.default_source.slug if instrument.default_source else None
    return {"symbol": instrument.symbol, **facts}
