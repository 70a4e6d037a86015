"""How workflows did over HTTP: one, day by day, one version against another, several side by side."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import analytics
from executions.api import analytics_shapes as shapes
from executions.api.analytics_asked import (
    COMPARED_MAX,
    DAYS_MAX,
    MetricsFilterSet,
    SpanFilterSet,
    TrendsFilterSet,
    VersionsFilterSet,
    asked,
    days_asked,
    span_asked,
    workflows_asked,
)
from tradingsite.common.api.filters import StrictFilterSet
from tradingsite.common.api.views import ApiView
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from workflows.errors import WorkflowNotFound
from workflows.metrics import Tally
from workflows.metrics_compare import best, differences, rate_test
from workflows.metrics_days import Span
from workflows.models import WorkflowVersion

_MOMENT = "An RFC 3339 time with offset, or a date, which is its midnight UTC."
SPAN = [
    OpenApiParameter("created_after", str, description=f"Runs created at or after it. {_MOMENT}"),
    OpenApiParameter("created_before", str, description=f"Runs created before it. {_MOMENT}"),
    OpenApiParameter("date_range", str, description="Both with a comma between; either may be empty."),
]
VERSION = OpenApiParameter("version", int, description="Only runs of this version.")


class _Analytics(ApiView):
    roles: ClassVar = {"get": Role.VIEWER}
    filterset: ClassVar[type[StrictFilterSet]] = SpanFilterSet

    def known_query_params(self) -> frozenset[str]:
        return super().known_query_params() | frozenset(self.filterset.base_filters)

    def asked(self, request: Request) -> dict[str, Any]:
        return asked(self.filterset, request)


def _named(workflow_id: str, *versions: tuple[str, int | None]) -> dict[str, Any]:
    """Return the id and the name of a workflow, and see that it has these versions, by the parameters that name them.

    Raises:
        WorkflowNotFound
        ValidationFailed: naming the parameter of a version that is not there.
    """
    key = parse_uuid(workflow_id, "workflow_id")
    name = analytics.names([key]).get(key)
    if name is None:
        raise WorkflowNotFound(f"There is no workflow {key}.")
    wanted = {number for _, number in versions if number is not None}
    there = set()
    if wanted:
        rows = WorkflowVersion.objects.filter(workflow_id=key, version_number__in=wanted)
        there = set(rows.values_list("version_number", flat=True))
    errors = [
        FieldError(pointer, "not_found", f"The workflow has no version {number}.")
        for pointer, number in versions
        if number is not None and number not in there
    ]
    if errors:
        raise ValidationFailed(errors=errors)
    return {"workflow_id": key, "workflow_name": name}


class WorkflowMetricsView(_Analytics):
    """How a workflow did."""

    filterset = MetricsFilterSet

    @extend_schema(summary="How a workflow did", parameters=[*SPAN, VERSION], responses=shapes.MetricsAnswer)
    def get(self, request: Request, workflow_id: str) -> Response:
        said = self.asked(request)
        span, version = span_asked(said), said["version"]
        head = _named(workflow_id, ("version", version))
        tally = analytics.tallies([head["workflow_id"]], span, version=version)[head["workflow_id"]]
        body = {**head, **_bounds(span), "version": version, **tally.summary()}
        return Response(shapes.MetricsAnswer(body).data)


class WorkflowTrendsView(_Analytics):
    """How a workflow did from day to day."""

    filterset = TrendsFilterSet

    @extend_schema(
        summary="How a workflow did from day to day",
        parameters=[
            OpenApiParameter("first_day", str, description="A date; 30 days up to the last day unless told."),
            OpenApiParameter("last_day", str, description=f"A date, today unless told. At most {DAYS_MAX} days."),
            VERSION,
        ],
        responses=shapes.TrendsAnswer,
    )
    def get(self, request: Request, workflow_id: str) -> Response:
        said = self.asked(request)
        (first, last), version = days_asked(said), said["version"]
        head = _named(workflow_id, ("version", version))
        days = analytics.daily_tallies(head["workflow_id"], first, last, version=version)
        body = {
            **head,
            "version": version,
            "time_zone": analytics.desk_zone().key,
            "days": [{"date": day, **tally.summary()} for day, tally in days.items()],
        }
        return Response(shapes.TrendsAnswer(body).data)


class WorkflowVersionsMetricsView(_Analytics):
    """How two versions of a workflow did against each other."""

    filterset = VersionsFilterSet

    @extend_schema(
        summary="How two versions of a workflow did against each other",
        parameters=[
            OpenApiParameter("a", int, required=True, description="The number of one version."),
            OpenApiParameter("b", int, required=True, description="The number of the other."),
            *SPAN,
        ],
        responses=shapes.VersionsAnswer,
    )
    def get(self, request: Request, workflow_id: str) -> Response:
        said = self.asked(request)
        span, a, b = span_asked(said), said["a"], said["b"]
        head = _named(workflow_id, ("a", a), ("b", b))
        tallies = analytics.version_tallies(head["workflow_id"], span, {a, b})
        figures = {number: tally.summary() for number, tally in tallies.items()}
        body = {
            **head,
            **_bounds(span),
            "a": {"version": a, **figures[a]},
            "b": {"version": b, **figures[b]},
            "differences": differences(figures[a], figures[b]),
            "success_rate_test": rate_test(*_successes(tallies[a]), *_successes(tallies[b])),
        }
        return Response(shapes.VersionsAnswer(body).data)


class WorkflowCompareView(_Analytics):
    """How several workflows did, side by side."""

    query_params: ClassVar = frozenset({"workflow_ids", "workflow_ids[]"})

    @extend_schema(
        summary="How several workflows did, side by side",
        parameters=[
            OpenApiParameter(
                "workflow_ids",
                str,
                required=True,
                many=True,
                description=f"1 to {COMPARED_MAX} ids, with commas between or the parameter repeated.",
            ),
            *SPAN,
        ],
        responses=shapes.CompareAnswer,
    )
    def get(self, request: Request) -> Response:
        span = span_asked(self.asked(request))
        named = workflows_asked(request)
        summaries = {key: tally.summary() for key, tally in analytics.tallies(list(named), span).items()}
        body = {
            **_bounds(span),
            "workflows": [
                {"workflow_id": key, "workflow_name": named[key], **summary} for key, summary in summaries.items()
            ],
            "best": best(summaries),
        }
        return Response(shapes.CompareAnswer(body).data)


def _bounds(span: Span) -> dict[str, Any]:
    return {"created_after": span.start, "created_before": span.end}


def _successes(tally: Tally) -> tuple[int, int]:
    return tally.by_status["completed"], tally.decided
