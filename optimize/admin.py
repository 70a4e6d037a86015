"""The optimiser in the admin: history that nobody edits; cancelling goes through the service, as everywhere else."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from optimize import services
from optimize.adaptation import admin as adaptation  # noqa: F401  # registers on import
from optimize.models import OptimizationChunk, OptimizationJob, TrialRecord, TunedModel
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


@admin.register(OptimizationJob)
class OptimizationJobAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "id",
        "kind",
        "strategy_type",
        "status",
        "verdict",
        "done_combinations",
        "total_combinations",
        "best_sharpe",
        "error_code",
        "created_at",
        "completed_at",
    ]
    list_filter: ClassVar = ["kind", "status", "verdict"]
    search_fields: ClassVar = ["id", "strategy_type", "error_code"]
    date_hierarchy = "created_at"
    actions: ClassVar = ["cancel_jobs"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OptimizationJob]:
        rows: QuerySet[OptimizationJob] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "optimize_optimizationjob_changelist":
            return rows.defer("result", "request", "data")
        return rows

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Cancel the selected optimisations", permissions=["operate"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[OptimizationJob]) -> None:
        done = 0
        for job in queryset:
            try:
                services.job_cancel(actor=actor_of(request), job=job)
            except AppError as error:
                self.message_user(request, f"{job}: {error.detail}", messages.WARNING)
                continue
            done += 1
        if done:
            self.message_user(request, f"{done} optimisations were cancelled.", messages.SUCCESS)


@admin.register(OptimizationChunk)
class OptimizationChunkAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "job",
        "index",
        "first",
        "last",
        "gathers",
        "status",
        "attempts",
        "worker",
        "started_at",
        "completed_at",
    ]
    list_filter: ClassVar = ["status", "gathers"]
    list_select_related: ClassVar = ["job"]
    search_fields: ClassVar = ["job__id", "worker"]
    ordering: ClassVar = ["-id"]
    exclude: ClassVar = ["state", "result"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OptimizationChunk]:
        rows: QuerySet[OptimizationChunk] = super().get_queryset(request)
        return rows.defer("state", "result", "job__result", "job__request", "job__data")


@admin.register(TrialRecord)
class TrialRecordAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "strategy_type", "timeframe", "start", "end", "count", "sharpe_mean", "created_at"]
    list_filter: ClassVar = ["strategy_type", "timeframe"]
    ordering: ClassVar = ["-id"]
    exclude: ClassVar = ["hashes"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer("hashes")


@admin.register(TunedModel)
class TunedModelAdmin(LedgerAdmin):
    list_display: ClassVar = ["name", "model_type", "verdict", "trained_from", "trained_until", "created_at"]
    list_filter: ClassVar = ["model_type", "verdict"]
    search_fields: ClassVar = ["id", "name", "digest"]
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "optimize_tunedmodel_changelist":
            return rows.defer("description", "figures")
        return rows
