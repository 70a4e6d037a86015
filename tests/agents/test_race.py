"""Two workers that write to one conversation, on PostgreSQL; with a control that shows the race without the guard."""

import threading
import time
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from agents.models import Agent, AgentConversation
from agents.services import agent_create, messages
from executions.models import WorkflowExecution
from tests.agents.conftest import SYSTEM, spoke
from tests.executions.conftest import Trials

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def newsdesk(db: None) -> Agent:
    return agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint="https://agents.example.com/")


def _in_threads(work: Callable[[], None], count: int) -> list[IntegrityError]:
    """Do `work` in threads at once and return what the database refused."""
    refused: list[IntegrityError] = []

    def caught() -> None:
        try:
            work()
        except IntegrityError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=caught) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return refused


def _second_while_the_first_commits(run: WorkflowExecution, agent: Agent) -> list[IntegrityError]:
    """Write one message, and while its transaction is open another one that wants the same number."""
    refused: list[IntegrityError] = []
    with transaction.atomic():
        spoke(run, agent, "request", "first")
        other = threading.Thread(target=lambda: refused.extend(_in_threads(lambda: _second(run, agent), 1)))
        other.start()
        _until_somebody_waits()
    other.join(30)
    return refused


def _second(run: WorkflowExecution, agent: Agent) -> None:
    spoke(run, agent, "request", "second")


def _until_somebody_waits() -> None:
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted "
                "AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_control_without_the_guard_two_writers_take_one_number(
    trials: Trials, newsdesk: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, names = messages._insertion()
    unguarded = text.replace('ON CONFLICT ("workflow_execution_id", "seq") DO NOTHING', "")
    monkeypatch.setattr(messages, "_insertion", lambda: (unguarded, names))
    assert len(_second_while_the_first_commits(trials.create("one"), newsdesk)) == 1


def test_who_finds_a_number_taken_takes_the_next(trials: Trials, newsdesk: Agent) -> None:
    assert _second_while_the_first_commits(trials.create("one"), newsdesk) == []
    rows = AgentConversation.objects.order_by("seq").values_list("seq", "message_content")
    assert list(rows) == [(1, "first"), (2, "second")]


def test_writers_at_once_number_their_messages_without_gap(trials: Trials, newsdesk: Agent) -> None:
    run, barrier = trials.create("one"), threading.Barrier(4)

    def write() -> None:
        barrier.wait(10)
        for number in range(5):
            spoke(run, newsdesk, "request", str(number))

    assert _in_threads(write, 4) == []
    rows = list(AgentConversation.objects.order_by("seq").values_list("seq", "timestamp"))
    assert [seq for seq, _ in rows] == list(range(1, 21))
    times = [timestamp for _, timestamp in rows]
    assert times == sorted(times)
