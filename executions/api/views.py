"""Runs over HTTP: start, list, look, wait, cancel, retry."""

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import selectors, services
from executions.api import serializers as shapes
from executions.api.filters import ExecutionFilterSet
from executions.api.rows import run_row
from executions.models import WorkflowExecution
from executions.news import stream_of
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination, keyset_order
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.live.events import stream_after
from tradingsite.common.roles import Role
from workflows.errors import StrategyNotFound
from workflows.models import Strategy, Workflow
from workflows.selectors import strategy_get, workflow_get

WAIT_MAX_S = 60


def accepted(execution: WorkflowExecution) -> Response:
    """Answer 202 with where to look."""
    here = reverse("v1:workflow-execution-detail", args=[execution.pk])
    body = {
        "workflow_execution_id": str(execution.pk),
        "task_id": execution.task_id,
        "status": execution.status,
        "links": {"self": here, "steps": f"{here}/steps", "events": f"{here}/events", "cancel": f"{here}/cancel"},
    }
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": here})


class _Execute(ApiView):
    roles: ClassVar = {"post": Role.TRADER}

    def start(self, workflow: Workflow | None, strategy: Strategy, body: dict[str, Any]) -> Response:
        execution = services.execution_create(
            actor=self.actor,
            workflow=workflow,
            strategy=strategy,
            symbols=body["symbols"],
            priority=body["priority"],
            input_data=body["input_data"],
            mode=body["mode"],
        )
        return accepted(execution)


class WorkflowExecuteView(_Execute):
    """Run a strategy on its workflow."""

    @extend_schema(request=shapes.WorkflowExecute, responses={202: shapes.ExecutionAccepted})
    @idempotent
    def post(self, request: Request, workflow_id: str) -> Response:
        body = validated(shapes.WorkflowExecute, request.data)
        workflow = workflow_get(parse_uuid(workflow_id, "workflow_id"))
        try:
            strategy = strategy_get(body["strategy_id"])
        except StrategyNotFound as error:
            raise ValidationFailed(errors=[FieldError("strategy_id", "not_found", error.detail)]) from None
        return self.start(workflow, strategy, body)


class StrategyExecuteView(_Execute):
    """Run a strategy, also one whose steps stand in itself."""

    @extend_schema(request=shapes.StrategyExecute, responses={202: shapes.ExecutionAccepted})
    @idempotent
    def post(self, request: Request, strategy_id: str) -> Response:
        body = validated(shapes.StrategyExecute, request.data)
        strategy = strategy_get(parse_uuid(strategy_id, "strategy_id"))
        return self.start(strategy.workflow, strategy, body)


class ExecutionViewSet(ResourceViewSet):
    """Runs, under both of their names."""

    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "steps": Role.VIEWER,
        "step_output": Role.VIEWER,
        "events": Role.VIEWER,
        "cancel": Role.TRADER,
        "retry": Role.TRADER,
    }
    serializer_class = shapes.ExecutionDetail
    filterset_class = ExecutionFilterSet
    pagination_class = KeysetPagination
    queryset = WorkflowExecution.objects.all()
    row_values = selectors.LISTED
    ordering_fields = ("created_at", "started_at", "completed_at")
    lookup_value_regex = "[^/]+"

    def known_query_params(self) -> frozenset[str]:
        extra = {"retrieve": {"wait"}, "events": {"after"}}.get(self.action or "", set())
        return super().known_query_params() | extra

    def _id(self) -> UUID:
        return parse_uuid(self.kwargs["pk"], "id")

    @extend_schema(
        parameters=[
            OpenApiParameter("ordering", str, description="created_at, started_at or completed_at; '-' descends.")
        ],
        responses=shapes.ExecutionRow(many=True),
    )
    def list(self, request: Request, **_: Any) -> Response:
        rows = filtered(ExecutionFilterSet, request, self.get_queryset())
        name = request.query_params.get("ordering", "-created_at")
        if name.removeprefix("-") not in self.ordering_fields:
            detail = f"Must be one of {', '.join(self.ordering_fields)}, with or without '-'."
            raise ValidationFailed(errors=[FieldError("ordering", "invalid_choice", detail)])
        page = self.paginate_queryset(keyset_order(rows, name))
        now = utcnow()
        return self.get_paginated_response([run_row(run, now) for run in page or ()])

    @extend_schema(
        parameters=[OpenApiParameter("wait", int, description=f"Seconds to wait for the end, at most {WAIT_MAX_S}.")]
    )
    def retrieve(self, request: Request, **_: Any) -> Response:
        execution = selectors.execution_wait(self._id(), seconds=_whole(request, "wait", WAIT_MAX_S))
        return Response(shapes.ExecutionDetail(execution).data)

    @extend_schema(responses=shapes.StepFull(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def steps(self, request: Request, **_: Any) -> Response:
        execution = selectors.execution_get(self._id())
        return Response(shapes.StepFull(selectors.execution_steps(execution.pk), many=True).data)

    @extend_schema(responses=OpenApiTypes.OBJECT, filters=False)
    @action(detail=True, pagination_class=None, url_path="steps/(?P<index>[^/]+)/output", url_name="step-output")
    def step_output(self, request: Request, index: str, **_: Any) -> Response:
        output, digest = selectors.step_output(self._id(), index)
        if digest is None:
            return Response(output)
        # Content under its own digest never changes, so whoever has it need not fetch it again.
        headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=31536000, immutable"}
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(output, headers=headers)

    @extend_schema(
        parameters=[OpenApiParameter("after", OpenApiTypes.INT, description="The last number that was seen.")],
        responses=shapes.RunEvent(many=True),
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, **_: Any) -> Response:
        execution = selectors.execution_get(self._id())
        found = stream_after(stream_of(execution.pk), _whole(request, "after", 2**62))
        return Response([{**envelope["message"], "seq": envelope["seq"]} for envelope in found])

    @extend_schema(request=shapes.CancelRequest, responses={202: shapes.ExecutionAccepted})
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, **_: Any) -> Response:
        body = validated(shapes.CancelRequest, request.data)
        execution = selectors.execution_get(self._id())
        return accepted(services.execution_cancel(actor=self.actor, execution=execution, reason=body["reason"]))

    @extend_schema(request=shapes.EmptyRequest, responses={202: shapes.ExecutionAccepted})
    @action(detail=True, methods=["post"])
    @idempotent
    def retry(self, request: Request, **_: Any) -> Response:
        validated(shapes.EmptyRequest, request.data)
        execution = selectors.execution_get(self._id())
        return accepted(services.execution_retry(actor=self.actor, execution=execution))


def _whole(request: Request, name: str, maximum: int) -> int:
    text = request.query_params.get(name, "0")
    if not text.isascii() or not text.isdigit() or int(text[:20]) > maximum:
        raise ValidationFailed(errors=[FieldError(name, "invalid", f"Must be a whole number from 0 to {maximum}.")])
    return int(text)
