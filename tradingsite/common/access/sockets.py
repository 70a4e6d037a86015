"""Who opens a socket: the session of a page, or a single-use ticket."""

from typing import Any
from urllib.parse import ParseResult, parse_qs

from channels.security.websocket import OriginValidator
from django.conf import settings

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


class OriginGuard(OriginValidator):
    """Refuses pages of other sites, which could use a visitor's session; a browser always says where a page is from.

    A program sends no origin and carries no session that a page could borrow: it comes with a ticket.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(application, settings.ALLOWED_HOSTS)

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))
