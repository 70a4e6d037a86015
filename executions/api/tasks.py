"""The queue over HTTP: its tasks in Celery's words, one of them, its end before its time, and how the queue does."""

import re
from typing import Any, ClassVar

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import services, task_selectors
from executions.api import serializers as shapes
from executions.api.rows import task_row
from executions.choices import TaskStatus, task_status
from executions.models import WorkflowExecution
from tradingsite.common.api.filters import StrictFilterSet, filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role


class WordsField(forms.CharField):
    """States of a task with commas between."""

    def clean(self, value: Any) -> list[str]:
        words = [word for word in re.split(r"\s*,\s*", super().clean(value)) if word]
        if set(words) - set(TaskStatus.values):
            raise forms.ValidationError(
                f"Must be of {', '.join(TaskStatus.values)}, with commas between.", code="invalid_choice"
            )
        return words


class WordsFilter(django_filters.Filter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs.filter(task_selectors.runs_in(value or task_selectors.ACTIVE))


class TaskFilterSet(StrictFilterSet):
    status = WordsFilter()
    strategy_id = django_filters.UUIDFilter()

    class Meta:
        model = WorkflowExecution
        fields: ClassVar[list[str]] = []


class TaskViewSet(ResourceViewSet):
    """Runs as tasks of the queue."""

    roles: ClassVar = {"list": Role.VIEWER, "retrieve": Role.VIEWER, "metrics": Role.VIEWER, "destroy": Role.TRADER}
    serializer_class = shapes.TaskFull
    filterset_class = TaskFilterSet
    pagination_class = KeysetPagination
    queryset = WorkflowExecution.objects.all()
    row_values = task_selectors.LISTED
    lookup_field = "task_id"
    lookup_value_regex = "[^/]+"

    def _task_id(self) -> str:
        return str(parse_uuid(self.kwargs["task_id"], "task_id"))

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "status",
                str,
                description="One or more of PENDING, STARTED, SUCCESS, FAILURE, RETRY, REVOKED, with commas between. "
                "Without it the active ones: PENDING, STARTED and RETRY.",
            )
        ],
        responses=shapes.TaskRow(many=True),
    )
    def list(self, request: Request, **_: Any) -> Response:
        """The newest first."""
        page = self.paginate_queryset(filtered(TaskFilterSet, request, self.get_queryset()))
        return self.get_paginated_response([task_row(run) for run in page or ()])

    def retrieve(self, request: Request, **_: Any) -> Response:
        """A task from before a retry is answered as it ended, and names the one that came after it."""
        return Response(shapes.TaskFull(task_selectors.task_get(self._task_id())).data)

    @extend_schema(responses={200: shapes.TaskCancelled})
    @idempotent
    def destroy(self, request: Request, **_: Any) -> Response:
        """Cancel its run: a waiting one at once, a running one within two seconds."""
        task_id = self._task_id()
        run = services.task_cancel(actor=self.actor, task_id=task_id)
        status = task_status(run.status, run.attempts)
        body = {
            "task_id": task_id,
            "workflow_execution_id": run.pk,
            "status": status,
            "execution_status": run.status,
            "cancel_requested_at": run.cancel_requested_at,
            "detail": "It is cancelled." if status == TaskStatus.REVOKED else "It was asked to stop.",
        }
        return Response(shapes.TaskCancelled(body).data)

    @extend_schema(responses=shapes.QueueMetrics, filters=False)
    @action(detail=False, pagination_class=None)
    def metrics(self, request: Request, **_: Any) -> Response:
        return Response(shapes.QueueMetrics(task_selectors.queue_metrics()).data)
