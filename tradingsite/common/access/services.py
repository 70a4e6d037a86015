"""Making and ending credentials."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from tradingsite.common import audit
from tradingsite.common.access.models import ApiKey, SocketTicket
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import FieldError, PermissionDenied, ValidationFailed
from tradingsite.common.roles import Role, role_of

TICKET_LIFE = timedelta(seconds=60)
PREFIX_LENGTH = 8


def digest(secret: str) -> str:
    """Return what is stored of a secret. It has 256 random bits, so that a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


@transaction.atomic
def api_key_create(
    *, actor: Actor, user: Any, name: str, role: Role, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key that acts in the name of `user` with `role`; return it with its secret, which is shown only now.

    Raises:
        PermissionDenied: when the role is above the user's or the actor's own, or a key asks for a key.
        ValidationFailed: for an expiry in the past.
    """
    if actor.kind == "api_key":
        raise PermissionDenied("A key makes no keys: whoever takes one must not outlive its end.")
    own = role_of(user)
    if own is None or role > own or (actor.kind == "user" and not actor.may(role)):
        raise PermissionDenied(f"A key may not have a higher role than its maker; {role.slug} is too high.")
    if expires_at is not None and expires_at <= utcnow():
        raise ValidationFailed(errors=[FieldError("expires_at", "invalid", "Must be in the future.")])
    prefix = secrets.token_hex(PREFIX_LENGTH // 2)
    secret = f"{prefix}.{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        name=name, prefix=prefix, hashed_secret=digest(secret), role=role.slug, created_by=user, expires_at=expires_at
    )
    audit.record(
        actor=actor,
        action="api_key.create",
        target=key,
        after={"name": name, "role": role.slug, "expires_at": expires_at and rfc3339(expires_at)},
    )
    return key, secret


@transaction.atomic
def api_key_revoke(*, actor: Actor, key: ApiKey) -> None:
    """End a key now and for good; ending an ended one changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=utcnow()):
        audit.record(actor=actor, action="api_key.revoke", target=key)


def ticket_issue(*, actor: Actor) -> tuple[str, datetime]:
    """Return a ticket that opens one socket in the actor's name, and when it expires.

    Raises:
        PermissionDenied: for an actor without a role.
    """
    if actor.role is None or actor.user_id is None:
        raise PermissionDenied("Without a role there is nothing to listen to.")
    ticket = secrets.token_urlsafe(32)
    expires_at = utcnow() + TICKET_LIFE
    SocketTicket.objects.create(
        hashed_ticket=digest(ticket),
        user_id=actor.user_id,
        actor_kind=actor.kind,
        actor_name=actor.name,
        role=actor.role.slug,
        expires_at=expires_at,
    )
    return ticket, expires_at


def ticket_redeem(ticket: str) -> Actor | None:
    """Use a ticket up and return whom it speaks for; None when it is unknown, used or too old."""
    now = utcnow()
    hashed = digest(ticket)
    # The conditional update decides between two sockets that present the same ticket. It names columns of this table
    # alone: a condition on the user would become a subquery, which the loser of the race does not evaluate again.
    taken = SocketTicket.objects.filter(hashed_ticket=hashed, redeemed_at=None, expires_at__gt=now).update(
        redeemed_at=now
    )
    if not taken:
        return None
    row = SocketTicket.objects.select_related("user").get(hashed_ticket=hashed)
    own = role_of(row.user)
    if own is None:
        return None
    kind: Any = row.actor_kind
    # Who lost the role within the minute lost it for the ticket too.
    return Actor(kind=kind, name=row.actor_name, user_id=row.user_id, role=min(own, Role.from_slug(row.role)))
