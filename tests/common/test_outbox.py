"""The outbox and its relay: written with the change, published after it, at least once."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError

from tests.support.desk import wait_until
from tradingsite.common import relay, routes
from tradingsite.common.models import OutboxMessage
from tradingsite.common.outbox import enqueue_task


class Broker:
    """Stands where the broker stands: takes messages, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refusing = False
        self.lock = threading.Lock()

    def apply_async(self, *, args: list[Any], task_id: str, **_: Any) -> None:
        if self.refusing:
            raise OperationalError("connection refused")
        with self.lock:
            self.taken.append(task_id)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    current_app.loader.import_default_modules()
    monkeypatch.setattr(current_app.tasks["common.prune"], "apply_async", broker.apply_async)
    return broker


def write(task_id: str, priority: int = 0) -> None:
    with transaction.atomic():
        enqueue_task("common.prune", queue="control", task_id=task_id, priority=priority)


@pytest.mark.django_db(transaction=True)
def test_a_message_needs_the_transaction_of_its_change() -> None:
    with pytest.raises(RuntimeError, match="needs the transaction"):
        enqueue_task("common.prune", queue="control")
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_sends_nothing(broker: Broker) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue_task("common.prune", queue="control")
        _ = 1 / 0
    assert relay.drain() == 0
    assert broker.taken == []


@pytest.mark.django_db(transaction=True)
def test_the_relay_sends_the_urgent_first_and_each_once(broker: Broker) -> None:
    for task_id, priority in (("low", 0), ("high", 9), ("middle", 5)):
        write(task_id, priority)
    assert relay.drain() == 3
    assert relay.drain() == 0
    assert broker.taken == ["high", "middle", "low"]


@pytest.mark.django_db(transaction=True)
def test_what_the_broker_refuses_waits_and_leaves_when_it_is_back(broker: Broker) -> None:
    write("patient")
    broker.refusing = True
    assert relay.drain() == 0
    waiting = OutboxMessage.objects.get()
    assert (waiting.published_at, waiting.attempts, waiting.last_error) == (None, 1, "connection refused")
    broker.refusing = False
    assert relay.drain() == 1
    assert broker.taken == ["patient"]


@pytest.mark.django_db(transaction=True)
def test_what_a_slow_broker_took_is_written_down_before_its_transaction_is_too_old(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction.atomic():
        for _ in range(6):
            enqueue_task("common.prune", queue="control")
    publish = relay._publish

    def slowly(message: OutboxMessage) -> None:
        time.sleep(0.05)
        publish(message)

    monkeypatch.setattr(relay, "_publish", slowly)
    monkeypatch.setattr(relay, "BATCH_S", 0.08)
    with CaptureQueriesContext(connection) as captured:
        assert relay.drain() == 6
    written = [query for query in captured if query["sql"].startswith('UPDATE "outbox_message"')]
    assert len(written) >= 3
    assert not OutboxMessage.objects.filter(published_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_message_for_a_task_that_nobody_offers_holds_nobody_up(broker: Broker) -> None:
    with transaction.atomic():
        lost = enqueue_task("gone.away", queue="control", priority=9)
    write("next")
    assert relay.drain() == 1
    assert broker.taken == ["next"]
    lost.refresh_from_db()
    assert (lost.published_at, lost.last_error) == (None, "no installed app offers the task gone.away")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_four_relays_at_once_send_each_message_once(broker: Broker) -> None:
    for number in range(200):
        write(f"task-{number}")

    def drain() -> None:
        relay.drain()
        connection.close()

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relay.drain()
    assert sorted(broker.taken) == sorted(f"task-{number}" for number in range(200))


class Elsewhere:
    """Another broker, which confirms what it is told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refused: set[str] = set()

    def send(self, messages: Sequence[OutboxMessage]) -> dict[int, str]:
        self.taken += [message.task_id for message in messages if message.task_id not in self.refused]
        return {message.pk: "not confirmed" for message in messages if message.task_id in self.refused}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    monkeypatch.setattr(routes, "_routes", {})
    other = Elsewhere()
    routes.register(routes.Route("elsewhere", frozenset({"elsewhere.go"}), other.send))
    return other


def write_elsewhere(task_id: str, priority: int = 0) -> None:
    with transaction.atomic():
        enqueue_task("elsewhere.go", queue="control", task_id=task_id, priority=priority)


@pytest.mark.django_db(transaction=True)
def test_each_message_leaves_by_the_route_of_its_task(broker: Broker, elsewhere: Elsewhere) -> None:
    write("by celery")
    write_elsewhere("later", 0)
    write_elsewhere("first", 9)
    assert relay.drain() == 3
    assert relay.drain() == 0
    assert (broker.taken, elsewhere.taken) == (["by celery"], ["first", "later"])


@pytest.mark.django_db(transaction=True)
def test_what_one_broker_does_not_confirm_waits_while_the_rest_leaves(broker: Broker, elsewhere: Elsewhere) -> None:
    for task_id in ("one", "two", "three"):
        write_elsewhere(task_id)
    write("by celery")
    elsewhere.refused = {"two"}
    assert relay.drain() == 3
    waiting = OutboxMessage.objects.get(published_at=None)
    assert (waiting.task_id, waiting.attempts, waiting.last_error) == ("two", 1, "not confirmed")
    elsewhere.refused = set()
    assert relay.drain() == 1
    assert elsewhere.taken == ["one", "three", "two"]


def test_a_task_has_one_route(elsewhere: Elsewhere) -> None:
    with pytest.raises(ImproperlyConfigured):
        routes.register(routes.Route("another", frozenset({"elsewhere.go"}), elsewhere.send))


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_slow_keeps_nothing_from_the_others(
    broker: Broker, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(_: routes.Route) -> int:
        asked.set()
        answer.wait(20)
        return 0

    monkeypatch.setattr(relay, "_drain_route", slow)
    one = relay.Relay()
    one.start()
    try:
        assert asked.wait(10)
        write("meanwhile")
        wait_until("the other message", lambda: broker.taken == ["meanwhile"], 10)
    finally:
        answer.set()
        one.stop()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_relays_only_one_has_an_ordered_route(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ROUTE_BATCH", 5)
    sending = threading.Barrier(2, timeout=20)

    def run(ordered: bool) -> list[str]:
        """Let a second relay drain while the first has taken a batch and not yet sent it."""
        sent: list[str] = []

        def send(messages: Sequence[OutboxMessage]) -> dict[int, str]:
            if threading.current_thread() is first and not sent:
                sending.wait()
                sending.wait()
            sent.extend(message.task_id for message in messages)
            return {}

        route = routes.Route("ordered", frozenset({"elsewhere.go"}), send, ordered=ordered)
        for number in range(10):
            write_elsewhere(f"{number}", priority=number if ordered else 0)

        def drain() -> None:
            relay._drain_route(route)
            connection.close()

        first = threading.Thread(target=drain)
        first.start()
        sending.wait()
        relay._drain_route(route)
        sending.wait()
        first.join()
        return sent

    assert run(ordered=False) == ["5", "6", "7", "8", "9", "0", "1", "2", "3", "4"], "the control: it overtakes"
    assert run(ordered=True) == [f"{number}" for number in range(10)]
