"""Webhooks in the admin: a log that nobody edits; sending again and disabling go through the services."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.webhooks import services
from tradingsite.common.webhooks.models import Webhook, WebhookAttempt, WebhookDelivery


@admin.register(Webhook)
class WebhookAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "name",
        "url",
        "created_by",
        "enabled",
        "disabled_because",
        "failing_since",
        "last_success_at",
        "deleted_at",
    ]
    list_filter: ClassVar = ["enabled", "disabled_because", ("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related: ClassVar = ["created_by"]
    search_fields: ClassVar = ["id", "name", "url"]
    exclude: ClassVar = ["secret", "old_secret", "nudged_at"]
    actions: ClassVar = ["disable"]

    @admin.action(description="Disable the selected webhooks")
    def disable(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        count = 0
        for webhook_id in queryset.filter(enabled=True, deleted_at=None).values_list("pk", flat=True):
            services.webhook_update(actor=actor_of(request), webhook_id=webhook_id, changes={"enabled": False})
            count += 1
        self.message_user(request, f"{count} webhooks were disabled; what waits for them is kept.")


class AttemptInline(TabularInline):
    model = WebhookAttempt
    extra = 0
    can_delete = False
    fields: ClassVar = ["number", "started_at", "status", "latency_ms", "error_code", "error", "answer"]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "id",
        "webhook",
        "type",
        "status",
        "attempts",
        "last_status",
        "last_error",
        "next_attempt_at",
        "delivered_at",
    ]
    list_filter: ClassVar = ["status", "type"]
    list_select_related: ClassVar = ["webhook"]
    search_fields: ClassVar = ["id", "webhook__name"]
    inlines: ClassVar = [AttemptInline]
    actions: ClassVar = ["redeliver"]

    @admin.action(description="Send the selected deliveries again")
    def redeliver(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        for delivery in queryset:
            try:
                services.delivery_redeliver(
                    actor=actor_of(request), webhook_id=delivery.webhook_id, delivery_id=delivery.pk
                )
            except AppError as error:
                self.message_user(request, f"{delivery}: {error.detail}", messages.WARNING)
        self.message_user(request, "What could be sent again is on its way.")


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(LedgerAdmin):
    list_display: ClassVar = ["delivery", "number", "started_at", "status", "latency_ms", "error_code"]
    list_filter: ClassVar = ["status", "error_code"]
    list_select_related: ClassVar = ["delivery"]
    search_fields: ClassVar = ["delivery__id"]
