"""Tasks that workers pull: each message leaves once, the urgent first, and the broker gets only what calls the idle."""

import threading

import pytest
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from tradingsite.common import pulled, relay, wake
from tradingsite.common.models import OutboxMessage
from tradingsite.common.outbox import enqueue_task

TASK = "common.prune"


class Crew:
    """Says how many threads of this process are idle; None in one without a worker."""

    def __init__(self) -> None:
        self.idle: int | None = None


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    crew = Crew()
    monkeypatch.setattr(pulled, "_tasks", {TASK: pulled.Pulled(TASK, "control", lambda: crew.idle)})
    return crew


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the broker was given."""
    found: list[str] = []
    current_app.loader.import_default_modules()
    monkeypatch.setattr(current_app.tasks[TASK], "apply_async", lambda *, task_id, **_: found.append(task_id))
    return found


def write(*task_ids: str, priority: int = 0) -> None:
    with transaction.atomic():
        for task_id in task_ids:
            enqueue_task(TASK, args=[task_id], queue="control", task_id=task_id, priority=priority)


@pytest.mark.django_db
def test_the_most_urgent_is_taken_first_and_each_once(crew: Crew) -> None:
    write("first", "second")
    write("urgent", priority=9)
    assert [pulled.take(TASK) for _ in range(4)] == [["urgent"], ["first"], ["second"], None]
    assert not OutboxMessage.objects.filter(published_at=None).exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_eight_threads_and_two_relays_have_each_message_once(crew: Crew, sent: list[str]) -> None:
    everything = [f"task-{number}" for number in range(200)]
    write(*everything)
    crew.idle = 3
    taken: list[str] = []
    lock = threading.Lock()

    def take() -> None:
        while (found := pulled.take(TASK)) is not None:
            with lock:
                taken.append(found[0])
        connection.close()

    def send() -> None:
        while relay.drain():
            pass
        connection.close()

    threads = [threading.Thread(target=work) for work in [take] * 8 + [send] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken + sent) == sorted(everything)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("idle", "in_queue", "leaves"), [(0, 0, 0), (2, 0, 2), (None, 0, 8), (None, 5, 3), (None, 9, 0)]
)
def test_the_broker_gets_what_calls_the_idle_and_no_more(
    crew: Crew, sent: list[str], monkeypatch: pytest.MonkeyPatch, idle: int | None, in_queue: int, leaves: int
) -> None:
    monkeypatch.setattr(relay.broker, "waiting", lambda queue: in_queue)
    crew.idle = idle
    write(*map(str, range(20)))
    write("urgent", priority=5)
    assert relay.drain() == len(sent) == leaves
    assert sent[:1] == ["urgent"][:leaves]


@pytest.mark.django_db
def test_other_tasks_leave_at_once_whoever_is_at_work(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    crew.idle = 0
    taken: list[str] = []
    task = current_app.tasks["common.webhook_send"]
    monkeypatch.setattr(task, "apply_async", lambda *, task_id, **_: taken.append(task_id))
    with transaction.atomic():
        enqueue_task(TASK, args=["stays"], queue="control", task_id="stays", priority=9)
        enqueue_task("common.webhook_send", args=["x"], queue="control", task_id="other")
    assert relay.drain() == 1
    assert taken == ["other"]


@pytest.mark.django_db
def test_what_stays_for_a_worker_is_not_overdue_until_the_broker_refused_it(crew: Crew) -> None:
    write("stays")
    assert not pulled.overdue().exists()
    OutboxMessage.objects.update(attempts=1)
    assert pulled.overdue().exists()


def test_a_task_is_pulled_by_one_crew_only(crew: Crew) -> None:
    with pytest.raises(ImproperlyConfigured, match="pulled already"):
        pulled.register(pulled.Pulled(TASK, "control", lambda: 0))


@pytest.mark.django_db
def test_a_task_with_a_route_of_its_own_is_not_pulled(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulled.routes, "tasks_routed", lambda: frozenset({TASK}))
    write("routed")
    assert pulled.take(TASK) is None
    assert pulled.registered() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_message_rings_with_its_commit_however_it_was_written() -> None:
    """Raw SQL from another connection, as another process writes."""
    heard = wake.bell("by.hand".__eq__)
    deaf = wake.bell("something.else".__eq__)
    listening = relay.Relay()
    listener = threading.Thread(target=listening._listen, daemon=True)
    listener.start()
    try:
        assert heard.wait(10), "the listener rings once when it begins"
        heard.clear()
        deaf.clear()

        def insert() -> None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO outbox_message (task, task_id, queue, priority, args, kwargs, created_at, attempts, "
                    "last_error) VALUES ('by.hand', '1', 'q', 0, '[]', '{}', now(), 0, '')"
                )
            connection.close()

        writer = threading.Thread(target=insert)
        writer.start()
        writer.join(10)
        assert heard.wait(5)
        assert not deaf.is_set()
    finally:
        listening._stop.set()
        listener.join(10)
