"""Operators' view of agents. What changes them goes through the services, as everywhere."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from agents import services
from agents.autonomous import admin as autonomous  # noqa: F401  # registers on import
from agents.models import Agent, AgentConversation, AgentRecommendation
from tradingsite.common.actor import Actor
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


@admin.register(Agent)
class AgentAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "name",
        "kind",
        "endpoint",
        "enabled",
        "health_status",
        "health_checked_at",
        "created_by",
        "created_at",
        "deleted_at",
    ]
    list_filter: ClassVar = ["kind", "enabled", "health_status", ("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related: ClassVar = ["created_by"]
    search_fields: ClassVar = ["name", "description", "endpoint"]
    actions: ClassVar = ["enable", "disable", "hide", "restore"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Enable", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._each(request, queryset, "enabled", _switch(True))

    @admin.action(description="Disable", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._each(request, queryset, "disabled", _switch(False))

    @admin.action(description="Delete (hide)", permissions=["operate"])
    def hide(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._each(request, queryset, "deleted", lambda who, row: services.agent_delete(actor=who, agent_id=row.pk))

    @admin.action(description="Restore", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._each(request, queryset, "restored", lambda who, row: services.agent_restore(actor=who, agent_id=row.pk))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Agent], done: str, act: Callable[[Actor, Agent], Any]
    ) -> None:
        count = 0
        for row in queryset:
            try:
                act(actor_of(request), row)
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                count += 1
        if count:
            self.message_user(request, f"{count} agents were {done}.", messages.SUCCESS)


def _switch(enabled: bool) -> Callable[[Actor, Agent], Agent]:
    return lambda who, row: services.agent_update(actor=who, agent_id=row.pk, changes={"enabled": enabled})


@admin.register(AgentConversation)
class AgentConversationAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "workflow_execution",
        "seq",
        "step_index",
        "symbol",
        "agent_name",
        "message_type",
        "timestamp",
        "model",
        "tokens_used",
        "cost",
        "latency_ms",
        "error_code",
    ]
    list_filter: ClassVar = ["message_type", "cut_off"]
    search_fields: ClassVar = ["workflow_execution__id", "agent_name", "symbol", "error_code"]
    # The key is ordered by time, and has an index.
    ordering: ClassVar = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentConversation]:
        rows: QuerySet[AgentConversation] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "agents_agentconversation_changelist":
            # A line shows none of what was said.
            return rows.select_related("workflow_execution").defer(
                "message_content",
                "workflow_execution__results",
                "workflow_execution__params",
                "workflow_execution__input_data",
            )
        return rows.select_related("agent")


@admin.register(AgentRecommendation)
class AgentRecommendationAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "workflow_execution",
        "symbol",
        "agent_name",
        "action",
        "confidence",
        "final_action",
        "followed",
        "outcome_code",
        "bar_time",
        "return_1",
        "return_5",
        "return_20",
    ]
    list_filter: ClassVar = ["action", "final_action", "followed", "is_decider"]
    search_fields: ClassVar = ["workflow_execution__id", "agent_name", "symbol"]
    # The key is ordered by time, and has an index.
    ordering: ClassVar = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentRecommendation]:
        rows: QuerySet[AgentRecommendation] = super().get_queryset(request)
        run = ("workflow_execution__results", "workflow_execution__params", "workflow_execution__input_data")
        return rows.select_related("workflow_execution", "agent").defer(*run)
