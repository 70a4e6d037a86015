"""Safety in the admin: limits and switches change by the services, histories are read-only."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from safety import killswitch, selectors, services
from safety.alerting import admin as alerting_admin  # noqa: F401  # registers its pages on import
from safety.facts import NARROWABLE
from safety.models import (
    EVERYTHING,
    AlertEvent,
    AuditLog,
    DayCounter,
    DecisionOutcome,
    DrawdownBreaker,
    FlattenPermit,
    GateDecision,
    KillDrill,
    KillSweep,
    KillSwitch,
    KillSwitchEvent,
    ReconciliationBlock,
    SafetySettings,
    ScopedLimits,
)
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError, ValidationFailed
from tradingsite.common.roles import Role, role_of


def _has(request: HttpRequest, role: Role) -> bool:
    have = role_of(request.user)
    return have is not None and have >= role


def _said(error: AppError) -> str:
    return " ".join(found.detail for found in error.errors) or error.detail


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The limits, the reason for changing them, and which version was looked at."""

    reason = forms.CharField(required=False, max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))
    version_seen = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = SafetySettings
        fields: ClassVar = list(selectors.SETTABLE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["version_seen"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        current = selectors.settings_get().version
        if cleaned.get("version_seen") not in (None, current):
            raise forms.ValidationError(f"Somebody changed the limits meanwhile (version {current}); look again.")
        return cleaned


@admin.register(SafetySettings)
class SafetySettingsAdmin(ModelAdmin):
    form = LimitsForm
    list_display = ("__str__", *selectors.SETTABLE, "updated_at", "updated_by")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _has(request, Role.ADMIN)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SafetySettings, form: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data if name in selectors.SETTABLE}
        services.limits_update(actor=actor_of(request), changes=changes, reason=form.cleaned_data["reason"])


class ScopedLimitsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The limits of one strategy or instrument. What is left empty, the desk's limit settles."""

    reason = forms.CharField(required=False, max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))

    class Meta:
        model = ScopedLimits
        fields: ClassVar = ["scope", "key", *NARROWABLE]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not any(cleaned.get(name) is not None for name in NARROWABLE):
            raise forms.ValidationError("Name at least one limit, or delete the row.")
        return cleaned


@admin.register(ScopedLimits)
class ScopedLimitsAdmin(ModelAdmin):
    form = ScopedLimitsForm
    list_display = ("scope", "key", *NARROWABLE, "updated_at", "updated_by")
    list_filter = ("scope",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.ADMIN)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _has(request, Role.ADMIN)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _has(request, Role.ADMIN)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Deleting many at once would go round the service; one at a time is enough for limits.
        return {}

    def get_readonly_fields(self, request: HttpRequest, obj: ScopedLimits | None = None) -> tuple[str, ...]:
        return () if obj is None else ("scope", "key")

    def save_model(self, request: HttpRequest, obj: ScopedLimits, form: Any, change: bool) -> None:
        limits = {name: value for name in NARROWABLE if (value := form.cleaned_data.get(name)) is not None}
        try:
            row = services.scoped_limits_set(
                actor=actor_of(request), scope=obj.scope, key=obj.key, limits=limits, reason=form.cleaned_data["reason"]
            )
        except AppError as error:
            self.message_user(request, _said(error), messages.ERROR)
        else:
            obj.pk = row.pk

    def delete_model(self, request: HttpRequest, obj: ScopedLimits) -> None:
        services.scoped_limits_remove(actor=actor_of(request), scope=obj.scope, key=obj.key)


class ReasonForm(ActionForm):
    """What killing and resuming ask beside the action."""

    reason = forms.CharField(
        required=False, max_length=1000, label="Reason", widget=UnfoldAdminTextInputWidget(attrs={"size": 40})
    )


class KillForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new switch is a kill of its scope."""

    class Meta:
        model = KillSwitch
        fields: ClassVar = ["scope", "reason"]

    def clean_scope(self) -> str:
        try:
            return services.scope_named(self.cleaned_data["scope"])
        except ValidationFailed:
            raise forms.ValidationError(f"Must be '{EVERYTHING}' or the id of a strategy.") from None


@admin.register(KillSwitch)
class KillSwitchAdmin(ModelAdmin):
    form = KillForm
    list_display = ("scope", "state", "halted_by", "reason", "since", "by")
    list_filter = ("active",)
    action_form = ReasonForm
    actions = ("kill", "resume")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.OPERATOR)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.OPERATOR)

    # Words, since a green tick beside a halt says the opposite of what it is.
    @admin.display(description="State", ordering="active")
    def state(self, row: KillSwitch) -> str:
        return "Stopped" if killswitch.state_with(row.scope, row).active else "Open"

    @admin.display(description="Halted by")
    def halted_by(self, row: KillSwitch) -> str:
        return ", ".join(killswitch.state_with(row.scope, row).sources) or "nothing"

    def save_model(self, request: HttpRequest, obj: KillSwitch, form: Any, change: bool) -> None:
        self._kill(request, obj.scope, obj.reason)

    @admin.action(description="Kill: stop all orders of the selected scopes", permissions=["operate"])
    def kill(self, request: HttpRequest, queryset: QuerySet[KillSwitch]) -> None:
        for row in queryset:
            self._kill(request, row.scope, request.POST.get("reason", ""))

    @admin.action(description="Resume (needs a reason)", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[KillSwitch]) -> None:
        for row in queryset:
            try:
                services.resume(actor=actor_of(request), reason=request.POST.get("reason", ""), scope=row.scope)
            except AppError as error:
                self.message_user(request, f"{row.scope}: {_said(error)}", messages.ERROR)
            else:
                self.message_user(request, f"{row.scope}: resumed.", messages.SUCCESS)

    def _kill(self, request: HttpRequest, scope: str, reason: str) -> None:
        try:
            result = services.kill(actor=actor_of(request), reason=reason[:1000], scope=scope)
        except AppError as error:
            self.message_user(request, f"{scope}: {_said(error)}", messages.ERROR)
        else:
            level = messages.WARNING if result.degraded else messages.SUCCESS
            self.message_user(request, f"{scope}: {result.detail}", level)


@admin.register(KillSwitchEvent)
class KillSwitchEventAdmin(LedgerAdmin):
    list_display = ("at", "scope", "action", "reason", "actor_name")
    list_filter = ("action",)
    search_fields = ("scope", "actor_name", "reason")
    ordering = ("-id",)


@admin.register(KillSweep)
class KillSweepAdmin(LedgerAdmin):
    list_display = ("killed_at", "scope", "flatten", "by", "latched_in_s", "rounds", "confirmed_at", "resumed_at")
    list_filter = ("flatten", ("confirmed_at", admin.EmptyFieldListFilter))
    search_fields = ("scope", "by")
    ordering = ("-id",)


@admin.register(KillDrill)
class KillDrillAdmin(LedgerAdmin):
    list_display = (
        "at", "by", "processes", "kills", "orders", "answered_in_s", "from_call_p99_s", "last_order_p99_s", "denied_in_s",
        "confirmed_in_s", "passed",
    )  # fmt: skip
    list_filter = ("passed",)
    ordering = ("-id",)


@admin.register(FlattenPermit)
class FlattenPermitAdmin(LedgerAdmin):
    list_display = ("at", "symbol", "side", "quantity", "number", "client_order_id")
    search_fields = ("symbol", "client_order_id")
    ordering = ("-id",)


@admin.register(DayCounter)
class DayCounterAdmin(LedgerAdmin):
    list_display = ("day", "account_id", "name", "value")
    list_filter = ("name", "day")
    ordering = ("-day",)


@admin.register(DrawdownBreaker)
class DrawdownBreakerAdmin(LedgerAdmin):
    list_display = ("account_id", "level", "since", "fall", "equity", "peak", "sampled_at")
    list_filter = ("level",)
    action_form = ReasonForm
    actions = ("resume",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.OPERATOR)

    @admin.action(description="Resume (needs a reason)", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[DrawdownBreaker]) -> None:
        for row in queryset:
            try:
                services.breaker_resume(
                    actor=actor_of(request), account_id=row.account_id, reason=request.POST.get("reason", "")
                )
            except AppError as error:
                self.message_user(request, f"{row.account_id}: {_said(error)}", messages.ERROR)
            else:
                self.message_user(request, f"{row.account_id}: resumed.", messages.SUCCESS)


@admin.register(ReconciliationBlock)
class ReconciliationBlockAdmin(LedgerAdmin):
    list_display = ("since", "account_id", "code", "times", "detail", "last_at", "first_detail")
    list_filter = ("code",)
    ordering = ("since",)
    action_form = ReasonForm
    actions = ("clear",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.OPERATOR)

    @admin.action(description="Clear, if the books agree (needs a reason)", permissions=["operate"])
    def clear(self, request: HttpRequest, queryset: QuerySet[ReconciliationBlock]) -> None:
        chosen: dict[UUID, list[str]] = {}
        for account_id, code in queryset.values_list("account_id", "code"):
            chosen.setdefault(account_id, []).append(code)
        for account_id, codes in chosen.items():
            try:
                services.reconciliation_clear_by_person(
                    actor=actor_of(request), account_id=account_id, codes=codes, reason=request.POST.get("reason", "")
                )
            except AppError as error:
                self.message_user(request, f"{account_id}: {_said(error)}", messages.ERROR)
            else:
                self.message_user(request, f"{account_id}: cleared {', '.join(codes)}.", messages.SUCCESS)


@admin.register(GateDecision)
class GateDecisionAdmin(LedgerAdmin):
    list_display = (
        "created_at",
        "outcome_said",
        "code_said",
        "symbol",
        "side",
        "quantity",
        "notional",
        "why",
    )
    list_filter = ("allowed", "outcome__kind", "preview", "drill", "code", "mode")
    list_select_related = ("outcome",)
    search_fields = ("symbol", "client_order_id", "execution_id", "strategy_id")
    ordering = ("-id",)

    @admin.display(description="Became", ordering="allowed")
    def outcome_said(self, row: GateDecision) -> str:
        return f"{row.became} (drill)" if row.drill else row.became

    @admin.display(description="Code", ordering="code")
    def code_said(self, row: GateDecision) -> str:
        return row.code or row.became_code

    @admin.display(description="Why")
    def why(self, row: GateDecision) -> str:
        return row.detail or row.became_detail


@admin.register(DecisionOutcome)
class DecisionOutcomeAdmin(LedgerAdmin):
    list_display = ("at", "kind", "code", "detail", "decision")
    list_filter = ("kind",)
    list_select_related = ("decision",)
    search_fields = ("code", "decision__symbol", "decision__client_order_id")
    ordering = ("-id",)


@admin.register(AlertEvent)
class AlertEventAdmin(LedgerAdmin):
    list_display = ("triggered_at", "severity", "kind", "name", "symbol", "message", "acknowledged_at")
    list_filter = ("severity", "kind", ("acknowledged_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "symbol", "message")
    ordering = ("-triggered_at", "-id")
    actions = ("acknowledge",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return _has(request, Role.OPERATOR)

    @admin.action(description="Acknowledge the selected alerts", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[AlertEvent]) -> None:
        for row in queryset:
            services.alert_acknowledge(actor=actor_of(request), alert_id=row.pk)
        self.message_user(request, "Acknowledged.", messages.SUCCESS)


@admin.register(AuditLog)
class AuditLogAdmin(LedgerAdmin):
    list_display = ("at", "actor_name", "action", "target_type", "target_repr", "reason")
    list_filter = ("action", "actor_kind", "door")
    search_fields = ("actor_name", "target_id", "target_repr", "request_id")
    ordering = ("-id",)
