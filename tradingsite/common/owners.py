"""Whose thing it is, and who else may change it."""

from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied
from tradingsite.common.roles import Role


def require_owner(*, actor: Actor, created_by_id: int | None) -> None:
    """Let a person change what it made, an operator also what others made, and the desk everything.

    Raises:
        PermissionDenied: it belongs to somebody else, or to nobody.
    """
    if actor.kind == "system" or actor.may(Role.OPERATOR):
        return
    if created_by_id is None or created_by_id != actor.user_id:
        raise PermissionDenied("It belongs to somebody else; an operator may change it.")
