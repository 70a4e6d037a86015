"""Priority on a real Redis: what is urgent overtakes what the broker already holds."""

import os
import runpy
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from django.db import transaction
from kombu import Connection

from executions import tasks
from executions.calls import QUEUE, TASK
from tests.harness import services
from tests.support.desk import ROOT
from tradingsite.common import relay
from tradingsite.common.outbox import enqueue_task

# No other test uses this database of the server.
NUMBER = 6


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """A Celery application on Redis with the broker settings that the site would have there."""
    with services.redis() as service:
        url = urlsplit(service.url)._replace(path=f"/{NUMBER}").geturl()
        monkeypatch.setenv("BROKER_URL", url)
        site = runpy.run_path(os.fspath(ROOT / "tradingsite" / "settings.py"))
        app = Celery("priority", broker=url, set_as_current=False)
        names = ("CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS", "CELERY_TASK_QUEUES")
        app.conf.update({name.removeprefix("CELERY_").lower(): site[name] for name in names})
        assert app.conf.broker_url == url
        # The site's own task, which every application shares; no worker takes it up here.
        assert tasks.run.name == TASK
        monkeypatch.setattr(relay, "current_app", app)
        client = redis.Redis.from_url(url)
        client.flushdb()
        yield app
        app.close()
        client.flushdb()
        client.close()


def taken(app: Celery, count: int) -> list[Any]:
    """Return the ids of the tasks in the order in which a worker would take them."""
    with Connection(app.conf.broker_url, transport_options=app.conf.broker_transport_options) as connection:
        queue = connection.SimpleQueue(app.amqp.queues[QUEUE])
        found = []
        for _ in range(count):
            message = queue.get(timeout=5)
            message.ack()
            found.append(message.headers["id"])
        queue.close()
    return found


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_redis_gives_the_urgent_first_whenever_it_was_sent(broker: Celery) -> None:
    for name, priority in (("none", 0), ("five", 5), ("nine", 9), ("four", 4), ("also nine", 9), ("one", 1)):
        with transaction.atomic():
            enqueue_task(TASK, args=["x"], queue=QUEUE, task_id=name, priority=priority)
        # One by one, so that it is the broker that orders them.
        assert relay.drain() == 1
    assert taken(broker, 6) == ["nine", "also nine", "five", "four", "one", "none"]
