"""Alert rules in the admin: switched by the services; what was seen, sent and done is history."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from safety import services
from safety.models import AlertCursor, AlertEmail, AlertRound, AlertRule, AlertSighting, AlertState
from safety.models.alert_rules import state_of, status_of
from tradingsite.common.clock import utcnow
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


def _operates(request: HttpRequest) -> bool:
    role = role_of(request.user)
    return role is not None and role >= Role.OPERATOR


@admin.register(AlertRule)
class AlertRuleAdmin(LedgerAdmin):
    """Rules are made and changed over the API, which says what is wrong with one; here they are found and switched."""

    list_display = (
        "name", "kind", "symbol", "threshold", "severity", "enabled", "standing", "snoozed_until", "created_by",
        "deleted_at",
    )  # fmt: skip
    list_filter = ("enabled", "kind", "severity", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "symbol", "created_by__username")
    list_select_related = ("state", "created_by")
    ordering = ("-created_at", "-id")
    readonly_fields = ("standing", "last_look")
    actions = ("enable", "disable", "snooze_a_day", "unsnooze", "acknowledge")

    @admin.display(description="Standing")
    def standing(self, row: AlertRule) -> str:
        state = state_of(row)
        word = status_of(row, state).value
        return f"{word}: {state.problem}" if state is not None and state.problem else word

    @admin.display(description="Last look")
    def last_look(self, row: AlertRule) -> str:
        state = state_of(row)
        if state is None:
            return "none yet"
        value = "no value" if state.value is None else decimal_string(state.value)
        return f"{value} at {state.observed_at}; {state.detail or 'no problem'}; told {state.triggered_count} times"

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _operates(request)

    @admin.action(description="Enable the selected rules", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._each(request, queryset, partial(services.alert_rule_switch, enabled=True), "enabled")

    @admin.action(description="Disable the selected rules", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._each(request, queryset, partial(services.alert_rule_switch, enabled=False), "disabled")

    @admin.action(description="Snooze the selected rules for a day", permissions=["operate"])
    def snooze_a_day(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        until = utcnow() + timedelta(days=1)
        self._each(request, queryset, partial(services.alert_rule_snooze, until=until), "snoozed")

    @admin.action(description="End the snooze of the selected rules", permissions=["operate"])
    def unsnooze(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._each(request, queryset, partial(services.alert_rule_snooze, until=None), "woken")

    @admin.action(description="Acknowledge every alert of the selected rules", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._each(request, queryset, services.alert_rule_acknowledge, "acknowledged")

    def _each(
        self, request: HttpRequest, queryset: QuerySet[AlertRule], service: Callable[..., object], what: str
    ) -> None:
        done = 0
        for row in queryset:
            try:
                service(actor=actor_of(request), rule_id=row.pk)
            except AppError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                done += 1
        if done:
            self.message_user(request, f"{done} rule{'' if done == 1 else 's'} {what}.", messages.SUCCESS)


@admin.register(AlertEmail)
class AlertEmailAdmin(LedgerAdmin):
    list_display = ("created_at", "user", "subject", "status", "attempts", "next_attempt_at", "sent_at", "last_error")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("subject", "user__username", "sent_to", "last_error")
    ordering = ("-id",)


@admin.register(AlertState)
class AlertStateAdmin(LedgerAdmin):
    list_display = ("rule", "met", "problem", "value", "observed_at", "since", "last_triggered_at", "triggered_count")
    list_filter = ("met", ("problem", admin.EmptyFieldListFilter))
    list_select_related = ("rule",)
    search_fields = ("rule__name", "problem")


@admin.register(AlertSighting)
class AlertSightingAdmin(LedgerAdmin):
    list_display = ("at", "rule", "key")
    list_select_related = ("rule",)
    search_fields = ("rule__name", "key")
    ordering = ("-id",)


@admin.register(AlertCursor)
class AlertCursorAdmin(LedgerAdmin):
    list_display = ("kind", "until")


@admin.register(AlertRound)
class AlertRoundAdmin(LedgerAdmin):
    list_display = ("began_at", "finished_at", "duration_ms", "rules", "changed", "triggered", "unknown")
