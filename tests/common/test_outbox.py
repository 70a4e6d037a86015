"""The outbox and its relay: written with the change, published after it, at least once."""

import threading
from typing import Any

import pytest
from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from tradingsite.common import relay
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
