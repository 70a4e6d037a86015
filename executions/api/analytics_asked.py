"""What the routes of analytics are asked: a span of time, days, versions, workflows."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django import forms
from rest_framework.request import Request

from executions import analytics
from executions.models import WorkflowExecution
from tradingsite.common.api.filters import CreatedFilterSet, StrictFilterSet, checked
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from workflows.metrics_days import Span

COMPARED_MAX = 20
DAYS_SHOWN, DAYS_MAX = 30, 366
# No run is older or newer; farther away, days have no names in every zone.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class VersionNumber(django_filters.Filter):
    field_class = forms.IntegerField

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=2**31 - 1, **kwargs)


class DayField(forms.CharField):
    """A date as 2026-01-05."""

    def clean(self, value: Any) -> date | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
        except ValueError:
            day = None
        if day is None or not EARLIEST.date() <= day < LATEST.date():
            raise forms.ValidationError("Must be a date such as 2026-01-05.", code="invalid")
        return day


class DayFilter(django_filters.Filter):
    field_class = DayField


class SpanFilterSet(CreatedFilterSet):
    class Meta:
        model = WorkflowExecution
        fields: ClassVar[list[str]] = []


class MetricsFilterSet(SpanFilterSet):
    version = VersionNumber()


class VersionsFilterSet(SpanFilterSet):
    a, b = VersionNumber(required=True), VersionNumber(required=True)


class TrendsFilterSet(StrictFilterSet):
    first_day, last_day = DayFilter(), DayFilter()
    version = VersionNumber()

    class Meta:
        model = WorkflowExecution
        fields: ClassVar[list[str]] = []


def asked(filterset_class: type[StrictFilterSet], request: Request) -> dict[str, Any]:
    """Return what the query parameters say.

    Raises:
        ValidationFailed: naming each wrong one.
    """
    said: dict[str, Any] = checked(filterset_class, request, WorkflowExecution.objects.none()).form.cleaned_data
    return said


def span_asked(said: Mapping[str, Any]) -> Span:
    """Return the span in which the runs were created that are asked for.

    Raises:
        ValidationFailed: it ends before it begins.
    """
    pair = said["date_range"] or (None, None)
    starts = [_within(moment) for moment in (said["created_after"], pair[0]) if moment is not None]
    ends = [_within(moment) for moment in (said["created_before"], pair[1]) if moment is not None]
    span = Span(max(starts) if starts else None, min(ends) if ends else None)
    if span.start is not None and span.end is not None and span.end < span.start:
        name = "created_before" if said["created_before"] is not None else "date_range"
        raise ValidationFailed(errors=[FieldError(name, "invalid", "Must not end before it begins.")])
    return span


def _within(moment: datetime) -> datetime:
    return min(max(moment, EARLIEST), LATEST)


def days_asked(said: Mapping[str, Any]) -> tuple[date, date]:
    """Return the first and the last day that are asked for; without them the last 30 up to today.

    Raises:
        ValidationFailed: they are the wrong way round, or too many.
    """
    last = said["last_day"] or max(analytics.today(), said["first_day"] or date.min)
    first = said["first_day"] or last - timedelta(days=DAYS_SHOWN - 1)
    if last < first:
        raise ValidationFailed(errors=[FieldError("last_day", "invalid", "Must not be before the first day.")])
    if (last - first).days >= DAYS_MAX:
        raise ValidationFailed(errors=[FieldError("first_day", "too_many", f"At most {DAYS_MAX} days at once.")])
    return first, last


def workflows_asked(request: Request) -> dict[UUID, str]:
    """Return the names of the workflows asked for by id, in the order asked.

    Raises:
        ValidationFailed: there are none or too many, or one is no id or of no workflow.
    """
    given = [*request.query_params.getlist("workflow_ids"), *request.query_params.getlist("workflow_ids[]")]
    texts = [text.strip() for each in given for text in each.split(",")]
    if not any(texts):
        raise ValidationFailed(errors=[FieldError("workflow_ids", "required", "Name at least one workflow.")])
    if len(texts) > COMPARED_MAX:
        raise ValidationFailed(errors=[FieldError("workflow_ids", "too_many", f"At most {COMPARED_MAX} at once.")])
    ids = [parse_uuid(text, f"workflow_ids/{index}") for index, text in enumerate(texts)]
    there = analytics.names(ids)
    errors = [
        FieldError(f"workflow_ids/{index}", "not_found", f"There is no workflow {key}.")
        for index, key in enumerate(ids)
        if key not in there
    ]
    if errors:
        raise ValidationFailed(errors=errors)
    return there
