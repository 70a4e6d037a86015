"""Tasks that a busy worker pulls out of the outbox itself, so that a backlog need not go through the broker.

The broker is there to wake who is idle. A message to a worker that is busy anyway costs that worker more than a short
task does, and once it lies there no later and more urgent one passes it. So of these tasks the relay sends only a few
ahead, and whoever has done one takes the next where it was written, most urgent first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import Q, QuerySet

from tradingsite.common import routes
from tradingsite.common.clock import utcnow
from tradingsite.common.writes import prepared_cursor

if TYPE_CHECKING:
    from tradingsite.common.models import OutboxMessage

_TAKE = """
    UPDATE outbox_message SET published_at = %s WHERE id = (
        SELECT id FROM outbox_message WHERE published_at IS NULL AND task = %s
        ORDER BY priority DESC, id LIMIT 1 {locking}
    ) RETURNING args {answer}
"""
# That a message was taken need not reach the disk at once: after a crash of the server it is sent twice, which is borne.
_UNHURRIED = ", set_config('synchronous_commit', 'off', true)"


@dataclass(frozen=True)
class Pulled:
    """A task that is pulled.

    `idle` says how many threads of this process have nothing to do and would take it from the broker; None in a
    process that takes none.
    """

    task: str
    queue: str
    idle: Callable[[], int | None]


_tasks: dict[str, Pulled] = {}


def register(pulled: Pulled) -> None:
    """Let workers pull these tasks."""
    if pulled.task in _tasks:
        raise ImproperlyConfigured(f"the task {pulled.task!r} is pulled already")
    _tasks[pulled.task] = pulled


def registered() -> list[Pulled]:
    """Return what is pulled and not brought by a route of its own."""
    routed = routes.tasks_routed()
    return [pulled for task, pulled in _tasks.items() if task not in routed]


def take(task: str) -> list[Any] | None:
    """Take the most urgent message for `task` that was not sent yet, and return its arguments; None without one.

    From here on it counts as sent: who dies before the work is claimed leaves it to whoever watches for lost messages,
    as a broker would.
    """
    if task in routes.tasks_routed():
        return None
    here = connection.vendor == "postgresql"
    # Inside a transaction its commit decides, and is left as it is.
    answer = _UNHURRIED if here and not connection.in_atomic_block else ""
    with prepared_cursor() as cursor:
        cursor.execute(_TAKE.format(locking="FOR UPDATE SKIP LOCKED" if here else "", answer=answer), [utcnow(), task])
        row = cursor.fetchone()
    return None if row is None else _args(row[0])


def overdue() -> QuerySet["OutboxMessage"]:
    """Return the messages that a relay should have sent by now: not those that stay until a worker takes them.

    One that the broker refused is overdue, whoever might take it.
    """
    from tradingsite.common.models import OutboxMessage

    staying = Q(task__in=[pulled.task for pulled in registered()], attempts=0)
    return OutboxMessage.objects.filter(~staying, published_at=None)


def _args(stored: Any) -> list[Any]:
    from tradingsite.common.models import OutboxMessage

    field = OutboxMessage._meta.get_field("args")
    found: list[Any] = field.from_db_value(stored, None, connection)  # type: ignore[arg-type]
    return found
