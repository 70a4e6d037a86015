"""Who does something: named in every service call and in every audit row."""

from dataclasses import dataclass
from typing import Any, Literal

from tradingsite.common.roles import Role, role_of


@dataclass(frozen=True)
class Actor:
    """A person, a program with a key, or the desk itself.

    Attributes:
        kind: `user`, `api_key` or `system`.
        name: the username, the key's name or the part of the system.
        user_id: the Django user behind it; None for the system.
        role: what it may do; None for the system, which is bound by its code instead.
        request_id: ties the audit row to the request's log lines.
    """

    kind: Literal["user", "api_key", "system"]
    name: str
    user_id: int | None = None
    role: Role | None = None
    request_id: str = ""

    @classmethod
    def system(cls, name: str) -> "Actor":
        return cls(kind="system", name=name)

    @classmethod
    def for_user(cls, user: Any, request_id: str = "") -> "Actor":
        return cls(kind="user", name=user.get_username(), user_id=user.pk, role=role_of(user), request_id=request_id)

    def may(self, role: Role) -> bool:
        """Say whether this actor has at least `role`; the system never passes for a person."""
        return self.role is not None and self.role >= role
