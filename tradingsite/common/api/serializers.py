"""Serializers that refuse what they do not know, and the fields that the desk's values travel in."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from tradingsite.common.clock import rfc3339
from tradingsite.common.decimals import decimal_string, to_decimal
from tradingsite.common.errors import FieldError, ValidationFailed

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,19}")


class Strict(serializers.Serializer[Any]):
    """Refuses unknown fields by name."""

    default_error_messages: ClassVar = {"invalid": "Must be a JSON object, not {datatype}."}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(str(name) for name in data if name not in known)
            if unknown:
                raise serializers.ValidationError(
                    {
                        name: serializers.ErrorDetail("This field is not known here.", code="unknown_field")
                        for name in unknown
                    }
                )
        return super().to_internal_value(data)


class StrictSerializer(Strict):
    """A serializer for which an unknown field is an error."""


class StrictModelSerializer(Strict, serializers.ModelSerializer[Any]):
    """The same, fields drawn from a model."""


class DecimalStringField(serializers.Field[Decimal, Any, str, Any]):
    """An exact decimal, as a string in both directions; integers are taken too, floats are not."""

    default_error_messages: ClassVar = {
        "minimum": "Must be at least {minimum}.",
        "maximum": "Must be at most {maximum}.",
    }

    def __init__(self, *, minimum: Decimal | None = None, maximum: Decimal | None = None, **kwargs: Any) -> None:
        self.minimum, self.maximum = minimum, maximum
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            number = to_decimal(data)
        except ValidationFailed as error:
            raise serializers.ValidationError(error.errors[0].detail, code=error.errors[0].code) from None
        if self.minimum is not None and number < self.minimum:
            self.fail("minimum", minimum=decimal_string(self.minimum))
        if self.maximum is not None and number > self.maximum:
            self.fail("maximum", maximum=decimal_string(self.maximum))
        return number

    def to_representation(self, value: Decimal | int | str) -> str:
        return decimal_string(Decimal(value))


class UtcDateTimeField(serializers.DateTimeField):
    """A moment: RFC 3339 with an offset on the way in, UTC with `Z` on the way out."""

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str) and re.search(r"(Z|[+-]\d{2}:?\d{2})$", value, re.IGNORECASE) is None:
            raise serializers.ValidationError("Must be an RFC 3339 time with a UTC offset.", code="invalid")
        try:
            return super().to_internal_value(value)
        except OverflowError:
            raise serializers.ValidationError("Must be a time that a calendar knows.", code="invalid") from None

    def to_representation(self, value: Any) -> str:
        return rfc3339(value) if isinstance(value, datetime) else str(value)


class SymbolField(serializers.CharField):
    """An instrument's symbol: capital letters, digits, point and dash."""

    default_error_messages: ClassVar = {"symbol": "Must be 1 to 20 capital letters, digits, points or dashes."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if SYMBOL.fullmatch(text) is None:
            self.fail("symbol")
        return text


def field_errors(detail: Any, pointer: str = "") -> list[FieldError]:
    """Flatten DRF's nested error detail into pointers: `{"steps": {2: {"period": […]}}}` is `steps/2/period`."""
    if isinstance(detail, Mapping):
        found: list[FieldError] = []
        for name, inner in detail.items():
            own = pointer if name == "non_field_errors" else f"{pointer}/{name}".lstrip("/")
            found += field_errors(inner, own)
        return found
    if isinstance(detail, list | tuple):
        found = []
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list | tuple)
            found += field_errors(inner, f"{pointer}/{index}".lstrip("/") if nested else pointer)
        return found
    return [FieldError(pointer, str(getattr(detail, "code", "invalid")), str(detail))]


def validated(serializer_class: type[serializers.Serializer[Any]], data: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the validated body.

    Raises:
        ValidationFailed: with one error for each wrong field.
    """
    serializer = serializer_class(data=data, **kwargs)
    if not serializer.is_valid():
        raise ValidationFailed(errors=field_errors(serializer.errors))
    result: dict[str, Any] = dict(serializer.validated_data)
    return result
