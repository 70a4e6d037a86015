"""Two workers that write to one conversation, on PostgreSQL; with a control that shows the race without the lock."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection

from agents.models import Agent, AgentConversation
from agents.services import agent_create, message_record, messages
from tests.agents.conftest import SYSTEM
from tests.executions.conftest import Trials

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def _write_at_once(trials: Trials, writers: int, each: int) -> list[IntegrityError]:
    run = trials.create("one")
    agent: Agent = agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint="https://agents.example.com/")
    barrier, failed = threading.Barrier(writers), []

    def write() -> None:
        try:
            barrier.wait(10)
            for number in range(each):
                message_record(
                    execution_id=run.pk, step_index=0, agent=agent, message_type="request", content=str(number)
                )
        except IntegrityError as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return failed


def test_control_without_the_lock_two_writers_take_one_number(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    both_have_looked = threading.Barrier(2)
    create = AgentConversation.objects.create

    def after_both(**fields: Any) -> AgentConversation:
        both_have_looked.wait(10)
        return create(**fields)

    monkeypatch.setattr(messages, "_lock", lambda execution_id: None)
    monkeypatch.setattr(AgentConversation.objects, "create", after_both)
    assert len(_write_at_once(trials, writers=2, each=1)) == 1


def test_writers_at_once_number_their_messages_without_gap(trials: Trials) -> None:
    assert _write_at_once(trials, writers=4, each=5) == []
    numbers = list(AgentConversation.objects.order_by("seq").values_list("seq", "timestamp"))
    assert [seq for seq, _ in numbers] == list(range(1, 21))
    times = [timestamp for _, timestamp in numbers]
    assert times == sorted(times)
