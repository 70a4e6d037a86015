"""What the admin pages of all apps share: histories that nobody edits, figures as people read them, the actor."""

from collections.abc import Callable
from typing import Any

from django.db.models import Field, Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tradingsite.common.actor import Actor
from tradingsite.common.decimals import ExactField, decimal_string


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


def plain_figure(field: "Field[Any, Any]") -> Callable[[Model], str | None]:
    """Return a column of an admin page that writes a decimal without the zeros that only fill its places."""

    def figure(row: Model) -> str | None:
        value = getattr(row, field.name)
        return None if value is None else decimal_string(value)

    figure.__name__ = field.name
    figure.short_description = field.verbose_name  # type: ignore[attr-defined]  # read by the admin
    figure.admin_order_field = field.name  # type: ignore[attr-defined]
    return figure


def show_plain_figures(page: Any) -> None:
    """Let an admin page and its inlines write decimals as 57, not as 57.0000000000, wherever nothing is typed.

    The site does this for each page that is registered.
    """
    exact = {field.name: field for field in page.model._meta.get_fields() if isinstance(field, ExactField)}
    if not exact:
        return
    page.readonly_preprocess_fields = {**page.readonly_preprocess_fields, **dict.fromkeys(exact, trimmed)}
    if hasattr(page, "list_display"):
        page.list_display = [plain_figure(exact[name]) if name in exact else name for name in page.list_display]


def trimmed(text: str) -> str:
    """Take the zeros that only fill places from a figure that the admin has written; leave other text alone."""
    return text.rstrip("0").rstrip(".") if text.replace(".", "", 1).lstrip("-").isdecimal() and "." in text else text
