"""The relay: brings committed outbox rows to the broker, or to the one whose route their task has.

Any number of relays may run: rows are taken with SKIP LOCKED. A row is marked in the transaction that locked it, so a
relay that dies after sending sends again; whoever receives a task twice finds its work already claimed.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from celery import current_app
from celery.exceptions import NotRegistered
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from kombu.exceptions import OperationalError

from tradingsite.common import broker, routes, wake
from tradingsite.common import pulled as pulling
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

logger = logging.getLogger(__name__)

BATCH = 100
# PostgreSQL ends a transaction that stands still for ten seconds; what a slow broker took in it would be sent again.
BATCH_S = 3.0
# Confirmed together, in one round trip.
ROUTE_BATCH = 500
POLL_S = 0.5
# How soon the broker is asked again whether it has passed on what it was given ahead.
AHEAD_POLL_S = 0.05
_BROKER_FAULTS = (OperationalError, ConnectionError, TimeoutError, OSError)


@dataclass(frozen=True)
class Drained:
    """How many messages left, and whether some stay for a moment because the workers have enough of them."""

    sent: int
    held_back: bool = False


def drain() -> int:
    """Publish what waits by every route and return how many messages left."""
    return sum(way.drain().sent for way in _ways())


@dataclass(frozen=True)
class Way:
    """How the messages of some tasks leave: each by a thread of its own, so that none waits for another's broker."""

    name: str
    hears: Callable[[str], bool]
    drain: Callable[[], Drained]


def _ways() -> list[Way]:
    pulled = {one.task for one in pulling.registered()}
    apart = pulled | routes.tasks_routed()
    ways = [Way("relay", lambda task: task not in apart, _drain_celery)]
    ways += [
        Way(f"relay {one.task}", one.task.__eq__, functools.partial(_drain_pulled, one)) for one in pulling.registered()
    ]
    for route in routes.registered():
        ways.append(Way(f"relay {route.name}", route.tasks.__contains__, functools.partial(_drain_route, route)))
    return ways


def _waiting() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(published_at=None)


def _drain_celery() -> Drained:
    """Publish what waits for Celery, all of it at once."""
    apart = {one.task for one in pulling.registered()} | routes.tasks_routed()
    return Drained(_drain_queue(_waiting().exclude(task__in=apart)))


def _drain_pulled(pulled: pulling.Pulled) -> Drained:
    """Publish of a task that workers pull only what calls idle ones."""
    idle = pulled.idle()
    if idle == 0:
        # Who is at work takes the next one without being called. Another process's relay calls its own.
        return Drained(0, held_back=True)
    waiting = _waiting().filter(task=pulled.task)
    if not waiting.exists():
        return Drained(0)
    # When the broker does not answer, the first message finds out why, and notes it.
    room = settings.RELAY_AHEAD - (broker.waiting(pulled.queue) or 0) if idle is None else idle
    sent = _drain_queue(waiting, at_most=room) if room > 0 else 0
    return Drained(sent, held_back=sent >= room)


def _drain_queue(waiting: QuerySet[OutboxMessage], *, at_most: int | None = None) -> int:
    """Publish what waits, highest priority first, and return how many messages left.

    Stops at the first message that the broker does not take; the rest keeps its place for the next round. A message
    for a task that no installed app offers stays where it is, with the reason, and holds nobody up.
    """
    _tasks_import()
    sent, unknown = 0, set[int]()
    while at_most is None or sent < at_most:
        size = BATCH if at_most is None else min(BATCH, at_most - sent)
        with transaction.atomic():
            batch = list(
                waiting.select_for_update(skip_locked=True).exclude(pk__in=unknown).order_by("-priority", "id")[:size]
            )
            published: list[int] = []
            refused = late = False
            until = time.monotonic() + BATCH_S
            for message in batch:
                if late := time.monotonic() > until:
                    break
                try:
                    _publish(message)
                except NotRegistered:
                    unknown.add(message.pk)
                    _note(message, f"no installed app offers the task {message.task}")
                except _BROKER_FAULTS as error:
                    logger.warning("the broker does not take tasks for now: %s", error)
                    _note(message, str(error))
                    refused = True
                    break
                else:
                    published.append(message.pk)
            if published:
                OutboxMessage.objects.filter(pk__in=published).update(published_at=utcnow())
                sent += len(published)
        if refused or (len(batch) < size and not late):
            break
    return sent


@functools.cache
def _tasks_import() -> None:
    """Import the tasks, which a process that is no worker has not done yet.

    Once only: in a worker Celery has all models and the whole site checked each time.
    """
    current_app.loader.import_default_modules()


def _drain_route(route: routes.Route) -> Drained:
    """Publish what waits for `route` in batches and say how many messages its broker has confirmed.

    Stops after a batch that was not confirmed whole; what is missing from it is sent again in the next round.
    """
    sent = 0
    while True:
        with transaction.atomic():
            if route.ordered and not _alone(route):
                return Drained(sent)
            waiting = OutboxMessage.objects.select_for_update(skip_locked=True).filter(
                published_at=None, task__in=route.tasks
            )
            batch = list(waiting.order_by(*(["id"] if route.ordered else ["-priority", "id"]))[:ROUTE_BATCH])
            if not batch:
                return Drained(sent)
            refused = route.send(batch)
            confirmed = [message.pk for message in batch if message.pk not in refused]
            OutboxMessage.objects.filter(pk__in=confirmed).update(published_at=utcnow())
            for message in batch:
                if message.pk in refused:
                    _note(message, refused[message.pk])
            sent += len(confirmed)
        if refused:
            logger.warning("%s does not take messages for now: %s", route.name, next(iter(refused.values())))
            return Drained(sent)
        if len(batch) < ROUTE_BATCH:
            return Drained(sent)


def _alone(route: routes.Route) -> bool:
    """Hold the route until the end of the transaction; False when another relay has it."""
    if connection.vendor != "postgresql":
        # Writing transactions exclude each other there.
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [f"outbox route {route.name}"])
        return bool(cursor.fetchone()[0])


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
    """The relay's loops, one for each way: woken by the bell, by PostgreSQL's NOTIFY, and by time in any case."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(way,), name=way.name, daemon=True) for way in _ways()]
        if connection.vendor == "postgresql":
            self._threads.append(threading.Thread(target=self._listen, name="relay listener", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        wake.ring_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, way: Way) -> None:
        from tradingsite.common.background import guarded

        bell = wake.bell(way.hears)
        held_back = False

        def drained() -> None:
            nonlocal held_back
            held_back = False
            held_back = way.drain().held_back

        round_ = guarded(way.name, drained)
        while not self._stop.is_set():
            if held_back:
                # The bell says that there is more, which changes nothing.
                self._stop.wait(AHEAD_POLL_S)
            else:
                bell.wait(POLL_S)
            bell.clear()
            round_()

    def _listen(self) -> None:
        pause_s = 0.5
        while not self._stop.is_set():
            try:
                with psycopg.connect(**_parameters(), autocommit=True) as listener:
                    listener.execute(f"LISTEN {wake.CHANNEL}")
                    wake.ring_all()
                    while not self._stop.is_set():
                        for news in listener.notifies(timeout=1.0):
                            wake.ring(news.payload)
            except (psycopg.Error, OSError) as error:
                logger.warning("the relay does not hear the database for now: %s", error)
                self._stop.wait(pause_s)


def _parameters() -> dict[str, Any]:
    known = {"host", "port", "user", "password", "dbname", "sslmode"}
    return {key: value for key, value in connection.get_connection_params().items() if key in known}
