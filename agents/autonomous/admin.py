"""Operators' view of the autonomous agent. What changes it goes through the services, as everywhere."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.autonomous import config, proposals, runs
from agents.autonomous.models import AgentConfig, AgentRun, Proposal
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


@admin.register(AgentConfig)
class AgentConfigAdmin(LedgerAdmin):
    list_display: ClassVar = ["account", "enabled", "autonomy", "team_enabled", "schedule", "version", "updated_at"]
    list_select_related: ClassVar = ["account", "schedule"]
    actions: ClassVar = ["switch_on", "switch_off"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Switch on", permissions=["operate"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[AgentConfig]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch off", permissions=["operate"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[AgentConfig]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[AgentConfig], *, enabled: bool) -> None:
        for row in queryset:
            if row.account.is_default:
                config.config_update(actor=actor_of(request), changes={"enabled": enabled})
                self.message_user(request, f"The agent is switched {'on' if enabled else 'off'}.", messages.SUCCESS)
            else:
                self.message_user(request, f"{row.account} is not the default account.", messages.WARNING)


@admin.register(AgentRun)
class AgentRunAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "id", "account", "trigger", "autonomy", "status", "code", "tokens", "cost", "created_at", "finished_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "trigger", "autonomy"]
    list_select_related: ClassVar = ["account"]
    raw_id_fields: ClassVar = ["execution"]
    actions: ClassVar = ["cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentRun]:
        rows: QuerySet[AgentRun] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "agents_agentrun_changelist":
            return rows.defer("config", "report")
        return rows.select_related("execution", "created_by")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[AgentRun]) -> None:
        for row in queryset:
            try:
                runs.run_cancel(actor=actor_of(request), run_id=row.pk, reason="from the admin site")
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{row} was asked to stop.", messages.SUCCESS)


@admin.register(Proposal)
class ProposalAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "symbol", "side", "quantity", "reference_price", "status", "created_at", "expires_at", "decided_by", "client_order_id",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "side"]
    list_select_related: ClassVar = ["decided_by"]
    search_fields: ClassVar = ["symbol", "client_order_id"]
    actions: ClassVar = ["reject"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Reject", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Proposal]) -> None:
        for row in queryset:
            try:
                proposals.proposal_reject(actor=actor_of(request), proposal_id=row.pk, reason="from the admin site")
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                self.message_user(request, f"{row} was rejected.", messages.SUCCESS)
