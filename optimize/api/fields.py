"""Fields of the optimiser's bodies: numbers that are numbers, the bounds of a period, and a data source's name."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from rest_framework import serializers

from market.models import SLUG_PATTERN
from tradingsite.common.api.serializers import UtcDateTimeField

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_YEARS = (1900, 2200)


class NumberField(serializers.FloatField):
    """A JSON number; text and true are none."""

    default_error_messages: ClassVar = {"invalid": "Must be a number."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(super().to_internal_value(data))
        except OverflowError:
            self.fail("invalid")


class WholeField(serializers.IntegerField):
    """A whole JSON number; text, true and 2.5 are none."""

    default_error_messages: ClassVar = {"invalid": "Must be a whole number."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class PeriodField(UtcDateTimeField):
    """A date, or an RFC 3339 time with offset. A date is its first moment UTC, or as the end of a period its last."""

    def __init__(self, *, ends: bool = False, **kwargs: Any) -> None:
        self.ends = ends
        super().__init__(**kwargs)

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str) and _DAY.fullmatch(value):
            try:
                day = datetime.combine(datetime.fromisoformat(value), time(), UTC)
            except ValueError:
                raise serializers.ValidationError("Must be a date such as 2020-01-31.", code="invalid") from None
            found = day + timedelta(days=1, microseconds=-1) if self.ends and day.year < _YEARS[1] else day
        else:
            found = super().to_internal_value(value)
        if not _YEARS[0] <= found.year < _YEARS[1]:
            detail = f"Must be between the years {_YEARS[0]} and {_YEARS[1]}."
            raise serializers.ValidationError(detail, code="out_of_range")
        return found.astimezone(UTC)


class SourceField(serializers.RegexField):
    """The slug of a data source, or null, which it is when left out."""

    def __init__(self, help_text: str = "The data source; each instrument's default when left out.") -> None:
        super().__init__(SLUG_PATTERN, required=False, allow_null=True, default=None, help_text=help_text)
