"""Health for probes, documentation for people."""

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.test import Client

from tradingsite.common import health
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage


@pytest.fixture
def own_checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The registry without what the apps added: their workers are not running here."""
    checks: dict[str, Any] = {}
    monkeypatch.setattr(health, "_checks", checks)
    return checks


def test_liveness_asks_nothing_of_the_database(client: Client) -> None:
    # Without the database mark, any query would fail this test.
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_readiness_says_what_it_looked_at(client: Client, own_checks: dict[str, Any]) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert set(answer.json()["checks"]) == {"database", "outbox", "broker"}


@pytest.mark.django_db
def test_a_check_of_an_app_can_degrade_and_still_be_ready(client: Client, own_checks: dict[str, Any]) -> None:
    health.register_check("workers", lambda: health.Health("degraded", "no worker"))
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["workers"] == {"status": "degraded", "detail": "no worker"}
    with pytest.raises(ImproperlyConfigured):
        health.register_check("workers", lambda: health.Health("ok"))


@pytest.mark.django_db
def test_what_is_needed_and_away_is_a_503_that_says_when_to_ask_again(
    client: Client, own_checks: dict[str, Any]
) -> None:
    def away() -> health.Health:
        raise OperationalError("password of the database")

    health.register_check("ledger", away)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert b"password" not in answer.content


@pytest.mark.django_db
def test_tasks_that_wait_too_long_degrade(client: Client, own_checks: dict[str, Any]) -> None:
    OutboxMessage.objects.create(task="t", task_id="1", queue="runs", created_at=utcnow() - timedelta(minutes=5))
    assert client.get("/health/ready").json()["checks"]["outbox"]["status"] == "degraded"


@pytest.mark.django_db
def test_a_broker_that_is_away_degrades(client: Client, own_checks: dict[str, Any], settings: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{free.getsockname()[1]}/0"
        answer = client.get("/health/ready").json()
        assert (answer["status"], answer["checks"]["broker"]["status"]) == ("degraded", "degraded")
        free.listen()
        assert client.get("/health/ready").json()["checks"]["broker"]["status"] == "ok"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/"])
def test_the_readers_hold_no_inline_script_and_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "http://" not in page
    assert "https://" not in page
    scripts = [piece.split(">")[0] for piece in page.split("<script")[1:]]
    assert scripts
    assert all("src=" in script for script in scripts)
    assert "<style" not in page
    policy = answer["Content-Security-Policy"]
    script_policy = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert script_policy == "script-src 'self'"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_what_the_readers_load_is_here(client: Client, path: str) -> None:
    page = client.get(path).content.decode()
    files = [piece.split('"')[0] for piece in page.split('src="')[1:] + page.split('href="')[1:]]
    for file in files:
        if file.startswith("/static/"):
            assert finders.find(file.removeprefix("/static/")), file
        else:
            assert client.get(file.replace("&amp;", "&")).status_code == 200, file


def test_the_schema_names_each_route_once_under_its_stable_name(client: Client) -> None:
    answer = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    paths = answer.json()["paths"]
    assert all(path.startswith("/api/v1/") and not path.endswith("/") for path in paths)
    assert {"bearer", "apiKey", "session"} & set(answer.json()["components"]["securitySchemes"])
    operation = paths["/api/v1/auth/keys/{id}"]["get"]
    for status in ("400", "401", "403", "404", "429", "503"):
        content = operation["responses"][status]["content"]
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "`trader`" in operation["description"]


def test_the_schema_is_made_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.get("/api/schema")
    made: list[int] = []
    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", lambda *a, **k: made.append(1))
    assert client.get("/api/schema").status_code == 200
    assert made == []


def test_the_pages_of_people_keep_the_strict_policy(client: Client, browser: Callable[..., Client]) -> None:
    policy = browser().get("/login/")["Content-Security-Policy"]
    assert "unsafe-inline" not in policy


def test_the_type_of_a_problem_leads_to_the_page_that_lists_its_code(client: Client) -> None:
    problem = client.get("/api/v1/nothing").json()
    page, _, code = problem["type"].partition("#")
    assert f'id="{code}"' in client.get(page).content.decode()
