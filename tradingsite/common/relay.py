"""The relay: brings committed outbox rows to the broker.

Any number of relays may run: rows are taken with SKIP LOCKED. A row is marked in the transaction that locked it, so a
relay that dies after sending sends again; whoever receives a task twice finds its work already claimed.
"""

import logging
import threading
from typing import Any

import psycopg
from celery import current_app
from celery.exceptions import NotRegistered
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from tradingsite.common import wake
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

logger = logging.getLogger(__name__)

BATCH = 100
POLL_S = 0.5
_BROKER_FAULTS = (OperationalError, ConnectionError, TimeoutError, OSError)


def drain() -> int:
    """Publish what waits, highest priority first, and return how many messages left.

    Stops at the first message that the broker does not take; the rest keeps its place for the next round. A message
    for a task that no installed app offers stays where it is, with the reason, and holds nobody up.
    """
    # A process that is no worker has not imported the tasks yet; in one that has, this does nothing.
    current_app.loader.import_default_modules()
    sent, unknown = 0, set[int]()
    while True:
        with transaction.atomic():
            batch = list(
                OutboxMessage.objects.select_for_update(skip_locked=True)
                .filter(published_at=None)
                .exclude(pk__in=unknown)
                .order_by("-priority", "id")[:BATCH]
            )
            for message in batch:
                try:
                    _publish(message)
                except NotRegistered:
                    unknown.add(message.pk)
                    _note(message, f"no installed app offers the task {message.task}")
                    continue
                except _BROKER_FAULTS as error:
                    logger.warning("the broker does not take tasks for now: %s", error)
                    _note(message, str(error))
                    return sent
                message.published_at = utcnow()
                message.save(update_fields=["published_at"])
                sent += 1
        if len(batch) < BATCH:
            return sent


def _note(message: OutboxMessage, error: str) -> None:
    message.attempts += 1
    message.last_error = error[:300]
    message.save(update_fields=["attempts", "last_error"])


def _publish(message: OutboxMessage) -> None:
    # By the task object, not by name: `send_task` ignores the settings that make tasks run at once.
    task = current_app.tasks[message.task]
    task.apply_async(
        args=message.args,
        kwargs=message.kwargs,
        task_id=message.task_id,
        queue=message.queue,
        priority=_broker_priority(message.priority),
        retry=False,
    )


def _broker_priority(priority: int) -> int:
    """RabbitMQ takes 9 first, kombu's Redis transport 0 first."""
    url = str(current_app.conf.broker_url or "")
    return 9 - priority if url.startswith(("redis", "rediss")) else priority


class Relay:
    """The relay's loop: woken by the bell, by PostgreSQL's NOTIFY, and by time in any case."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="relay", daemon=True)]
        if connection.vendor == "postgresql":
            self._threads.append(threading.Thread(target=self._listen, name="relay listener", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        wake.bell.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        from tradingsite.common.background import guarded

        round_ = guarded("relay", drain)
        while not self._stop.is_set():
            wake.bell.wait(POLL_S)
            wake.bell.clear()
            round_()

    def _listen(self) -> None:
        pause_s = 0.5
        while not self._stop.is_set():
            try:
                with psycopg.connect(**_parameters(), autocommit=True) as listener:
                    listener.execute(f"LISTEN {wake.CHANNEL}")
                    wake.bell.set()
                    while not self._stop.is_set():
                        for _ in listener.notifies(timeout=1.0):
                            wake.bell.set()
            except (psycopg.Error, OSError) as error:
                logger.warning("the relay does not hear the database for now: %s", error)
                self._stop.wait(pause_s)


def _parameters() -> dict[str, Any]:
    known = {"host", "port", "user", "password", "dbname", "sslmode"}
    return {key: value for key, value in connection.get_connection_params().items() if key in known}
