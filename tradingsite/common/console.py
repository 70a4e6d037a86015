"""What the admin pages of all apps share: histories that nobody edits, and the actor behind a request."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tradingsite.common.actor import Actor


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts through the admin site."""
    return Actor.for_user(request.user, request_id=getattr(request, "request_id", ""))


class LedgerAdmin(ModelAdmin):
    """An admin page that shows and never changes: rows are written by services alone."""

    list_per_page = 50
    # Counting a large table costs more than it tells.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
