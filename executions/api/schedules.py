"""Schedules of workflows, by the names under which the requirement has them. `/api/scheduler` has all jobs."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from executions.jobs import RUN_WORKFLOW
from scheduler import selectors, services
from scheduler.api.filters import ScheduleFilterSet
from scheduler.api.serializers import RuleField, ScheduleDetail, TimingBody
from scheduler.api.views import IF_MATCH, UUID_PATTERN
from scheduler.models import Schedule
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import SymbolField, validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from workflows.models import Strategy, Workflow
from workflows.selectors import workflow_get


class WorkflowScheduleBody(TimingBody):
    """`cron_expression` or, for what cron cannot say, `schedule`."""

    strategy_id = serializers.UUIDField()
    cron_expression = serializers.CharField(max_length=200, required=False)
    schedule = RuleField(required=False)
    name = serializers.CharField(max_length=200, required=False)
    symbols = serializers.ListField(child=SymbolField(), required=False, max_length=500)
    priority = serializers.IntegerField(min_value=0, max_value=9, required=False)
    input_data = serializers.DictField(required=False)


class WorkflowScheduleChange(WorkflowScheduleBody):
    """Any of the fields; what is left out stays."""

    strategy_id = serializers.UUIDField(required=False)


class WorkflowSchedule(ScheduleDetail):
    """A schedule with what it runs."""

    workflow_id = serializers.SerializerMethodField()
    workflow_name = serializers.SerializerMethodField()
    strategy_id = serializers.SerializerMethodField()
    strategy_name = serializers.SerializerMethodField()
    cron_expression = serializers.SerializerMethodField(help_text="Empty when the rule is no cron expression.")

    class Meta(ScheduleDetail.Meta):
        fields: ClassVar = [
            "id", "name", "workflow_id", "workflow_name", "strategy_id", "strategy_name", "cron_expression",
            *(name for name in ScheduleDetail.Meta.fields if name not in ("id", "name", "job_type")),
        ]  # fmt: skip
        read_only_fields = fields

    def _strategy(self, row: Schedule) -> Strategy | None:
        found: Strategy | None = self.context["strategies"].get(str(row.config.get("strategy_id")))
        return found

    def get_workflow_id(self, row: Schedule) -> str | None:
        strategy = self._strategy(row)
        return None if strategy is None or strategy.workflow_id is None else str(strategy.workflow_id)

    def get_workflow_name(self, row: Schedule) -> str | None:
        strategy = self._strategy(row)
        return None if strategy is None or strategy.workflow is None else strategy.workflow.name

    def get_strategy_id(self, row: Schedule) -> str:
        return str(row.config.get("strategy_id"))

    def get_strategy_name(self, row: Schedule) -> str | None:
        strategy = self._strategy(row)
        return None if strategy is None else strategy.name

    def get_cron_expression(self, row: Schedule) -> str:
        return row.cron


def _shown(rows: list[Schedule]) -> Any:
    ids = {row.config.get("strategy_id") for row in rows}
    strategies = Strategy.objects.select_related("workflow").defer("param", "workflow__steps").filter(pk__in=ids)
    named = {str(strategy.pk): strategy for strategy in strategies}
    return WorkflowSchedule(rows, many=True, context={"strategies": named}).data


def _answer(schedule_id: UUID, code: int = status.HTTP_200_OK) -> Response:
    row = selectors.schedule_get(schedule_id, job_type=RUN_WORKFLOW)
    return with_etag(Response(_shown([row])[0], status=code), row)


def _rule(body: dict[str, Any]) -> dict[str, Any]:
    """Take the rule from whichever of its two names the body uses."""
    cron, rule = body.pop("cron_expression", None), body.pop("schedule", None)
    if cron is not None and rule is not None:
        detail = "Say either cron_expression or schedule."
        raise ValidationFailed(errors=[FieldError("schedule", "ambiguous", detail)])
    if cron is None and rule is None:
        return {}
    return {"schedule": rule if cron is None else cron}


def _renamed(failure: ValidationFailed, body: dict[str, Any]) -> ValidationFailed:
    """Return the failure with its pointers as the fields are called here."""
    names = {"schedule": "cron_expression"} if "cron_expression" in body else {}
    errors = [
        FieldError(names.get(e.pointer, e.pointer.removeprefix("config/")), e.code, e.detail) for e in failure.errors
    ]
    return ValidationFailed(errors=errors)


_CONFIG = ("strategy_id", "symbols", "priority", "input_data")


def _config(body: dict[str, Any]) -> dict[str, Any]:
    found = {name: body.pop(name) for name in _CONFIG if name in body}
    if "strategy_id" in found:
        found["strategy_id"] = str(found["strategy_id"])
    return found


class WorkflowScheduleView(ApiView):
    """Schedule a workflow."""

    roles: ClassVar = {"post": Role.TRADER}

    @extend_schema(request=WorkflowScheduleBody, responses={201: WorkflowSchedule})
    def post(self, request: Request, workflow_id: str) -> Response:
        """Let a strategy run on this workflow when the rule says so."""
        body = validated(WorkflowScheduleBody, request.data)
        given = dict(body)
        workflow: Workflow = workflow_get(parse_uuid(workflow_id, "workflow_id"))
        rule = _rule(body)
        if not rule:
            raise ValidationFailed(errors=[FieldError("cron_expression", "required", "Say when it is to run.")])
        config = {**_config(body), "workflow_id": str(workflow.pk)}
        named = Strategy.objects.filter(pk=config["strategy_id"]).values_list("name", flat=True).first()
        name = body.pop("name", None) or f"{workflow.name}: {named} {rule['schedule']}"[:200]
        try:
            row = services.schedule_create(
                actor=self.actor, name=name, job_type=RUN_WORKFLOW, config=config, **rule, **body
            )
        except ValidationFailed as failure:
            raise _renamed(failure, given) from failure
        answer = _answer(row.pk, status.HTTP_201_CREATED)
        answer["Location"] = f"{request.path.split('/workflows')[0]}/schedules/{row.pk}"
        return answer


class WorkflowScheduleViewSet(ResourceViewSet):
    """The schedules of workflows."""

    queryset = Schedule.objects.all()
    serializer_class = WorkflowSchedule
    filterset_class = ScheduleFilterSet
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "next_run_at", "last_run_at", "created_at")
    search_fields: ClassVar[tuple[str, ...]] = ("name",)
    lookup_url_kwarg = "id"
    lookup_value_regex = UUID_PATTERN
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
    }

    def get_queryset(self) -> QuerySet[Schedule]:
        deleted = self.request.query_params.get("deleted") == "true"
        return selectors.schedules_listed(deleted=deleted).filter(job_type=RUN_WORKFLOW)

    @extend_schema(responses=WorkflowSchedule(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the schedules of workflows."""
        rows = filtered(ScheduleFilterSet, request, self.get_queryset())
        rows = ordered(self.ordering_fields, request, searched(self.search_fields, request, rows), "name")
        return self.get_paginated_response(_shown(self.paginate_queryset(rows) or []))

    @extend_schema(responses=WorkflowSchedule)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return a schedule with what it runs and its next ten times."""
        return _answer(UUID(id))

    @extend_schema(request=WorkflowScheduleChange, responses=WorkflowSchedule, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change a schedule; what is left out stays, as the requirement's PUT names two fields alone."""
        return self._change(request, id)

    @extend_schema(request=WorkflowScheduleChange, responses=WorkflowSchedule, parameters=[IF_MATCH])
    def partial_update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change some fields of a schedule."""
        return self._change(request, id)

    def _change(self, request: Request, id: str) -> Response:
        body = validated(WorkflowScheduleChange, request.data)
        given = dict(body)
        row = selectors.schedule_get(UUID(id), job_type=RUN_WORKFLOW)
        changes = {**_rule(body), "config": {**row.config, **_config(body)}, **body}
        try:
            services.schedule_update(
                actor=self.actor,
                schedule_id=row.pk,
                changes=changes,
                precondition=lambda found: require_match(request, found),
            )
        except ValidationFailed as failure:
            raise _renamed(failure, given) from failure
        return _answer(row.pk)

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide a schedule; its history stays."""
        row = selectors.schedule_get(UUID(id), job_type=RUN_WORKFLOW)
        services.schedule_delete(
            actor=self.actor, schedule_id=row.pk, precondition=lambda found: require_match(request, found)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
