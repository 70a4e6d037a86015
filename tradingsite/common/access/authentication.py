"""Who calls the API: a program with a key, a bearer of a token, or a person with a session."""

import contextlib
import hmac
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from tradingsite.common.access.models import ApiKey
from tradingsite.common.access.services import PREFIX_LENGTH, digest
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role, role_of

# Writing the time of each use would turn every read into a write.
LAST_USED_GRAIN = timedelta(minutes=1)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key <key>`."""

    keyword = "api-key"

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        parts = get_authorization_header(request).decode("latin-1").split()
        if not parts or parts[0].lower() != self.keyword:
            return None
        key = self._find(parts[1]) if len(parts) == 2 else None
        if key is None:
            raise AuthenticationFailed("The API key is not valid, has expired or was revoked.")
        now = utcnow()
        if key.last_used_at is None or key.last_used_at < now - LAST_USED_GRAIN:
            # A database that takes no writes must not keep anybody out: the key may be about to stop the desk.
            with contextlib.suppress(DatabaseError), transaction.atomic():
                ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
        # A key never outgrows its owner: who lost the role lost it for the keys too.
        owner = role_of(key.created_by)
        if owner is None:
            raise AuthenticationFailed("The owner of this API key may do nothing any more.")
        role = min(Role.from_slug(key.role), owner)
        request_id = getattr(request, "request_id", "")
        actor = Actor(kind="api_key", name=key.name, user_id=key.created_by_id, role=role, request_id=request_id)
        return key.created_by, actor

    def _find(self, secret: str) -> ApiKey | None:
        # Never a NUL or the like into a query.
        if not secret.isascii() or not secret.isprintable():
            return None
        key = ApiKey.objects.select_related("created_by").filter(prefix=secret[:PREFIX_LENGTH], revoked_at=None).first()
        if key is None or not hmac.compare_digest(key.hashed_secret, digest(secret)):
            return None
        if key.expires_at is not None and key.expires_at <= utcnow():
            return None
        return key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class JwtAuthentication(JWTAuthentication):
    """`Authorization: Bearer <token>`; another scheme is left to the others."""

    def authenticate(self, request: Request) -> Any:
        try:
            return super().authenticate(request)
        except AuthenticationFailed:
            raise AuthenticationFailed("The token is not valid or has expired; take a new one.") from None


class BrowserSessionAuthentication(SessionAuthentication):
    """The pages' session, with the CSRF token demanded for every write."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
