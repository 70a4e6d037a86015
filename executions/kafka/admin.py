"""What came in from Kafka, in the admin: nobody edits it; a parked record can be read once more."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from executions.kafka.inbox import parked_replay
from executions.kafka.models import InboxMessage, ParkedRecord
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role, role_of


@admin.register(InboxMessage)
class InboxMessageAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "message_id",
        "execution_id",
        "priority",
        "topic",
        "partition",
        "offset",
        "received_at",
        "taken_at",
        "taken_by",
        "done_at",
        "outcome",
    ]
    list_filter: ClassVar = [("taken_at", admin.EmptyFieldListFilter), "outcome"]
    search_fields: ClassVar = ["message_id", "=task_id", "taken_by"]
    ordering: ClassVar = ["-id"]


@admin.register(ParkedRecord)
class ParkedRecordAdmin(LedgerAdmin):
    list_display: ClassVar = ["id", "reason", "detail", "topic", "partition", "offset", "size", "at", "replayed_at"]
    list_filter: ClassVar = ["reason", ("replayed_at", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["detail", "topic"]
    ordering: ClassVar = ["-id"]
    fields: ClassVar = [
        "reason",
        "detail",
        "topic",
        "partition",
        "offset",
        "key_text",
        "value_text",
        "size",
        "digest",
        "at",
        "replayed_at",
    ]
    readonly_fields: ClassVar = ["key_text", "value_text"]
    actions: ClassVar = ["replay"]

    @admin.display(description="Key")
    def key_text(self, row: ParkedRecord) -> str:
        return _readable(row.key)

    @admin.display(description="Value")
    def value_text(self, row: ParkedRecord) -> str:
        return _readable(row.value)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ParkedRecord]:
        rows: QuerySet[ParkedRecord] = super().get_queryset(request)
        if getattr(request.resolver_match, "url_name", "") == "executions_parkedrecord_changelist":
            return rows.defer("key", "value")
        return rows

    def has_operate_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return role is not None and role >= Role.OPERATOR

    @admin.action(description="Read the selected records once more", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[ParkedRecord]) -> None:
        done = 0
        for parked in queryset:
            try:
                parked_replay(actor=actor_of(request), parked=parked)
            except AppError as error:
                self.message_user(request, f"{parked}: {error.detail}", messages.WARNING)
                continue
            done += 1
        if done:
            self.message_user(request, f"{done} records are requests now and wait for an executor.", messages.SUCCESS)


def _readable(held: bytes | memoryview | None) -> str:
    """Return bytes as text, with what is none written as escapes."""
    return "none" if held is None else bytes(held).decode("utf-8", "backslashreplace")
