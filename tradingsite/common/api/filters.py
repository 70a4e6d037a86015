"""Filters by query parameter: typed, and wrong values are a 400 that names the parameter."""

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed


class MomentField(forms.CharField):
    """An RFC 3339 time with offset, or a date, which is its midnight UTC."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_rfc3339(f"{text}T00:00:00Z" if len(text) == 10 else text.replace(" ", "+"))
        except (ValueError, OverflowError):
            raise forms.ValidationError(
                "Must be a date or an RFC 3339 time with a UTC offset.", code="invalid"
            ) from None


@extend_schema_field(
    {"type": "string", "description": "An RFC 3339 time with offset, or a date, which is its midnight UTC."}
)
class MomentFilter(django_filters.Filter):
    field_class = MomentField


class PairField(forms.CharField):
    """Two moments with a comma between; either may be empty."""

    def clean(self, value: Any) -> tuple[datetime | None, datetime | None] | None:
        text = super().clean(value)
        if not text:
            return None
        parts = text.split(",")
        if len(parts) != 2:
            raise forms.ValidationError("Must be two times with a comma between.", code="invalid")
        moment = MomentField(required=False)
        return moment.clean(parts[0]), moment.clean(parts[1])


@extend_schema_field(
    {
        "type": "string",
        "pattern": "^[^,]*,[^,]*$",
        "description": "Two times with a comma between: from the first up to and without the second. Either may be empty.",
    }
)
class PairFilter(django_filters.Filter):
    """`?date_range=a,b`: from a up to and without b."""

    field_class = PairField

    def filter(self, qs: QuerySet[Any], value: tuple[datetime | None, datetime | None] | None) -> QuerySet[Any]:
        if value is None:
            return qs
        after, before = value
        if after is not None:
            qs = qs.filter(**{f"{self.field_name}__gte": after})
        if before is not None:
            qs = qs.filter(**{f"{self.field_name}__lt": before})
        return qs


class StrictFilterSet(django_filters.FilterSet):
    """A filter set whose wrong values are errors; the view refuses the unknown ones."""


class CreatedFilterSet(StrictFilterSet):
    """Adds `created_after`, `created_before` and `date_range`."""

    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    date_range = PairFilter(field_name="created_at")


def checked(
    filterset_class: type[django_filters.FilterSet], request: Request, queryset: QuerySet[Any]
) -> django_filters.FilterSet:
    """Return the filter set of the query parameters, whose `form.cleaned_data` holds what they say.

    Raises:
        ValidationFailed: naming each wrong parameter.
    """
    filterset = filterset_class(request.query_params, queryset=queryset, request=request)
    if not filterset.is_valid():
        raise ValidationFailed(
            errors=[
                FieldError(name, error.code or "invalid", str(message))
                for name, errors in filterset.form.errors.as_data().items()
                for error in errors
                for message in error.messages
            ]
        )
    return filterset


def filtered(
    filterset_class: type[django_filters.FilterSet], request: Request, queryset: QuerySet[Any]
) -> QuerySet[Any]:
    """Apply the query parameters.

    Raises:
        ValidationFailed: naming each wrong parameter.
    """
    result: QuerySet[Any] = checked(filterset_class, request, queryset).qs
    return result


class DeskFilterBackend(DjangoFilterBackend):
    """Applies the view's `filterset_class`; wrong values are refused by name."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = getattr(view, "filterset_class", None)
        return queryset if filterset_class is None else filtered(filterset_class, request, queryset)


class DeskOrderBackend(BaseFilterBackend):
    """Applies `?search=` and `?ordering=` where the view names the fields for them."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if view.search_fields:
            queryset = searched(view.search_fields, request, queryset)
        if view.ordering_fields and ("ordering" in request.query_params or view.default_ordering):
            queryset = ordered(view.ordering_fields, request, queryset, view.default_ordering)
        return queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        found = []
        if view.search_fields:
            description = f"Text that one of {', '.join(view.search_fields)} contains."
            found.append({"name": "search", "in": "query", "description": description, "schema": {"type": "string"}})
        if view.ordering_fields:
            names = [sign + name for name in view.ordering_fields for sign in ("", "-")]
            found.append(
                {
                    "name": "ordering",
                    "in": "query",
                    "description": "A field to sort by, with a dash for descending.",
                    "schema": {"type": "string", "enum": names},
                }
            )
        return found


def ordered(allowed: tuple[str, ...], request: Request, queryset: QuerySet[Any], default: str) -> QuerySet[Any]:
    """Apply `?ordering=`: one name of `allowed`, a dash before it for descending; ties are broken by id.

    Raises:
        ValidationFailed: for a name off the list.
    """
    text = request.query_params.get("ordering", default)
    if text.removeprefix("-") not in {*allowed, default.removeprefix("-")} - {""}:
        raise ValidationFailed(
            errors=[
                FieldError("ordering", "invalid_choice", f"Must be one of {', '.join(allowed)}, with or without '-'.")
            ]
        )
    tie = "-pk" if text.startswith("-") else "pk"
    return queryset.order_by(text, tie)


def searched(fields: tuple[str, ...], request: Request, queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Apply `?search=`: rows in which any of `fields` contains the text, whatever its case."""
    text = request.query_params.get("search", "").strip()
    if not text:
        return queryset
    condition = Q()
    for name in fields:
        condition |= Q(**{f"{name}__icontains": text})
    return queryset.filter(condition)
