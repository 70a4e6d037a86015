"""The thread that reads the topic: it holds back while the inbox is long, and loses nothing to a fault."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.core.management import CommandError, call_command
from django.db import OperationalError

from executions.errors import HandOver
from executions.kafka import executor as executors
from executions.kafka import inbox
from executions.kafka.consuming import RequestConsumer
from executions.kafka.executor import Executor
from executions.kafka.inbox import Record
from executions.kafka.models import InboxMessage
from executions.kafka.records import request_written
from executions.models import WorkflowExecution
from tests.executions.conftest import Trials
from tests.kafka.cluster import REQUESTS, Cluster, cluster
from tests.kafka.mock_cluster import PARTITIONS
from tests.support.desk import wait_until
from tradingsite.common import lifecycle
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepResult

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def kafka(settings: Any) -> Iterator[Cluster]:
    with cluster() as found:
        settings.EXECUTION_TRANSPORT = "kafka"
        settings.KAFKA_BOOTSTRAP_SERVERS = found.bootstrap
        settings.KAFKA_CONFIG = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 400}
        yield found


def request(run_id: object, name: str, priority: int = 0) -> bytes:
    return request_written(
        message_id=name, run_id=str(run_id), task_id=str(uuid.uuid4()), priority=priority, at=utcnow()
    )


def write(kafka: Cluster, run: WorkflowExecution, count: int) -> None:
    kafka.write(REQUESTS, [(str(run.pk).encode(), request(run.pk, f"message.{n}"), {}) for n in range(count)])


def committed(kafka: Cluster, group: str) -> int:
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    try:
        places = [TopicPartition(REQUESTS, number) for number in range(PARTITIONS)]
        return sum(max(place.offset, 0) for place in reader.committed(places, timeout=5))
    finally:
        reader.close()


@contextlib.contextmanager
def consuming(group: str, **options: Any) -> Iterator[threading.Event]:
    arrived = threading.Event()
    one = RequestConsumer(group, arrived, **options)
    one.start()
    try:
        yield arrived
    finally:
        one.stop()
        assert one.join(10)


def test_the_topic_keeps_what_the_inbox_has_no_room_for(kafka: Cluster, make_run: Callable[..., Any]) -> None:
    write(kafka, make_run(), 50)
    with consuming("short", backlog_max=10):
        wait_until("a full inbox", lambda: InboxMessage.objects.count() == 10, 15)
        time.sleep(1.5)
        assert InboxMessage.objects.count() == 10, "it holds back"
        taken = []
        for _ in range(400):
            row = inbox.take("executor")
            if row is not None:
                taken.append(row.message_id)
            if len(taken) == 50:
                break
            time.sleep(0.05)
        assert taken == [f"message.{number}" for number in range(50)]
    assert committed(kafka, "short") == 50


def test_a_record_that_could_not_be_written_down_is_read_again(
    kafka: Cluster, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, failed = inbox.receive, threading.Event()

    def failing(records: list[Record]) -> Any:
        if not failed.is_set():
            failed.set()
            raise OperationalError("the database is away")
        return receive(records)

    monkeypatch.setattr(inbox, "receive", failing)
    write(kafka, make_run(), 5)
    with consuming("faulty"):
        assert failed.wait(15)
        wait_until("every request", lambda: InboxMessage.objects.count() == 5, 20)
    assert committed(kafka, "faulty") == 5


def test_an_offset_is_not_committed_before_its_record_is_a_row(
    kafka: Cluster, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def failing(_: list[Record]) -> Any:
        tried.set()
        raise OperationalError("the database is away")

    monkeypatch.setattr(inbox, "receive", failing)
    write(kafka, make_run(), 5)
    with consuming("never"):
        assert tried.wait(15)
        time.sleep(1)
    assert committed(kafka, "never") == 0


def test_a_database_slower_than_the_groups_patience_loses_nothing(
    kafka: Cluster, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: Any
) -> None:
    settings.KAFKA_CONFIG = {**settings.KAFKA_CONFIG, "max.poll.interval.ms": 2500}
    receive, slept = inbox.receive, threading.Event()

    def slow(records: list[Record]) -> Any:
        if not slept.is_set():
            slept.set()
            time.sleep(4)
        return receive(records)

    monkeypatch.setattr(inbox, "receive", slow)
    write(kafka, make_run(), 3)
    with consuming("patient"):
        assert slept.wait(20)
        wait_until("the whole topic", lambda: committed(kafka, "patient") == 3, 30)
    assert InboxMessage.objects.count() == 3
    assert "_MAX_POLL_EXCEEDED" in caplog.text, "the control: who does not poll is thrown out"


def test_a_group_that_reads_everything_again_finds_every_row(kafka: Cluster, make_run: Callable[..., Any]) -> None:
    write(kafka, make_run(), 20)
    for group in ("first", "second"):
        with consuming(group):
            wait_until("the whole topic", lambda group=group: committed(kafka, group) == 20, 20)
        rows = InboxMessage.objects.order_by("id").values_list("message_id", flat=True)
        assert list(rows) == [f"message.{number}" for number in range(20)]


def test_the_carrier_takes_the_urgent_first(trials: Trials) -> None:
    order: list[str] = []
    trials.acts["one"] = lambda context: _noted(order, context)
    runs = {priority: trials.create("one", priority=priority) for priority in (0, 9, 5)}
    inbox.receive(
        [
            Record(REQUESTS, 0, number, str(run.pk).encode(), request(run.pk, f"message.{number}", priority))
            for number, (priority, run) in enumerate(runs.items())
        ]
    )
    with carrying(Executor(group="unused", concurrency=1)):
        wait_until("all three", lambda: InboxMessage.objects.filter(outcome="carried").count() == 3, 15)
    assert order == [str(runs[priority].pk) for priority in (9, 5, 0)]


def _noted(order: list[str], context: StepContext) -> StepResult:
    order.append(str(context.execution_id))
    return StepResult({})


@contextlib.contextmanager
def carrying(one: Executor) -> Iterator[None]:
    """Run the carriers of an executor alone."""
    for carrier in one._carriers:
        carrier.start()
    try:
        yield
    finally:
        lifecycle.stopping.set()
        one._arrived.set()
        for carrier in one._carriers:
            carrier.join(10)
        lifecycle.stopping.clear()


def test_a_carrier_outlives_whatever_a_run_does_to_it(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [trials.create("one") for _ in range(3)]
    inbox.receive([Record(REQUESTS, 0, n, str(r.pk).encode(), request(r.pk, f"m.{n}")) for n, r in enumerate(runs)])
    carry = executors.run_execution
    faults = {runs[0].pk: OperationalError("the database is away"), runs[1].pk: HandOver()}

    def faulty(execution_id: uuid.UUID, worker: str) -> bool:
        if execution_id in faults:
            raise faults[execution_id]
        return carry(execution_id, worker)

    monkeypatch.setattr(executors, "run_execution", faulty)
    with carrying(Executor(group="unused", concurrency=1)):
        wait_until("the last one", lambda: trials.again(runs[2]).status == "completed", 15)
        wait_until("its row", lambda: not InboxMessage.objects.filter(outcome="").exists(), 5)
    rows = [(row.outcome, row.done_at is None) for row in InboxMessage.objects.order_by("id")]
    assert rows == [("fault", True), ("fault", True), ("carried", False)]


def test_the_command_says_what_it_needs(settings: Any) -> None:
    with pytest.raises(CommandError, match="EXECUTION_TRANSPORT=kafka"):
        call_command("run_executor")
    settings.EXECUTION_TRANSPORT, settings.KAFKA_BOOTSTRAP_SERVERS, settings.EMBEDDED = "kafka", "127.0.0.1:1", True
    with pytest.raises(CommandError, match="REDIS_URL or BROKER_URL"):
        call_command("run_executor")
    with pytest.raises(CommandError, match="1 or more"):
        call_command("run_executor", "--concurrency", "0")
