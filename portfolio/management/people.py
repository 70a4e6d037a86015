"""Who acts by a command: a real user, with the rights of their role."""

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from tradingsite.common.actor import Actor


def person_named(username: str) -> Actor:
    """Return the user of this name as the one who acts.

    Raises:
        CommandError: when there is none, or one who was deactivated.
    """
    user = get_user_model().objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {username!r}.")
    return Actor.for_user(user)
