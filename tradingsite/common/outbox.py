"""The outbox: what must reach the broker is a row first, in the transaction of the change that needs it."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction

from tradingsite.common import wake
from tradingsite.common.models import OutboxMessage


def enqueue_task(
    name: str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str,
    task_id: str | None = None,
    priority: int = 0,
) -> OutboxMessage:
    """Have the relay send the Celery task `name` once the present transaction has committed.

    Args:
        task_id: the Celery task's id, decided by the caller who stores it; a new one otherwise.
        priority: 0 to 9, 9 first.

    Raises:
        RuntimeError: outside a transaction, where a crash could lose the message but keep the change.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("enqueue_task needs the transaction of the change that it follows")
    message = task_message(name, args=args, kwargs=kwargs, queue=queue, task_id=task_id, priority=priority)
    message.save(force_insert=True)
    ring_after_commit(name)
    return message


def ring_after_commit(task: str) -> None:
    """Wake those in this process who wait for such a message; elsewhere the table itself does."""
    transaction.on_commit(lambda: wake.ring(task))


def task_message(
    name: str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str,
    task_id: str | None = None,
    priority: int = 0,
) -> OutboxMessage:
    """Return the row that `enqueue_task` would write, for who writes it together with the change; `ring_after_commit` then."""
    return OutboxMessage(
        task=name,
        task_id=task_id or str(uuid.uuid4()),
        queue=queue,
        priority=priority,
        args=list(args),
        kwargs=dict(kwargs or {}),
    )
