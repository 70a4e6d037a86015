"""The audit sink that the ground's hook writes to."""

from collections.abc import Mapping
from typing import Any

from django.db import models

from safety.choices import Door
from safety.models import AuditLog
from tradingsite.common.actor import Actor


def audit_row(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str,
) -> AuditLog:
    """Return one audit row, to be written in the caller's transaction: what cannot be recorded does not happen."""
    return AuditLog(
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        actor_user_id=actor.user_id,
        actor_role=actor.role.slug if actor.role is not None else "",
        door=_door(actor),
        request_id=actor.request_id[:64],
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_repr=str(target)[:200],
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        reason=reason,
    )


def _door(actor: Actor) -> Door:
    if actor.kind == "system":
        return Door.SYSTEM
    if actor.kind == "api_key":
        return Door.API_KEY
    return Door.REQUEST if actor.request_id else Door.SHELL
