"""Operators' view of live adaptation: what it does, what happened, what was seen. Nobody edits any of it."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from optimize import services
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, AdaptationWatch, LiveAdaptation, RegimePoint
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


@admin.register(LiveAdaptation)
class LiveAdaptationAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "strategy", "status", "mode", "trailing_window", "max_param_change_pct", "objective", "schedule",
        "events_count", "created_by", "created_at", "stopped_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "mode"]
    list_select_related: ClassVar = ["strategy", "schedule", "created_by"]
    search_fields: ClassVar = ["id", "strategy__name"]
    date_hierarchy = "created_at"
    actions: ClassVar = ["stop"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Stop the selected adaptations", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[LiveAdaptation]) -> None:
        for row in queryset:
            try:
                services.live_stop(actor=actor_of(request), adaptation=row, reason="from the admin site")
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{row} is stopped.", messages.SUCCESS)


@admin.register(AdaptationRound)
class AdaptationRoundAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "adaptation", "trigger", "job_id", "actor_name", "created_at", "ended_at"]
    list_filter: ClassVar = ["trigger"]
    list_select_related: ClassVar = ["adaptation"]
    search_fields: ClassVar = ["id", "job_id", "adaptation__id"]


@admin.register(AdaptationEvent)
class AdaptationEventAdmin(LedgerAdmin):
    list_display: ClassVar = ["adaptation", "number", "status", "trigger", "about", "code", "actor_name", "at"]
    list_filter: ClassVar = ["status", "trigger"]
    list_select_related: ClassVar = ["adaptation"]
    search_fields: ClassVar = ["adaptation__id", "code", "job_id"]
    ordering: ClassVar = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AdaptationEvent]:
        rows: QuerySet[AdaptationEvent] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "optimize_adaptationevent_changelist":
            return rows.defer("evidence", "live_params", "proposed_params", "applied_params")
        return rows


@admin.register(RegimePoint)
class RegimePointAdmin(LedgerAdmin):
    list_display: ClassVar = ["adaptation", "bar_time", "label", "value", "changed_from"]
    list_filter: ClassVar = ["label"]
    list_select_related: ClassVar = ["adaptation"]
    search_fields: ClassVar = ["adaptation__id"]
    ordering: ClassVar = ["-id"]


@admin.register(AdaptationWatch)
class AdaptationWatchAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "adaptation", "event_number", "applied", "status", "bars", "from_time", "seen_until", "created_at", "ended_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "applied"]
    list_select_related: ClassVar = ["adaptation"]
    search_fields: ClassVar = ["adaptation__id"]
