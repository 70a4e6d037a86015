"""Who calls while the database is away: what a signed token says, and nothing else. For stopping trading alone.

A token carries its owner's name and role as they were when it was made, at most half an hour ago. That is too old for
anything but the one call that can only make the desk safer, at the one time when nobody can be asked.
"""

from typing import Any

from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.models import TokenUser
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from tradingsite.common import database
from tradingsite.common.access.authentication import JwtAuthentication
from tradingsite.common.actor import Actor
from tradingsite.common.errors import Unavailable
from tradingsite.common.roles import Role, role_of

NAME, ROLE = "name", "role"


def claims_write(token: Token, user: object) -> None:
    """Write into a token who its owner is, and what they may do now."""
    role = role_of(user)
    token[NAME] = getattr(user, "username", "")
    token[ROLE] = "" if role is None else role.slug


class OutageAuthentication(JwtAuthentication):
    """`Authorization: Bearer <token>`, by the token's own word while the database is away.

    To stand first among the authenticators of a view, since the others would wait for the database.
    """

    def authenticate(self, request: Request) -> Any:
        """Return who calls.

        Raises:
            AuthenticationFailed: for a token that this desk has not signed, that has expired, or that names nobody.
            Unavailable: without a token in an outage, when nobody can be asked who calls.
        """
        try:
            database.require_answer()
        except database.NoAnswer:
            return self._by_its_word(request)
        return super().authenticate(request)

    def _by_its_word(self, request: Request) -> tuple[TokenUser, Actor]:
        header = self.get_header(request)
        raw = None if header is None else self.get_raw_token(header)
        if raw is None:
            raise Unavailable(
                "The database does not answer, so only a bearer token can be checked. "
                "Stop with one, or on the machine with manage.py kill_switch on."
            )
        try:
            token = self.get_validated_token(raw)
            actor = Actor(
                kind="user",
                name=str(token[NAME]),
                user_id=int(token[api_settings.USER_ID_CLAIM]),
                role=Role.from_slug(str(token[ROLE])) if token[ROLE] else None,
                request_id=getattr(request, "request_id", ""),
            )
        except (AuthenticationFailed, KeyError, ValueError):
            raise AuthenticationFailed("The token is not valid or has expired; take a new one.") from None
        return TokenUser(token), actor
