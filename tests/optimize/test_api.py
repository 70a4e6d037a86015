"""Jobs over HTTP: one's own, an operator's view of all, progress, and cancelling."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from optimize.carrying import carry
from optimize.choices import JobKind
from optimize.models import OptimizationJob
from optimize.services import job_create
from tests.conftest import user_with_role
from tests.optimize.conftest import Counting
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
Ask = Callable[..., OptimizationJob]


def test_a_running_job_shows_its_progress(api: Api, ask: Ask) -> None:
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic())
    body = api("trader").get(f"/api/optimize/{job.pk}").json()
    assert body["status"] == "running"
    assert body["progress"] == {"combo": 3, "total": 10, "fold": 2, "n_folds": 2}
    assert body["error"] is None


def test_a_complete_job_shows_its_result_beside_its_status(api: Api, ask: Ask) -> None:
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic() + 60)
    body = api("trader").get(f"/api/optimize/{job.pk}/").json()
    assert body["status"] == "complete"
    assert body["sum"] == 45
    assert body["best_sharpe"] == 1.5


def test_a_result_never_hides_a_field_of_the_job(api: Api, ask: Ask) -> None:
    job = ask()
    OptimizationJob.objects.filter(pk=job.pk).update(result={"status": "wonderful"})
    assert api("trader").get(f"/api/optimize/{job.pk}").json()["status"] == "running"


def test_a_job_that_no_worker_takes_is_said_to_wait(api: Api, ask: Ask) -> None:
    job = ask()
    client = api("trader")
    assert client.get(f"/api/optimize/{job.pk}").json()["status"] == "running"
    OptimizationJob.objects.filter(pk=job.pk).update(created_at=utcnow() - timedelta(seconds=6))
    assert client.get(f"/api/optimize/{job.pk}").json()["status"] == "queued"
    assert [row["status"] for row in client.get("/api/optimize/?status=queued").json()] == ["queued"]
    assert client.get("/api/optimize/?status=running").json() == []


def test_the_list_is_an_array_of_the_caller_s_own_jobs_the_newest_first(api: Api, ask: Ask, counting: Counting) -> None:
    first, second = ask(), ask()
    other = Actor.for_user(user_with_role(Role.TRADER, "other"))
    job_create(actor=other, kind=JobKind.STRATEGY, body={"total": 1, "size": 1})
    rows = api("trader").get("/api/optimize/").json()
    assert [row["id"] for row in rows] == [str(second.pk), str(first.pk)]
    assert {"id", "strategy_type", "status", "created_at", "best_sharpe"} <= rows[0].keys()
    assert len(api("trader").get("/api/optimize/?limit=1").json()) == 1


def test_operators_see_everybodys_jobs_on_request_and_nobody_else_does(api: Api, ask: Ask) -> None:
    job = ask()
    assert api("operator").get("/api/optimize/").json() == []
    assert [row["id"] for row in api("operator").get("/api/optimize/?all=true").json()] == [str(job.pk)]
    assert api("trader").get("/api/optimize/?all=true").status_code == 403
    assert api("operator").get(f"/api/optimize/{job.pk}").status_code == 200


def test_somebody_else_s_job_is_not_there(api: Api, ask: Ask) -> None:
    job = ask()
    stranger = user_with_role(Role.TRADER, "stranger")
    for answer in (api(stranger).get(f"/api/optimize/{job.pk}"), api(stranger).delete(f"/api/optimize/{job.pk}")):
        assert (answer.status_code, answer.json()["code"]) == (404, "OPTIMIZATION_NOT_FOUND")
    job.refresh_from_db()
    assert not job.ended


def test_cancelling_answers_cancelled(api: Api, ask: Ask) -> None:
    job = ask()
    answer = api("trader").delete(f"/api/optimize/{job.pk}")
    assert (answer.status_code, answer.json()) == (200, {"job_id": str(job.pk), "status": "cancelled"})
    assert api("trader").delete(f"/api/optimize/{job.pk}").status_code == 200


def test_a_complete_job_cannot_be_cancelled(api: Api, ask: Ask) -> None:
    job = ask()
    carry(job.pk, "tests", until=time.monotonic() + 60)
    answer = api("trader").delete(f"/api/optimize/{job.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "OPTIMIZATION_FINISHED")


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "all=perhaps", "status=done", "page=1"])
def test_a_wrong_parameter_of_the_list_is_refused_by_name(api: Api, query: str) -> None:
    answer = api("trader").get(f"/api/optimize/?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == query.partition("=")[0]


@pytest.mark.parametrize("pk", ["x", "0190a0b0-0000-7000-8000-000000000003"])
def test_an_unknown_job_is_not_there(api: Api, pk: str) -> None:
    assert api("trader").get(f"/api/optimize/{pk}").status_code in (400, 404)
