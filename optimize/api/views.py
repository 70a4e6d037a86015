"""Jobs over HTTP: ask, list, look, cancel."""

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from optimize import matrix, selectors, services
from optimize.api import serializers as shapes
from optimize.api.downloads import ParquetRenderer, download, streamed
from optimize.api.filters import OptimizationFilterSet
from optimize.choices import JobKind
from optimize.errors import OptimizationUnfinished, OptimizationWithoutResult
from optimize.models import OptimizationJob
from tradingsite.common.api.csv_export import CsvRenderer
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The strategy's ETag.")
LISTED, LISTED_MAX = 200, 1000


def started(job: OptimizationJob) -> Response:
    """Answer with the job that was just asked for."""
    body = {"job_id": job.pk, "status": job.shown_status, "total_combinations": job.total_combinations}
    return Response(shapes.OptimizationStarted(body).data)


class OptimizeStrategyView(ApiView):
    """Search for a strategy's parameters."""

    roles: ClassVar = {"post": Role.TRADER}

    @extend_schema(
        summary="Search for a strategy's parameters by walk-forward",
        request=shapes.OptimizeStrategySerializer,
        responses=shapes.OptimizationStarted,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = validated(shapes.OptimizeStrategySerializer, request.data)
        return started(services.job_create(actor=self.actor, kind=JobKind.STRATEGY, body=body))


class OptimizationViewSet(ResourceViewSet):
    """Jobs of every kind. A person sees their own, an operator those of all."""

    problem_statuses: ClassVar = ("412",)
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "destroy": Role.TRADER,
        "matrix": Role.VIEWER,
        "matrix_csv": Role.VIEWER,
        "apply": Role.TRADER,
    }
    serializer_class = shapes.OptimizationDetail
    filterset_class = OptimizationFilterSet
    pagination_class = None
    queryset = OptimizationJob.objects.all()
    query_params: ClassVar = frozenset({"all", "limit"})
    lookup_value_regex = "[^/]+"

    def known_query_params(self) -> frozenset[str]:
        known = super().known_query_params()
        return known if self.action == "list" else known - self.query_params

    def _job(self) -> OptimizationJob:
        return selectors.job_get(self._id(), self.actor)

    def _id(self) -> UUID:
        return parse_uuid(self.kwargs["pk"], "id")

    @extend_schema(
        summary="The caller's optimisations, the newest first",
        parameters=[
            OpenApiParameter("all", bool, description="Those of everybody, for operators."),
            OpenApiParameter("limit", int, description=f"1 to {LISTED_MAX}, {LISTED} unless told."),
        ],
        responses=shapes.OptimizationRow(many=True),
    )
    def list(self, request: Request, **_: Any) -> Response:
        everybodys = flag(request, "all")
        if everybodys and not self.actor.may(Role.OPERATOR):
            raise PermissionDenied("Only operators see everybody's optimisations; leave `all` out for your own.")
        rows = selectors.jobs_visible(self.actor, everybodys=everybodys)
        rows = filtered(OptimizationFilterSet, request, rows)[: whole(request, "limit", usual=LISTED, most=LISTED_MAX)]
        return Response(shapes.OptimizationRow(rows, many=True).data)

    @extend_schema(summary="One optimisation, with its progress and what came of it")
    def retrieve(self, request: Request, **_: Any) -> Response:
        job = self._job()
        answer: dict[str, Any] = dict(job.result or {})
        answer.update(shapes.OptimizationDetail(job).data)
        return Response(answer)

    @extend_schema(
        summary="Cancel an optimisation",
        description="It is cancelled at once; its workers stop within two seconds, and what they have done is kept.",
        responses={200: shapes.OptimizationCancelled},
    )
    @idempotent
    def destroy(self, request: Request, **_: Any) -> Response:
        job = services.job_cancel(actor=self.actor, job=self._job())
        return Response(shapes.OptimizationCancelled({"job_id": job.pk, "status": job.status}).data)

    @extend_schema(
        summary="Write the chosen parameters to a strategy",
        description="Only what the promotion gate lets through; an operator may pass it with a reason. `If-Match` takes "
        "the ETag of the strategy.",
        request=shapes.ApplySerializer,
        responses={200: shapes.OptimizationApplied},
        parameters=[IF_MATCH],
        filters=False,
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def apply(self, request: Request, **_: Any) -> Response:
        body = validated(shapes.ApplySerializer, request.data)
        job = self._job()
        applied = services.job_apply(
            actor=self.actor, job=job, precondition=lambda strategy: require_match(request, strategy), **body
        )
        answer = {
            "job_id": job.pk,
            "strategy_id": applied.strategy.pk,
            "params": applied.params,
            "promoted": applied.promoted,
        }
        return with_etag(Response(shapes.OptimizationApplied(answer).data), applied.strategy)

    @extend_schema(
        summary="Everything that was looked at, as a Parquet file",
        responses={(200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY},
        filters=False,
    )
    @action(detail=True, pagination_class=None, **download(ParquetRenderer))
    def matrix(self, request: Request, **_: Any) -> StreamingHttpResponse:
        job = self._found()
        return streamed(request, matrix.parquet(job.pk), ParquetRenderer.media_type, f"optimisation-{job.pk}.parquet")

    @extend_schema(
        summary="Everything that was looked at, as a CSV file",
        responses={(200, "text/csv"): OpenApiTypes.STR},
        filters=False,
    )
    @action(detail=True, pagination_class=None, url_path="matrix.csv", url_name="matrix-csv", **download(CsvRenderer))
    def matrix_csv(self, request: Request, **_: Any) -> StreamingHttpResponse:
        job = self._found()
        return streamed(request, matrix.lines(job.pk), "text/csv; charset=utf-8", f"optimisation-{job.pk}.csv")

    def _found(self) -> OptimizationJob:
        """Return the job, if it has a table.

        Raises:
            OptimizationUnfinished, OptimizationWithoutResult
        """
        job = self._job()
        if not job.ended:
            raise OptimizationUnfinished("Its table is whole when it has ended; ask again then.")
        if job.kind != JobKind.STRATEGY or job.result is None:
            raise OptimizationWithoutResult("It has left no table.")
        if not job.chunks.filter(gathers=False).exists():
            raise OptimizationWithoutResult(
                f"Its table was kept for {settings.OPTIMIZE_TABLES_KEPT_DAYS} days after its end. Search again: the same "
                "request on the same data makes the same table."
            )
        return job


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is true or false, and false when left out.

    Raises:
        ValidationFailed
    """
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise ValidationFailed(errors=[FieldError(name, "invalid", "Must be true or false.")])
    return text == "true"


def whole(request: Request, name: str, *, usual: int | None, most: int) -> int | None:
    """Return a query parameter that is a whole number from 1 to `most`, and `usual` when left out.

    Raises:
        ValidationFailed
    """
    text = request.query_params.get(name)
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise ValidationFailed(errors=[FieldError(name, "invalid", f"Must be a whole number from 1 to {most}.")])
    return int(text)
