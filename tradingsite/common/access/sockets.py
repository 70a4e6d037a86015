"""Who opens a socket: the session of a page, or a single-use ticket."""

from typing import Any
from urllib.parse import parse_qs

from tradingsite.common.access.services import ticket_redeem
from tradingsite.common.actor import Actor


def actor_from_scope(scope: dict[str, Any]) -> Actor | None:
    """Return the actor behind an ASGI scope; None without valid credentials. Touches the database."""
    tickets = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("ticket", [])
    if tickets:
        return ticket_redeem(tickets[0])
    user = scope.get("user")
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    return Actor.for_user(user)
