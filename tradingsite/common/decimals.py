"""Money, prices and quantities: exact decimals from the outside to the database and back."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.db import models

from tradingsite.common.errors import FieldError, ValidationFailed

PLACES = 10
DIGITS = 28
_LIMIT = Decimal(10) ** (DIGITS - PLACES)


def to_decimal(value: object, pointer: str = "") -> Decimal:
    """Return `value` (str, int or Decimal) as a finite Decimal that the database can hold.

    Raises:
        ValidationFailed: naming `pointer`, for a float, a boolean, text that is no number, NaN, infinity or a number
            too large or too fine to store.
    """
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", "Must be a decimal string.")])
    try:
        number = Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
    except InvalidOperation:
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", "Must be a decimal string.")]) from None
    if not number.is_finite():
        raise ValidationFailed(errors=[FieldError(pointer, "not_finite", "Must be a finite number.")])
    exponent = number.normalize().as_tuple().exponent
    if abs(number) >= _LIMIT or (isinstance(exponent, int) and exponent < -PLACES):
        detail = f"Must have at most {DIGITS - PLACES} digits before and {PLACES} after the point."
        raise ValidationFailed(errors=[FieldError(pointer, "out_of_range", detail)])
    return number


def decimal_string(number: Decimal) -> str:
    """Write `number` plainly: no exponent, no trailing zeros, no negative zero."""
    if number == 0:
        return "0"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class ExactFormField(forms.DecimalField):
    """A form's decimal, offered for editing without the zeros that only fill its places."""

    def prepare_value(self, value: Any) -> Any:
        return decimal_string(value) if isinstance(value, Decimal) else value


class ExactField(models.DecimalField):  # type: ignore[type-arg]  # takes none at run time
    """A DecimalField of 28 digits, 10 of them after the point."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", DIGITS)
        kwargs.setdefault("decimal_places", PLACES)
        super().__init__(*args, **kwargs)

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        return super().formfield(*args, **{"form_class": ExactFormField, **kwargs})


class MoneyField(ExactField):
    """An amount in the account's currency."""


class PriceField(ExactField):
    """Currency per unit of the instrument."""


class QuantityField(ExactField):
    """Units of the instrument."""
