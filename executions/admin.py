"""Runs in the admin: history that nobody edits; cancel and retry go through the services, as everywhere else."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

import executions.kafka.admin  # noqa: F401  # its pages register themselves
from executions import services
from executions.models import EarlierTask, Payload, RunEnding, StepExecution, WorkerHeartbeat, WorkflowExecution
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


class StepInline(TabularInline):
    model = StepExecution
    extra = 0
    can_delete = False
    show_change_link = True
    ordering: ClassVar = ["index"]
    fields: ClassVar = [
        "index",
        "name",
        "type",
        "status",
        "attempts",
        "summary",
        "error_code",
        "started_at",
        "completed_at",
    ]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "id",
        "workflow",
        "strategy",
        "status",
        "progress",
        "error_code",
        "decisions_made",
        "orders_placed",
        "attempts",
        "created_at",
        "started_at",
    ]
    list_filter: ClassVar = ["status", "triggered_by", "mode"]
    list_select_related: ClassVar = ["workflow", "strategy"]
    search_fields: ClassVar = ["id", "task_id", "workflow__name", "strategy__name", "error_code"]
    date_hierarchy = "created_at"
    inlines: ClassVar = [StepInline]
    actions: ClassVar = ["cancel_runs", "retry_runs"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowExecution]:
        rows: QuerySet[WorkflowExecution] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "executions_workflowexecution_changelist":
            return rows.defer("results", "params", "input_data", "symbols")
        # A version is called by the name of its workflow.
        return rows.select_related("workflow_version__workflow")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Cancel the selected runs", permissions=["operate"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, services.execution_cancel, "asked to stop")

    @admin.action(description="Retry the selected runs from their first incomplete step", permissions=["operate"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, services.execution_retry, "sent to the workers again")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[WorkflowExecution],
        service: Callable[..., WorkflowExecution],
        what: str,
    ) -> None:
        done = 0
        for execution in queryset:
            try:
                service(actor=actor_of(request), execution=execution)
            except AppError as error:
                self.message_user(request, f"{execution}: {error.detail}", messages.WARNING)
                continue
            done += 1
        if done:
            self.message_user(request, f"{done} runs were {what}.", messages.SUCCESS)


@admin.register(StepExecution)
class StepExecutionAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "execution",
        "index",
        "name",
        "type",
        "status",
        "attempts",
        "error_code",
        "started_at",
        "completed_at",
    ]
    list_filter: ClassVar = ["status", "type"]
    search_fields: ClassVar = ["execution__id", "name", "error_code"]
    ordering: ClassVar = ["-id"]


@admin.register(EarlierTask)
class EarlierTaskAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "task_id",
        "execution",
        "status",
        "attempts",
        "error_code",
        "started_at",
        "completed_at",
    ]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["task_id", "execution__id", "error_code"]
    ordering: ClassVar = ["-completed_at"]


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(LedgerAdmin):
    list_display: ClassVar = ["name", "host", "pid", "queues", "active", "started_at", "last_seen"]
    search_fields: ClassVar = ["name", "host"]
    ordering: ClassVar = ["-last_seen"]


@admin.register(RunEnding)
class RunEndingAdmin(LedgerAdmin):
    list_display: ClassVar = ["execution_id", "status", "task_id", "run_created_at", "at"]
    search_fields: ClassVar = ["execution_id", "task_id"]
    ordering: ClassVar = ["id"]


@admin.register(Payload)
class PayloadAdmin(LedgerAdmin):
    list_display: ClassVar = ["digest", "size", "created_at"]
    search_fields: ClassVar = ["digest"]
    ordering: ClassVar = ["-created_at"]
    # Megabytes of JSON are downloaded through the API, not looked at here.
    exclude: ClassVar = ["data"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payload]:
        rows: QuerySet[Payload] = super().get_queryset(request)
        return rows.defer("data")
