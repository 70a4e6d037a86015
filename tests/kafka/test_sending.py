"""The way from the outbox to a topic, over brokers on sockets."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from executions.fence import claim
from executions.kafka import checks, health, producing
from executions.kafka.records import request_read, validator
from executions.kafka.words import EVENT_QUEUE, EVENT_TASK, MESSAGE_ID
from executions.models import WorkflowExecution
from executions.news import stream_of
from tests.executions.conftest import Trials
from tests.kafka.cluster import EVENTS, REQUESTS, Cluster, cluster
from tradingsite.common import relay, routes
from tradingsite.common.clock import utcnow
from tradingsite.common.live.events import stream_position
from tradingsite.common.models import OutboxMessage
from tradingsite.common.outbox import enqueue_task

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture(scope="module")
def brokers() -> Iterator[Cluster]:
    with cluster() as found:
        yield found


@pytest.fixture
def kafka(brokers: Cluster, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Runs go by Kafka in this test."""
    settings.EXECUTION_TRANSPORT = "kafka"
    settings.KAFKA_BOOTSTRAP_SERVERS = brokers.bootstrap
    monkeypatch.setattr(routes, "_routes", {})
    for route in producing.routes():
        routes.register(route)
    return brokers


def header(message: Any) -> str:
    return str(dict(message.headers() or [])[MESSAGE_ID].decode())


@pytest.mark.django_db(transaction=True)
def test_a_run_is_asked_for_and_told_of_on_the_topics(kafka: Cluster, trials: Trials) -> None:
    run = trials.create("one", "two", priority=7)
    request_row = OutboxMessage.objects.get(task_id=run.task_id)
    trials.carry(run)
    assert relay.drain() == OutboxMessage.objects.count()
    assert not OutboxMessage.objects.filter(published_at=None).exists()
    (asked,) = [message for message in kafka.records(REQUESTS) if message.key() == str(run.pk).encode()]
    request = request_read(asked.key(), asked.value())
    assert (request.run_id, request.task_id, request.priority) == (run.pk, run.task_id, 7)
    assert request.message_id == header(asked) == f"{run.task_id}.{request_row.pk}"

    told = [message for message in kafka.records(EVENTS) if message.key() == str(run.pk).encode()]
    assert len({message.partition() for message in told}) == 1
    events = [json.loads(message.value() or b"") for message in told]
    for event in events:
        validator("run-event.v1").validate(event)
    assert [header(message) for message in told] == [event["message_id"] for event in events]
    assert [(e["type"], e["data"].get("name"), e["data"]["status"]) for e in events] == [
        ("run.status", None, "pending"),
        ("run.status", None, "running"),
        ("run.step", "one", "running"),
        ("run.step", "one", "completed"),
        ("run.step", "two", "running"),
        ("run.step", "two", "completed"),
        ("run.status", None, "completed"),
    ]
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == stream_position(stream_of(run.pk))


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_not_told(kafka: Cluster, trials: Trials) -> None:
    run = trials.create()
    OutboxMessage.objects.all().delete()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert claim(run.pk, "worker") is not None
        _ = 1 / 0
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_other_tasks_go_by_celery_all_the_same(kafka: Cluster) -> None:
    before = len(kafka.records(REQUESTS))
    with transaction.atomic():
        enqueue_task("common.prune", queue="control")
    assert relay.drain() == 1
    assert len(kafka.records(REQUESTS)) == before


def requests(count: int, run_id: str = "11111111-2222-4333-8444-555555555555") -> list[str]:
    """Write requests for one run into the outbox; return their message ids."""
    rows = OutboxMessage.objects.bulk_create(
        OutboxMessage(task="executions.run", task_id=str(uuid.uuid4()), queue="runs", args=[run_id])
        for _ in range(count)
    )
    return [f"{row.task_id}.{row.pk}" for row in rows]


@pytest.mark.django_db(transaction=True)
def test_without_brokers_rows_wait_with_the_reason_and_leave_in_order_when_they_are_back(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = requests(3)
    assert relay.drain() == 3
    kafka.down()
    try:
        later = requests(3)
        with monkeypatch.context() as quicker:
            quicker.setattr(producing, "CONFIRMED_WITHIN_S", 1.0)
            assert relay.drain() == 0
            waiting = OutboxMessage.objects.filter(published_at=None)
            assert [row.attempts for row in waiting] == [1, 1, 1]
            assert all(row.last_error for row in waiting)
            later += requests(1)
            assert relay.drain() == 0
    finally:
        kafka.up()
    deadline = time.monotonic() + 30
    while OutboxMessage.objects.filter(published_at=None).exists():
        assert time.monotonic() < deadline
        relay.drain()
    ours = [header(message) for message in kafka.records(REQUESTS) if header(message) in {*first, *later}]
    assert list(dict.fromkeys(ours)) == [*first, *later]


@pytest.mark.django_db(transaction=True)
def test_twelve_hundred_requests_leave_in_three_batches(kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    produce = producing.Lane._produce

    def counted(self: Any, producer: Any, messages: Any, unconfirmed: Any) -> set[int]:
        batches.append(len(messages))
        return produce(self, producer, messages, unconfirmed)

    monkeypatch.setattr(producing.Lane, "_produce", counted)
    wanted = requests(1200)
    assert relay.drain() == 1200
    assert batches == [500, 500, 200]
    known = set(wanted)
    assert [one for message in kafka.records(REQUESTS) if (one := header(message)) in known] == wanted


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_no_message_of_its_task_stays_and_holds_nobody_up(kafka: Cluster) -> None:
    OutboxMessage.objects.create(task="executions.run", task_id=str(uuid.uuid4()), queue="runs", args=[], priority=9)
    OutboxMessage.objects.create(task=EVENT_TASK, task_id=str(uuid.uuid4()), queue=EVENT_QUEUE, args=[{"seq": 1}])
    wanted = requests(3)
    assert relay.drain() == 3
    assert [one for message in kafka.records(REQUESTS) if (one := header(message)) in wanted] == wanted
    stuck = OutboxMessage.objects.filter(published_at=None).values_list("attempts", "last_error")
    assert [(attempts, "no record can be made of it" in error) for attempts, error in stuck] == [(1, True)] * 2


@pytest.mark.django_db(transaction=True)
def test_a_client_that_cannot_be_made_says_why_in_the_outbox(kafka: Cluster, settings: Any) -> None:
    settings.KAFKA_CONFIG = {"nope.such": 1}
    requests(1)
    assert relay.drain() == 0
    assert "nope.such" in OutboxMessage.objects.get().last_error


@pytest.mark.django_db(transaction=True)
def test_readiness_says_whether_requests_get_through(kafka: Cluster, settings: Any) -> None:
    health._client.cache_clear()
    assert health.health().status == "ok"
    settings.KAFKA_TOPIC_PREFIX = "nobody."
    assert health.health().status == "degraded"
    assert "there is no topic nobody.run-requests" in health.health().detail
    settings.KAFKA_TOPIC_PREFIX = "desk."
    kafka.down()
    try:
        began = time.monotonic()
        found = health.health()
        assert time.monotonic() - began < 2
        assert (found.status, "no broker answers" in found.detail) == ("degraded", True)
    finally:
        kafka.up()
        health._client.cache_clear()


@pytest.mark.django_db
def test_events_that_nobody_will_fetch_are_removed_after_a_return_to_celery() -> None:
    from tradingsite.common.housekeeping import prune

    with transaction.atomic():
        enqueue_task(EVENT_TASK, queue=EVENT_QUEUE)
        enqueue_task("common.prune", queue="control")
    assert prune()["run_events"] == 1
    assert OutboxMessage.objects.get().task == "common.prune"


@pytest.mark.django_db
def test_with_celery_no_event_is_written(make_run: Callable[..., WorkflowExecution]) -> None:
    make_run()
    assert not OutboxMessage.objects.filter(task=EVENT_TASK, created_at__lte=utcnow()).exists()


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({"acks": 1}, "desk.E018", "acks"),
        ({"enable.idempotence": False, "group.id": "x"}, "desk.E018", "enable.idempotence, group.id"),
        ({"nope.such": 1}, "desk.E019", "nope.such"),
        ({"security.protocol": "smoke"}, "desk.E019", "security.protocol"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"}, "desk.E019", "sasl.username"),
    ],
)
def test_a_setting_of_the_client_that_cannot_work_is_named(settings: Any, config: Any, code: str, said: str) -> None:
    settings.KAFKA_CONFIG = config
    (found,) = checks.check_kafka()
    assert found.id == code
    assert said in found.msg


def test_the_password_has_a_variable_of_its_own(settings: Any) -> None:
    settings.KAFKA_CONFIG = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "desk"}
    settings.KAFKA_SASL_PASSWORD = "only-for-this-test"
    assert checks.check_kafka() == []
