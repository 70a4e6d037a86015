"""Schedules and the clock over HTTP."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduler import selectors, services
from scheduler.api import serializers as shapes
from scheduler.api.filters import FireFilterSet, ScheduleFilterSet
from scheduler.models import Schedule
from scheduler.rules import in_words, next_times
from tradingsite.common.api.config_schema import serializer_schema
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination, PagePagination, keyset_order
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import RunStarter, job_types
from tradingsite.common.roles import Role

UUID_PATTERN = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; 412 when it has changed since."
)


def schedule_answer(schedule_id: UUID, code: int = status.HTTP_200_OK) -> Response:
    """Return a schedule with its next ten times."""
    row = selectors.schedule_get(schedule_id)
    return with_etag(Response(shapes.ScheduleDetail(row).data, status=code), row)


class SchedulerViewSet(ResourceViewSet):
    """Every scheduled job, and the clock that fires them."""

    queryset = Schedule.objects.all()
    serializer_class = shapes.ScheduleDetail
    filterset_class = ScheduleFilterSet
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "next_run_at", "last_run_at", "created_at")
    search_fields: ClassVar[tuple[str, ...]] = ("name",)
    list_actions: ClassVar[frozenset[str]] = frozenset({"list", "history"})
    lookup_url_kwarg = "id"
    lookup_value_regex = UUID_PATTERN
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "history": Role.VIEWER,
        "preview": Role.VIEWER,
        "create": Role.TRADER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
        "restore": Role.TRADER,
        "start": Role.TRADER,
        "stop": Role.TRADER,
        "run": Role.TRADER,
        "start_clock": Role.OPERATOR,
        "stop_clock": Role.OPERATOR,
    }

    @extend_schema(responses=shapes.SchedulerStatus)
    def list(self, request: Request, **kwargs: Any) -> Response:
        """Return the clock's state and every job with its status, next time and last result."""
        rows = selectors.schedules_listed(deleted=request.query_params.get("deleted") == "true")
        rows = filtered(ScheduleFilterSet, request, rows)
        rows = ordered(self.ordering_fields, request, searched(self.search_fields, request, rows), "name")
        page = self.paginate_queryset(rows)
        answer = self.get_paginated_response(shapes.ScheduleRow(page, many=True).data)
        answer.data = {"clock": shapes.ClockStatus(selectors.clock_status()).data, **answer.data}
        return answer

    @extend_schema(request=shapes.ScheduleBody, responses={201: shapes.ScheduleDetail})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Create a schedule; it fires from now on."""
        row = services.schedule_create(actor=self.actor, **validated(shapes.ScheduleBody, request.data))
        answer = schedule_answer(row.pk, status.HTTP_201_CREATED)
        answer["Location"] = f"{request.path.rstrip('/')}/{row.pk}"
        return answer

    @extend_schema(responses=shapes.ScheduleDetail)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return a schedule with its next ten times."""
        return schedule_answer(UUID(id))

    @extend_schema(request=shapes.ScheduleBody, responses=shapes.ScheduleDetail, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace a schedule; its next time is counted anew from now."""
        body = validated(shapes.ScheduleBody, request.data)
        whole = {"timezone": "UTC", "config": {}, "enabled": True, **services.OPTIONS, **body}
        return self._change(request, id, whole)

    @extend_schema(request=shapes.ScheduleChange, responses=shapes.ScheduleDetail, parameters=[IF_MATCH])
    def partial_update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change some fields of a schedule."""
        return self._change(request, id, validated(shapes.ScheduleChange, request.data))

    def _change(self, request: Request, id: str, changes: dict[str, Any]) -> Response:
        services.schedule_update(
            actor=self.actor,
            schedule_id=UUID(id),
            changes=changes,
            precondition=lambda row: require_match(request, row),
        )
        return schedule_answer(UUID(id))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide a schedule; its history stays."""
        services.schedule_delete(
            actor=self.actor, schedule_id=UUID(id), precondition=lambda row: require_match(request, row)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=shapes.ScheduleDetail)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Bring a deleted schedule back, stopped."""
        services.schedule_restore(actor=self.actor, schedule_id=UUID(id))
        return schedule_answer(UUID(id))

    @extend_schema(request=None, responses=shapes.ScheduleDetail)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Let a stopped schedule fire again, from now on."""
        services.schedule_switch(actor=self.actor, schedule_id=UUID(id), enabled=True)
        return schedule_answer(UUID(id))

    @extend_schema(request=None, responses=shapes.ScheduleDetail)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Let a schedule fire no more; what it has started goes on."""
        services.schedule_switch(actor=self.actor, schedule_id=UUID(id), enabled=False)
        return schedule_answer(UUID(id))

    @extend_schema(request=shapes.EmptyBody, responses={202: shapes.Fire})
    @action(detail=True, methods=["post"])
    @idempotent
    def run(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Fire a schedule now, beside its rule."""
        validated(shapes.EmptyBody, request.data)
        fire = services.schedule_run(actor=self.actor, schedule_id=UUID(id))
        return Response(shapes.Fire(fire).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=shapes.Fire(many=True), filters=False)
    @action(detail=True, pagination_class=KeysetPagination, filterset_class=FireFilterSet)
    def history(self, request: Request, id: str, **kwargs: Any) -> Response:
        """List the fires of a schedule, the newest first."""
        row = selectors.schedule_get(UUID(id))
        rows = filtered(FireFilterSet, request, selectors.fires_listed(row.pk))
        page = self.paginate_queryset(keyset_order(rows, "-nominal_at"))
        return self.get_paginated_response(shapes.Fire(page, many=True).data)

    @extend_schema(request=shapes.PreviewBody, responses=shapes.Preview)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """Say in words when a rule would be due, and its next ten times. Nothing is saved."""
        row = services.schedule_preview(**validated(shapes.PreviewBody, request.data))
        times = next_times(row, utcnow(), shapes.PREVIEWED)
        return Response(shapes.Preview({"description": in_words(row), "next_run_times": times}).data)

    @extend_schema(operation_id="scheduler_clock_start", request=shapes.SwitchBody, responses=shapes.ClockStatus)
    @action(detail=False, methods=["post"], url_path="start", url_name="start-clock")
    def start_clock(self, request: Request, **kwargs: Any) -> Response:
        """Start the clock; what passed while it was stopped is not made up for."""
        return self._clock(request, running=True)

    @extend_schema(operation_id="scheduler_clock_stop", request=shapes.SwitchBody, responses=shapes.ClockStatus)
    @action(detail=False, methods=["post"], url_path="stop", url_name="stop-clock")
    def stop_clock(self, request: Request, **kwargs: Any) -> Response:
        """Stop the clock: no schedule fires until it is started again."""
        return self._clock(request, running=False)

    def _clock(self, request: Request, *, running: bool) -> Response:
        body = validated(shapes.SwitchBody, request.data)
        services.clock_switch(actor=self.actor, running=running, reason=body["reason"])
        return Response(shapes.ClockStatus(selectors.clock_status()).data)


class JobTypesView(ApiView):
    """What can be scheduled."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(operation_id="job_types_list", responses=shapes.JobTypeEntry(many=True))
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Return every job type with the JSON Schema of its config."""
        return Response(
            [
                {
                    "type": item.slug,
                    "title": item.title,
                    "description": item.help,
                    "least_role": item.least_role.slug,
                    "starts_run": issubclass(item, RunStarter),
                    "config_schema": serializer_schema(item.config_class()),
                }
                for item in job_types.all()
            ]
        )
