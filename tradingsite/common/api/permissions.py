"""Deny by default: a view says for each action which role it needs; what it does not name is refused."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tradingsite.common.actor import Actor


def request_actor(request: Request) -> Actor:
    """Return who calls. A key is its own actor; a person is found by token or session."""
    if isinstance(request.auth, Actor):
        return request.auth
    return Actor.for_user(request.user, request_id=getattr(request, "request_id", ""))


class HasRole(BasePermission):
    """Compares the caller's role with `view.roles[action]`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        method = (request.method or "").lower()
        if method == "options" or getattr(view, method, None) is None:
            # Not offered to anybody; the view answers 405.
            return True
        action = getattr(view, "action", None) or method
        needed = view.roles.get(action)
        if needed is None and action == "head":
            needed = view.roles.get("get")
        return needed is not None and request_actor(request).may(needed)
