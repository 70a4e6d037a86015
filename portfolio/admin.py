"""The portfolio in the admin. Ledgers are read-only; an order is cancelled by the service, as everywhere else."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from unfold.admin import ModelAdmin, TabularInline

from portfolio import services
from portfolio.choices import OPEN, OrderStatus
from portfolio.errors import AccountInUse, BrokerTaken
from portfolio.models import (
    Account,
    BrokerRound,
    CashMovement,
    EquitySnapshot,
    Fill,
    Goal,
    GoalWatch,
    Order,
    PaperFill,
    PaperOrder,
    Position,
    Rebalance,
    RebalanceLeg,
    RoundTrip,
)
from tradingsite.common.actor import Actor
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


class ReadOnly:
    """History: it can be looked at and searched, and that is all."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Account)
class AccountAdmin(ModelAdmin):
    list_display = ("name", "mode", "broker", "currency", "cash", "starting_cash", "is_default")
    search_fields = ("name",)
    readonly_fields = ("cash", "fill_sequence", "created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        in_use = obj is not None and services.account_in_use(obj)
        fixed = ("starting_cash", "currency", "mode", "broker") if in_use else ()
        return (*self.readonly_fields, *fixed)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        services.account_save(actor=actor_of(request), account=obj)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (AccountInUse, BrokerTaken) as error:
            # The form had found nothing wrong: it has become so since, by somebody else.
            self.message_user(request, f"{error.code}: {error.detail}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FillInline(ReadOnly, TabularInline):
    model = Fill
    extra = 0
    fields = ("sequence", "side", "quantity", "price", "fee", "occurred_at", "recorded_at", "venue_fill_id")
    readonly_fields = fields
    ordering = ("sequence",)


@admin.register(Order)
class OrderAdmin(ReadOnly, ModelAdmin):
    list_display = (
        "created_at",
        "instrument",
        "side",
        "quantity",
        "type",
        "time_in_force",
        "status",
        "code",
        "filled_quantity",
        "average_price",
        "mode",
    )
    list_filter = ("status", "side", "type", "time_in_force", "origin", "mode", "account")
    list_select_related = ("instrument",)
    search_fields = ("client_order_id", "instrument__symbol", "code", "execution_id", "strategy_id")
    date_hierarchy = "created_at"
    inlines: ClassVar = [FillInline]
    actions = ("cancel_orders",)
    show_full_result_count = False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Cancel the selected orders", permissions=["cancel"])
    def cancel_orders(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        actor = Actor.for_user(request.user)
        cancelled = 0
        for order in queryset:
            try:
                after = services.order_cancel(actor=actor, order=order, reason="cancelled in the admin")
            except AppError as error:
                self.message_user(request, f"{order.client_order_id}: {error.detail}", messages.WARNING)
                continue
            cancelled += after.status == OrderStatus.CANCELLED
            if after.status in OPEN:
                self.message_user(request, f"{order.client_order_id}: asked for, not yet confirmed.", messages.WARNING)
        if cancelled:
            self.message_user(request, f"{cancelled} orders cancelled.", messages.SUCCESS)


@admin.register(Fill)
class FillAdmin(ReadOnly, ModelAdmin):
    list_display = ("recorded_at", "instrument", "side", "quantity", "price", "fee", "occurred_at", "account")
    list_filter = ("side", "account")
    list_select_related = ("instrument", "account")
    search_fields = ("venue_fill_id", "instrument__symbol", "order__client_order_id")
    show_full_result_count = False


@admin.register(Position)
class PositionAdmin(ReadOnly, ModelAdmin):
    list_display = ("instrument", "account", "quantity", "average_price", "cost", "realized_pnl", "fees", "source")
    list_filter = ("account", "source")
    list_select_related = ("instrument", "account")
    search_fields = ("instrument__symbol",)


@admin.register(EquitySnapshot)
class EquitySnapshotAdmin(ReadOnly, ModelAdmin):
    list_display = ("at", "account", "equity", "cash", "positions_value")
    list_filter = ("account",)
    list_select_related = ("account",)
    show_full_result_count = False


class PaperFillInline(ReadOnly, TabularInline):
    model = PaperFill
    extra = 0
    fields = ("venue_fill_id", "quantity", "price", "fee", "occurred_at", "created_at")
    readonly_fields = fields


@admin.register(PaperOrder)
class PaperOrderAdmin(ReadOnly, ModelAdmin):
    list_display = (
        "created_at",
        "symbol",
        "side",
        "quantity",
        "type",
        "limit_price",
        "stop_price",
        "expires_at",
        "status",
    )
    list_filter = ("status", "side", "type", "time_in_force")
    search_fields = ("client_order_id", "symbol")
    inlines: ClassVar = [PaperFillInline]
    show_full_result_count = False


@admin.register(PaperFill)
class PaperFillAdmin(ReadOnly, ModelAdmin):
    list_display = ("created_at", "order", "quantity", "price", "fee", "occurred_at")
    list_select_related = ("order",)
    search_fields = ("venue_fill_id",)
    show_full_result_count = False


@admin.register(RoundTrip)
class RoundTripAdmin(LedgerAdmin):
    list_display: ClassVar = ["instrument", "account", "opened_at", "closed_at", "profit", "execution_id"]
    list_filter: ClassVar = [("closed_at", admin.EmptyFieldListFilter), "account"]
    list_select_related: ClassVar = ["instrument", "account"]
    search_fields: ClassVar = ["instrument__symbol", "execution_id", "opening_order__client_order_id"]
    ordering: ClassVar = ["-id"]


@admin.register(Goal)
class GoalAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "name",
        "account",
        "enabled",
        "drift_threshold",
        "total_drift",
        "over_since",
        "checked_at",
        "strategy_id",
        "created_at",
        "deleted_at",
    ]
    list_filter: ClassVar = [
        "enabled",
        ("watch__over_since", admin.EmptyFieldListFilter),
        ("deleted_at", admin.EmptyFieldListFilter),
        "account",
    ]
    list_select_related: ClassVar = ["account", "watch"]
    search_fields: ClassVar = ["id", "name", "strategy_id"]
    actions: ClassVar = ["enable", "disable", "hide", "restore"]

    @admin.display(description="drift", ordering="watch__total_drift")
    def total_drift(self, goal: Goal) -> str | None:
        found = goal.watch.total_drift
        return None if found is None else decimal_string(found)

    @admin.display(description="over since", ordering="watch__over_since")
    def over_since(self, goal: Goal) -> datetime | None:
        return goal.watch.over_since

    @admin.display(description="looked at", ordering="watch__checked_at")
    def checked_at(self, goal: Goal) -> datetime | None:
        return goal.watch.checked_at

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Enable", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Goal]) -> None:
        self._each(request, queryset, "enabled", _switch(True))

    @admin.action(description="Disable", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Goal]) -> None:
        self._each(request, queryset, "disabled", _switch(False))

    @admin.action(description="Delete (hide)", permissions=["operate"])
    def hide(self, request: HttpRequest, queryset: QuerySet[Goal]) -> None:
        self._each(request, queryset, "deleted", lambda who, goal: services.goal_delete(actor=who, goal_id=goal.pk))

    @admin.action(description="Restore", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Goal]) -> None:
        self._each(request, queryset, "restored", lambda who, goal: services.goal_restore(actor=who, goal_id=goal.pk))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Goal], done: str, act: Callable[[Actor, Goal], Any]
    ) -> None:
        count = 0
        for goal in queryset:
            try:
                act(actor_of(request), goal)
            except AppError as error:
                self.message_user(request, f"{goal}: {error.detail}", messages.WARNING)
            else:
                count += 1
        if count:
            self.message_user(request, f"{count} goals were {done}.", messages.SUCCESS)


def _switch(enabled: bool) -> Callable[[Actor, Goal], Goal]:
    return lambda who, goal: services.goal_update(actor=who, goal_id=goal.pk, changes={"enabled": enabled})


@admin.register(GoalWatch)
class GoalWatchAdmin(LedgerAdmin):
    list_display: ClassVar = ["goal", "total_drift", "over_since", "checked_at"]
    list_filter: ClassVar = [("over_since", admin.EmptyFieldListFilter)]
    list_select_related: ClassVar = ["goal"]
    search_fields: ClassVar = ["goal__name"]


class RebalanceLegInline(ReadOnly, TabularInline):
    model = RebalanceLeg
    extra = 0
    fields = (
        "number",
        "instrument",
        "side",
        "planned_quantity",
        "quantity",
        "reference_price",
        "order",
        "code",
        "detail",
    )
    readonly_fields = fields
    ordering = ("number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RebalanceLeg]:
        legs: QuerySet[RebalanceLeg] = super().get_queryset(request)
        return legs.select_related("instrument", "order")


@admin.register(Rebalance)
class RebalanceAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "created_at",
        "goal",
        "status",
        "equity",
        "total_drift",
        "expected_drift",
        "actor_name",
        "completed_at",
    ]
    list_filter: ClassVar = ["status", "account"]
    list_select_related: ClassVar = ["goal"]
    search_fields: ClassVar = ["id", "goal__name", "actor_name"]
    inlines: ClassVar = [RebalanceLegInline]


@admin.register(RebalanceLeg)
class RebalanceLegAdmin(LedgerAdmin):
    list_display: ClassVar = ["client_order_id", "instrument", "side", "planned_quantity", "quantity", "order", "code"]
    list_filter: ClassVar = ["side", "code"]
    list_select_related: ClassVar = ["instrument", "order"]
    search_fields: ClassVar = ["client_order_id", "instrument__symbol"]


@admin.register(BrokerRound)
class BrokerRoundAdmin(LedgerAdmin):
    list_display: ClassVar = ["account", "began_at", "finished_at", "lease_until"]
    list_select_related: ClassVar = ["account"]


@admin.register(CashMovement)
class CashMovementAdmin(LedgerAdmin):
    list_display: ClassVar = ["recorded_at", "account", "kind", "amount", "booked_on", "detail"]
    list_filter: ClassVar = ["kind", "account"]
    list_select_related: ClassVar = ["account"]
    ordering: ClassVar = ["-recorded_at"]
