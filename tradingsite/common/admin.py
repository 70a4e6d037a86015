"""The foundations in the admin: what waits for the broker, what was told, which keys exist."""

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tradingsite.common.access.services import api_key_revoke
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.models import ApiKey, IdempotencyRecord, LiveEvent, LiveStream, OutboxMessage, SocketTicket
from tradingsite.common.webhooks import admin as webhooks_admin  # noqa: F401  # its pages register on import

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class DeskUserAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # takes none at run time
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class DeskGroupAdmin(GroupAdmin, ModelAdmin):
    pass


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "task", "task_id", "queue", "priority", "created_at", "published_at", "attempts"]
    list_filter: ClassVar = ["queue", ("published_at", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["task_id", "task"]


@admin.register(LiveStream)
class LiveStreamAdmin(LedgerAdmin):
    list_display: ClassVar = ["name", "seq"]
    search_fields: ClassVar = ["name"]


@admin.register(LiveEvent)
class LiveEventAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "stream", "seq", "type", "at"]
    list_filter: ClassVar = ["feed", "type"]
    search_fields: ClassVar = ["stream"]


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(LedgerAdmin):
    pass


@admin.register(SocketTicket)
class SocketTicketAdmin(LedgerAdmin):
    pass


@admin.register(ApiKey)
class ApiKeyAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "name",
        "prefix",
        "role",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    search_fields: ClassVar = ["name", "prefix"]
    actions: ClassVar = ["revoke"]

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.filter(revoked_at=None):
            api_key_revoke(actor=actor_of(request), key=key)
        self.message_user(request, "The selected keys no longer work.")
