"""How an optimisation ended is told once, with the change itself, to its owner and to operators."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from rest_framework.test import APIClient

from optimize import claims, watchdog
from optimize.carrying import carry
from optimize.choices import ChunkStatus, JobKind
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.services import job_cancel, job_create
from optimize.webhooks import TYPES
from optimize.work import Piece
from tests.conftest import user_with_role
from tests.optimize.conftest import Counting
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
Ask = Callable[..., OptimizationJob]
EVENTS = sorted(each.slug for each in TYPES.values())


@pytest.fixture(autouse=True)
def _outbound(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]


@pytest.fixture
def listen(api: Api) -> Callable[..., str]:
    """Return a way to make a webhook of a person, over HTTP; it gives its id."""

    def make(who: Any = "trader", *events: str) -> str:
        body = {"name": "Ends", "url": "http://127.0.0.1:9/", "event_types": list(events or EVENTS)}
        answer = api(who).post("/api/webhooks", body, format="json")
        assert answer.status_code == 201, answer.json()
        return str(answer.json()["id"])

    return make


def told(webhook: str) -> list[dict[str, Any]]:
    """Return each event of a webhook, having seen that its data has the members of the example."""
    rows = WebhookDelivery.objects.filter(webhook_id=webhook).order_by("id")
    found = [json.loads(body) for body in rows.values_list("body", flat=True)]
    for event in found:
        assert set(event["data"]) == set(event_types.get(event["type"]).example)
    return found


def broken(piece: Piece) -> None:
    raise ZeroDivisionError("nothing to divide by")


def test_a_complete_job_is_told_once_with_what_it_came_to(ask: Ask, listen: Callable[..., str]) -> None:
    webhook = listen()
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic())
    assert told(webhook) == [], "it has not ended"
    carry(job.pk, "tests", until=time.monotonic() + 60)
    [event] = told(webhook)
    data = event["data"]
    assert event["type"] == "optimization.completed"
    assert (data["job_id"], data["status"], data["best_sharpe"]) == (str(job.pk), "complete", 1.5)
    assert (data["done_combinations"], data["total_combinations"], data["error_code"]) == (10, 10, "")
    assert event["timestamp"] == data["completed_at"]


def test_a_failed_job_is_told_with_its_code(ask: Ask, counting: Counting, listen: Callable[..., str]) -> None:
    webhook = listen()
    counting.during = broken
    carry(ask(10, 3).pk, "tests", until=time.monotonic() + 60)
    [event] = told(webhook)
    assert (event["type"], event["data"]["error_code"]) == ("optimization.failed", "WORK_CRASHED")
    assert "nothing to divide by" in event["data"]["error_message"]


def test_a_job_whose_workers_were_lost_is_told_as_failed(ask: Ask, listen: Callable[..., str]) -> None:
    webhook = listen()
    job = ask(1, 1)
    assert claims.claim(job.pk, "lost") is not None
    late = utcnow() - timedelta(minutes=1)
    OptimizationChunk.objects.filter(job=job, status=ChunkStatus.RUNNING).update(
        lease_until=late, attempts=F("attempts") + claims.ATTEMPTS_MAX
    )
    watchdog.tick()
    watchdog.tick()
    assert [event["data"]["error_code"] for event in told(webhook)] == ["ATTEMPTS_EXHAUSTED"]


def test_a_cancelled_job_is_told_once_although_its_result_comes_later(
    api: Api, ask: Ask, listen: Callable[..., str]
) -> None:
    webhook = listen()
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic())
    for _ in range(2):
        assert api("trader").delete(f"/api/optimize/{job.pk}").status_code == 200
    carry(job.pk, "tests", until=time.monotonic() + 60)
    job.refresh_from_db()
    assert job.result is not None
    assert [event["type"] for event in told(webhook)] == ["optimization.cancelled"]


def test_an_end_that_is_rolled_back_is_told_to_nobody(ask: Ask, actor: Actor, listen: Callable[..., str]) -> None:
    webhook = listen()
    job = ask()

    def undone() -> None:
        with transaction.atomic():
            job_cancel(actor=actor, job=job)
            assert len(told(webhook)) == 1
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        undone()
    assert told(webhook) == []


def test_only_its_owner_and_operators_are_told(ask: Ask, counting: Counting, listen: Callable[..., str]) -> None:
    stranger = user_with_role(Role.TRADER, "stranger")
    own, others, operators = listen("trader"), listen(stranger), listen("operator", "*")
    carry(ask().pk, "tests", until=time.monotonic() + 60)
    assert (len(told(own)), len(told(others)), len(told(operators))) == (1, 0, 1)
    nobodys = job_create(actor=Actor.system("tests"), kind=JobKind.STRATEGY, body={"total": 1, "size": 1})
    carry(nobodys.pk, "tests", until=time.monotonic() + 60)
    assert (len(told(own)), len(told(others)), len(told(operators))) == (1, 0, 2)
