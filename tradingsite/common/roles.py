"""The four roles. Each may do what the one below it may."""

import enum
from typing import Any


class Role(enum.IntEnum):
    VIEWER = 1
    TRADER = 2
    OPERATOR = 3
    ADMIN = 4

    @property
    def slug(self) -> str:
        """The name of the Django group, and the word in the API."""
        return self.name.lower()

    @classmethod
    def from_slug(cls, slug: str) -> "Role":
        """Return the role named `slug`.

        Raises:
            KeyError: for a name that is no role.
        """
        return cls[slug.upper()]


def role_of(user: Any) -> Role | None:
    """Return the highest role of a Django user, or None when it may do nothing at all.

    The answer is kept on the user object, which lives for one request.
    """
    if not getattr(user, "is_active", False):
        return None
    if user.is_superuser:
        return Role.ADMIN
    known: Role | None = getattr(user, "_desk_role", None)
    if known is None:
        slugs = {role.slug for role in Role}
        names = [name for name in user.groups.values_list("name", flat=True) if name in slugs]
        known = max((Role.from_slug(name) for name in names), default=None)
        user._desk_role = known
    return known
