"""Schedules in the admin: changed through the services; what they did is history."""

from collections.abc import Callable
from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from scheduler import services
from scheduler.models import Clock, ClockKeeper, Schedule, ScheduleFire
from scheduler.rules import in_words
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


def _operates(request: HttpRequest) -> bool:
    role = role_of(request.user)
    return role is not None and role >= Role.OPERATOR


@admin.register(Schedule)
class ScheduleAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "name", "job_type", "when", "enabled", "next_run_at", "last_run_at", "last_status", "failure_streak",
    ]  # fmt: skip
    list_filter: ClassVar = ["enabled", "job_type", "kind"]
    search_fields: ClassVar = ["name", "job_type"]
    actions: ClassVar = ["start", "stop", "run_now"]

    @admin.display(description="when")
    def when(self, row: Schedule) -> str:
        return in_words(row)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _operates(request)

    @admin.action(description="Start the selected schedules", permissions=["operate"])
    def start(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, lambda row: services.schedule_switch(
            actor=actor_of(request), schedule_id=row.pk, enabled=True), "started")  # fmt: skip

    @admin.action(description="Stop the selected schedules", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, lambda row: services.schedule_switch(
            actor=actor_of(request), schedule_id=row.pk, enabled=False), "stopped")  # fmt: skip

    @admin.action(description="Fire the selected schedules now", permissions=["operate"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._each(request, queryset, lambda row: services.schedule_run(
            actor=actor_of(request), schedule_id=row.pk), "fired")  # fmt: skip

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Schedule], service: Callable[[Schedule], object], what: str
    ) -> None:
        done = 0
        for row in queryset:
            try:
                service(row)
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
                continue
            done += 1
        if done:
            self.message_user(request, f"{done} schedules were {what}.", messages.SUCCESS)


@admin.register(ScheduleFire)
class ScheduleFireAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "schedule", "nominal_at", "manual", "status", "fired_at", "started_at", "finished_at", "error_code", "run_id",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "manual"]
    list_select_related: ClassVar = ["schedule"]
    search_fields: ClassVar = ["schedule__name", "run_id", "error_code"]
    ordering: ClassVar = ["-fired_at"]


@admin.register(Clock)
class ClockAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "running", "changed_at", "changed_by", "reason"]
    actions: ClassVar = ["start", "stop"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _operates(request)

    @admin.action(description="Start the clock", permissions=["operate"])
    def start(self, request: HttpRequest, queryset: QuerySet[Clock]) -> None:
        self._switch(request, running=True)

    @admin.action(description="Stop the clock", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Clock]) -> None:
        self._switch(request, running=False)

    def _switch(self, request: HttpRequest, *, running: bool) -> None:
        clock = services.clock_switch(actor=actor_of(request), running=running)
        self.message_user(request, f"The clock is {clock}.", messages.SUCCESS)


@admin.register(ClockKeeper)
class ClockKeeperAdmin(LedgerAdmin):
    list_display: ClassVar = ["name", "host", "pid", "started_at", "last_seen", "fired"]
    ordering: ClassVar = ["-last_seen"]
