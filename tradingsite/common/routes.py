"""Ways out of the outbox beside Celery: which tasks leave by which, registered by whoever owns the other broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.models import OutboxMessage


@dataclass(frozen=True)
class Route:
    """A way to a broker for the messages of some tasks.

    `send` returns when the fate of each message is known, well within the ten seconds that a transaction may stand
    still, and names the reason for each one (by its key) that the broker did not confirm.
    """

    name: str
    tasks: frozenset[str]
    send: Callable[[Sequence[OutboxMessage]], Mapping[int, str]]
    # One relay at a time, oldest first whatever the priority: what was written in order leaves in order.
    ordered: bool = False


_routes: dict[str, Route] = {}


def register(route: Route) -> None:
    """Have the messages of `route.tasks` leave by `route`, no longer by Celery."""
    taken = {task for other in _routes.values() for task in other.tasks}
    if route.name in _routes or taken & route.tasks:
        raise ImproperlyConfigured(f"the outbox has two routes {route.name!r}, or two for one task")
    _routes[route.name] = route


def registered() -> tuple[Route, ...]:
    return tuple(_routes.values())


def tasks_routed() -> frozenset[str]:
    """Return the tasks that do not leave by Celery."""
    return frozenset[str]().union(*(route.tasks for route in _routes.values()))
