"""Operators' view of definitions. What changes them goes through the services, as everywhere."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from tradingsite.common.actor import Actor
from tradingsite.common.console import LedgerAdmin
from tradingsite.common.errors import AppError
from workflows import services
from workflows.metrics import Tally
from workflows.models import (
    MetricsCoverage,
    Strategy,
    StrategyVersion,
    Workflow,
    WorkflowMetrics,
    WorkflowMetricsMonth,
    WorkflowVersion,
)


class ReadOnlyMixin:
    """Rows that are looked at here and changed by services only."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _each(request: HttpRequest, rows: QuerySet[Any], done: str, act: Any) -> None:
    """Call `act(row)` for each row and say what came of it; a refusal names its row and stops nobody else's."""
    count = 0
    for row in rows:
        try:
            act(row)
        except AppError as error:
            messages.error(request, f"{row}: {error.detail}")
        else:
            count += 1
    if count:
        messages.success(request, f"{count} {done}.")


class HistoryInline(ReadOnlyMixin, TabularInline):
    """The versions of one row, the newest first; what each of them holds is shown on its own page."""

    ordering = ("-version_number",)
    max_num = 0
    can_delete = False
    show_change_link = True


class VersionInline(HistoryInline):
    model = WorkflowVersion
    fk_name = "workflow"
    fields = ("version_number", "type", "created_at", "created_by")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowVersion]:
        rows: QuerySet[WorkflowVersion] = super().get_queryset(request)
        return rows.select_related("workflow", "created_by").defer("steps", "default_params")


class StrategyVersionInline(HistoryInline):
    model = StrategyVersion
    fk_name = "strategy"
    fields = ("version_number", "strategy_type", "reason", "actor_name", "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[StrategyVersion]:
        rows: QuerySet[StrategyVersion] = super().get_queryset(request)
        return rows.select_related("strategy").defer("symbols", "param")


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("name", "type", "version", "executions_count", "created_by", "created_at", "deleted_at")
    list_filter = ("type", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "description")
    list_select_related = ("current_version", "created_by")
    inlines = (VersionInline,)
    actions: ClassVar = ["clone", "hide", "restore"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workflows.change_workflow")

    @admin.display(ordering="current_version__version_number")
    def version(self, row: Workflow) -> int | None:
        return row.current_version.version_number if row.current_version else None

    @admin.action(description="Clone", permissions=["act"])
    def clone(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        actor = Actor.for_user(request.user)
        _each(request, queryset, "cloned", lambda row: services.workflow_clone(actor=actor, workflow_id=row.pk))

    @admin.action(description="Delete (hide)", permissions=["act"])
    def hide(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        actor = Actor.for_user(request.user)
        _each(request, queryset, "deleted", lambda row: services.workflow_delete(actor=actor, workflow_id=row.pk))

    @admin.action(description="Restore", permissions=["act"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        actor = Actor.for_user(request.user)
        _each(request, queryset, "restored", lambda row: services.workflow_restore(actor=actor, workflow_id=row.pk))


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("workflow", "version_number", "type", "created_by", "created_at")
    list_filter = ("type",)
    search_fields = ("workflow__name",)
    list_select_related = ("workflow", "created_by")


@admin.register(Strategy)
class StrategyAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = (
        "name", "workflow", "strategy_type", "symbols", "version_number", "enabled", "created_by", "created_at",
        "deleted_at",
    )  # fmt: skip
    list_filter = ("enabled", "strategy_type", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "workflow__name")
    list_select_related = ("workflow", "created_by")
    inlines = (StrategyVersionInline,)
    actions: ClassVar = ["enable", "disable", "hide", "restore"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workflows.change_strategy")

    def _switch(self, request: HttpRequest, queryset: QuerySet[Strategy], enabled: bool) -> None:
        actor = Actor.for_user(request.user)
        _each(
            request,
            queryset,
            "enabled" if enabled else "disabled",
            lambda row: services.strategy_update(actor=actor, strategy_id=row.pk, changes={"enabled": enabled}),
        )

    @admin.action(description="Enable", permissions=["act"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        self._switch(request, queryset, True)

    @admin.action(description="Disable", permissions=["act"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        self._switch(request, queryset, False)

    @admin.action(description="Delete (hide)", permissions=["act"])
    def hide(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        actor = Actor.for_user(request.user)
        _each(request, queryset, "deleted", lambda row: services.strategy_delete(actor=actor, strategy_id=row.pk))

    @admin.action(description="Restore", permissions=["act"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> None:
        actor = Actor.for_user(request.user)
        _each(request, queryset, "restored", lambda row: services.strategy_restore(actor=actor, strategy_id=row.pk))


@admin.register(StrategyVersion)
class StrategyVersionAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("strategy", "version_number", "strategy_type", "reason", "actor_name", "created_at")
    list_filter = ("strategy_type",)
    search_fields = ("strategy__name", "reason")
    list_select_related = ("strategy",)


@admin.register(WorkflowMetrics)
class WorkflowMetricsAdmin(LedgerAdmin):
    list_display = ("workflow", "date", "version_number", "runs", "success_rate", "updated_at")
    search_fields = ("workflow__name",)
    list_select_related = ("workflow",)
    date_hierarchy = "date"

    @admin.display(description="runs")
    def runs(self, row: WorkflowMetrics) -> int:
        return Tally.from_json(row.metrics).runs

    @admin.display(description="success rate")
    def success_rate(self, row: WorkflowMetrics) -> str | None:
        rate = Tally.from_json(row.metrics).success_rate
        return None if rate is None else f"{rate:.1%}"


@admin.register(WorkflowMetricsMonth)
class WorkflowMetricsMonthAdmin(WorkflowMetricsAdmin):
    pass


@admin.register(MetricsCoverage)
class MetricsCoverageAdmin(LedgerAdmin):
    list_display = ("zone", "through")
    ordering = ("zone",)
