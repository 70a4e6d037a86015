"""Which waiting runs are asked for again with Kafka, whose topics forget nothing."""

from datetime import timedelta
from typing import Any

import pytest

from executions import watchdog
from executions.kafka import inbox
from executions.kafka.models import InboxMessage
from executions.kafka.words import Outcome
from executions.models import WorkflowExecution
from tests.executions.conftest import Trials
from tradingsite.common import routes
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("state", "waited", "called"),
    [
        ("on the topic", timedelta(seconds=31), 0),
        ("on the topic", timedelta(minutes=11), 1),
        ("in the inbox", timedelta(minutes=11), 0),
        ("taken", timedelta(seconds=29), 0),
        ("taken", timedelta(seconds=31), 1),
        (Outcome.FAULT, timedelta(seconds=31), 1),
        (Outcome.NOT_OURS, timedelta(seconds=31), 0),
    ],
)
def test_a_waiting_run_is_asked_for_again_by_what_became_of_its_request(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, state: Any, waited: timedelta, called: int
) -> None:
    monkeypatch.setattr(routes, "_routes", {})
    routes.register(routes.Route("kafka requests", frozenset({"executions.run"}), lambda messages: {}))
    run = trials.create()
    OutboxMessage.objects.all().update(published_at=utcnow())
    WorkflowExecution.objects.all().update(queued_at=utcnow() - waited)
    if state != "on the topic":
        InboxMessage.objects.create(
            message_id="one", topic="t", partition=0, offset=0, execution_id=run.pk, task_id=run.task_id
        )
    if state not in ("on the topic", "in the inbox"):
        row = inbox.take("executor")
        assert row is not None
        if state != "taken":
            inbox.finish(row, state)
    assert watchdog.tick() == called
    assert OutboxMessage.objects.filter(task_id=run.task_id, published_at=None).count() == called
    assert watchdog.tick() == 0


def test_what_an_inbox_still_holds_keeps_no_run_waiting_after_a_return_to_celery(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog.broker, "waiting", lambda queue: 0)
    run = trials.create()
    long_ago = utcnow() - watchdog.LOST_AFTER
    OutboxMessage.objects.all().update(published_at=long_ago)
    WorkflowExecution.objects.all().update(queued_at=long_ago)
    InboxMessage.objects.create(
        message_id="one", topic="t", partition=0, offset=0, execution_id=run.pk, task_id=run.task_id
    )
    assert watchdog.tick() == 1
