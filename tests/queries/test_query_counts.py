"""Every list of the API, every page and every table of the admin needs as many queries for many rows as for few."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import override_settings
from django.urls import reverse

from market import store
from safety.models import ScopedLimits
from tests.permissions.test_permissions import ROUTES
from tests.queries.rows import Rows
from tests.support.queries import SNAPSHOT, assert_constant_queries

Client = Any


@dataclass(frozen=True)
class Case:
    """One route, as the table of permissions names it.

    Attributes:
        of: what stands in the place of the parameters, given the rows.
        query: the query string, in which parameters may stand too; some lists read more when they are asked for more.
        grows: whether its answer gets longer with the desk. What shows one row, or none, is counted all the same.
    """

    name: str
    of: Callable[[Rows], dict[str, Any]] = field(default=lambda rows: {})
    query: str = ""
    grows: bool = True

    def __str__(self) -> str:
        return self.name + self.query

    def url(self, rows: Rows, prefix: str) -> str:
        return prefix + (self.name.partition(" ")[2] + self.query).format(**self.of(rows))


def _pk(attribute: str, name: str = "pk", **more: Any) -> Callable[[Rows], dict[str, Any]]:
    return lambda rows: {name: getattr(rows, attribute).pk, **more}


API = (
    Case("GET /auth/keys"),
    Case("GET /auth/keys", query="?page_size=1&page=2", grows=False),
    Case("GET /auth/keys/{pk}", _pk("key"), grows=False),
    Case("GET /auth/me", grows=False),
    Case("GET /webhooks"),
    Case("GET /webhooks", query="?enabled=true&page_size=1&page=2", grows=False),
    Case("GET /webhooks/event-types", grows=False),
    Case("GET /webhooks/{pk}", _pk("webhook"), grows=False),
    Case("GET /webhooks/{webhook_id}/deliveries", _pk("webhook", "webhook_id")),
    Case("GET /webhooks/{webhook_id}/deliveries", _pk("webhook", "webhook_id"), query="?count=true&status=pending"),
    Case(
        "GET /webhooks/{webhook_id}/deliveries/{delivery_id}",
        lambda rows: {"webhook_id": rows.webhook.pk, "delivery_id": rows.delivery.pk},
    ),
    Case("GET /market/instruments"),
    Case("GET /market/instruments", query="?search=SYM&ordering=-name"),
    Case("GET /market/instruments/{symbol}", lambda rows: {"symbol": "SYM1"}, grows=False),
    Case("GET /market/imports"),
    Case("GET /market/imports/{pk}", _pk("bar_import"), grows=False),
    Case("GET /market/news"),
    Case("GET /market/fundamentals"),
    Case("GET /market/bars", query="?symbol=SYM1&source=prices-historical", grows=False),
    Case("GET /market/sources"),
    Case("GET /market/indicators", grows=False),
    Case("GET /market/regimes", query="?symbol=SYM1&source=prices-historical", grows=False),
    Case("GET /safety"),
    Case("GET /safety/limits", grows=False),
    Case(
        "GET /safety/limits/{scope}/{key}",
        lambda rows: {"scope": "strategy", "key": ScopedLimits.objects.values_list("key", flat=True).first()},
        grows=False,
    ),
    Case("GET /safety/decisions"),
    Case("GET /safety/decisions", query="?count=true"),
    Case("GET /safety/history"),
    Case("GET /alerts"),
    Case("GET /alerts", query="?status=clear&search=rule&ordering=name&page_size=1&page=2", grows=False),
    Case("GET /alerts/kinds", grows=False),
    Case("GET /alerts/evaluation", grows=False),
    Case("GET /alerts/{id}", _pk("rule", "id"), grows=False),
    Case("GET /alerts/history"),
    Case("GET /alerts/history/{pk}", _pk("alert"), grows=False),
    Case("GET /audit"),
    Case("GET /portfolio"),
    Case("GET /portfolio/positions"),
    Case("GET /portfolio/equity"),
    Case("GET /portfolio/fills"),
    Case("GET /portfolio/fills/export"),
    Case("GET /portfolio/goals"),
    Case("GET /portfolio/goals", query="?ordering=name&search=goal&enabled=true"),
    Case("GET /portfolio/goals/{pk}", _pk("goal"), grows=False),
    Case("GET /portfolio/goals/{pk}/drift", _pk("goal")),
    Case("GET /portfolio/goals/{pk}/rebalances", _pk("goal")),
    Case(
        "GET /portfolio/goals/{pk}/rebalances/{rebalance_id}",
        lambda rows: {"pk": rows.goal.pk, "rebalance_id": rows.rebalance.pk},
    ),
    Case("GET /portfolio/orders"),
    Case("GET /portfolio/orders/export"),
    Case("GET /portfolio/orders", query="?count=true&page_size=2", grows=False),
    Case("GET /portfolio/orders/{pk}", _pk("order")),
    Case("GET /workflows"),
    Case("GET /workflows", query="?ordering=-executions_count"),
    Case("GET /workflows/{id}", _pk("workflow", "id")),
    Case("GET /workflows/{id}/steps", _pk("workflow", "id"), grows=False),
    Case("GET /workflows/{id}/versions", _pk("workflow", "id")),
    Case("GET /workflows/{id}/versions/{number}", _pk("workflow", "id", number=1), grows=False),
    Case("GET /workflows/{id}/versions/{a}/diff/{b}", _pk("workflow", "id", a=1, b=2), grows=False),
    Case("GET /workflows/{workflow_id}/metrics", _pk("workflow", "workflow_id"), grows=False),
    Case("GET /workflows/{workflow_id}/metrics", _pk("workflow", "workflow_id"), query="?version=1", grows=False),
    Case("GET /workflows/{workflow_id}/metrics/trends", _pk("workflow", "workflow_id"), grows=False),
    Case(
        "GET /workflows/{workflow_id}/metrics/versions", _pk("workflow", "workflow_id"), query="?a=1&b=2", grows=False
    ),
    Case("GET /workflows/compare", _pk("workflow"), query="?workflow_ids={pk}", grows=False),
    Case("GET /strategies"),
    Case("GET /strategies/{id}", _pk("strategy", "id"), grows=False),
    Case("GET /strategies/{id}/versions", _pk("strategy", "id")),
    Case("GET /strategies/{id}/versions/{number}", _pk("strategy", "id", number=1), grows=False),
    Case("GET /autogen/agent-templates", grows=False),
    Case("GET /strategies/{id}/autogen-config", _pk("strategy", "id"), grows=False),
    Case("GET /agents"),
    Case("GET /agents", query="?search=agent&ordering=name&kind=http"),
    Case("GET /agents/{id}", _pk("agent", "id"), grows=False),
    Case("GET /agents/{id}/health", _pk("agent", "id"), grows=False),
    Case("GET /agents/{id}/versions", _pk("agent", "id"), grows=False),
    Case("GET /agents/{id}/performance", _pk("agent", "id"), grows=False),
    Case("GET /agents/performance"),
    Case("GET /agent", grows=False),
    Case("GET /agent/logs"),
    Case("GET /agent/runs"),
    Case("GET /agent/runs", query="?count=true&status=completed"),
    Case("GET /agent/runs/{pk}", _pk("agent_run"), grows=False),
    Case("GET /agent/proposals"),
    Case("GET /agent/proposals/{pk}", _pk("proposal"), grows=False),
    Case("GET /step-types", grows=False),
    Case("GET /strategy-types", grows=False),
    Case("GET /workflow-templates", grows=False),
    *(
        case
        for name in ("runs", "workflow-executions")
        for case in (
            Case(f"GET /{name}"),
            Case(f"GET /{name}", query="?count=true&ordering=started_at&status=completed"),
            Case(f"GET /{name}/{{pk}}", _pk("run")),
            Case(f"GET /{name}/{{pk}}/steps", _pk("run")),
            Case(f"GET /{name}/{{pk}}/steps/{{index}}/output", _pk("run", index=1), grows=False),
            Case(f"GET /{name}/{{pk}}/events", _pk("run")),
            Case(f"GET /{name}/{{execution_id}}/agent-conversation", _pk("run", "execution_id")),
        )
    ),
    Case("GET /job-types", grows=False),
    Case("GET /schedules"),
    Case("GET /schedules/{id}", _pk("schedule", "id"), grows=False),
    Case("GET /scheduler"),
    Case("GET /scheduler/{id}", _pk("schedule", "id"), grows=False),
    Case("GET /scheduler/{id}/history", _pk("schedule", "id")),
    Case("GET /tasks", grows=False),
    Case("GET /tasks", query="?status=SUCCESS&count=true"),
    Case("GET /tasks/{task_id}", lambda rows: {"task_id": rows.run.task_id}, grows=False),
    Case("GET /tasks/metrics", grows=False),
    Case("GET /optimize", query="?all=true"),
    Case("GET /optimize", query="?status=complete&strategy_type=momentum", grows=False),
    Case("GET /optimize/{pk}", _pk("job"), grows=False),
    Case("GET /optimize/{pk}/matrix", _pk("job"), grows=False),
    Case("GET /optimize/{pk}/matrix.csv", _pk("job"), grows=False),
    Case("GET /optimize/live", query="?all=true"),
    Case("GET /optimize/live/{pk}", _pk("adaptation"), grows=False),
    Case("GET /optimize/live/{pk}/history", _pk("adaptation")),
    Case("GET /optimize/live/{pk}/regimes", _pk("adaptation")),
    Case("GET /optimize/live/{pk}/watches", _pk("adaptation")),
    Case("GET /models"),
    Case("GET /models", query="?model_type=xgboost"),
    Case("GET /models/{pk}", _pk("model"), grows=False),
)
# The same for everybody, and made without the database.
API_WITHOUT_ROWS = {"GET /docs", "GET /redoc", "GET /api/schema"}

PAGES = (
    Case("PAGE /"),
    Case("PAGE /runs/"),
    Case("PAGE /runs/", query="?status=completed"),
    Case("PAGE /runs/{execution_id}/", _pk("run", "execution_id")),
    Case("PAGE /runs/{execution_id}/conversation/", _pk("run", "execution_id")),
    Case("PAGE /agents/"),
    Case("PAGE /adaptation/"),
    Case("PAGE /adaptation/{adaptation_id}/", _pk("adaptation", "adaptation_id")),
    Case("PAGE /goals/"),
    Case("PAGE /goals/{goal_id}/", _pk("goal", "goal_id")),
)
# Probes, forms, what only takes POST, and what is made without the database.
PAGES_WITHOUT_LISTS = {
    "PAGE /adaptation/{adaptation_id}/run/",
    "PAGE /adaptation/{adaptation_id}/stop/",
    *(f"PAGE /adaptation/{{adaptation_id}}/events/{{number}}/{word}/" for word in ("approve", "reject", "rollback")),
    "PAGE /docs/errors",
    "PAGE /health",
    "PAGE /health/ready",
    "PAGE /login/",
    "PAGE /logout/",
    "PAGE /runs/{execution_id}/cancel/",
    "PAGE /runs/{execution_id}/retry/",
    "PAGE /safety/kill/",
    "PAGE /safety/resume/",
}

TABLES = {model._meta.label: model for model in admin.site._registry}
# There is one row of them, ever.
SINGLE = {"safety.AlertRound", "safety.SafetySettings", "scheduler.Clock"}
# Pages of one row that list its children, and which row that is.
WITH_CHILDREN = {
    "common.WebhookDelivery": "delivery",
    "django_celery_beat.ClockedSchedule": "clocked",
    "django_celery_beat.CrontabSchedule": "crontab",
    "executions.WorkflowExecution": "run",
    "portfolio.Order": "order",
    "portfolio.PaperOrder": "paper_order",
    "portfolio.Rebalance": "rebalance",
    "workflows.Strategy": "strategy",
    "workflows.Workflow": "workflow",
}


@pytest.fixture(scope="module")
def small_desk(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rows, Path]]:
    """The desk that every test starts from, made once: it takes longer than to ask for a page of it.

    The tests' own transactions lie within this one and are rolled back to it.
    """
    folder = tmp_path_factory.mktemp("small") / "data"
    folder.mkdir()
    with django_db_blocker.unblock(), override_settings(DATA_DIR=folder), transaction.atomic():
        store.cache_clear()
        yield Rows(), folder
        transaction.set_rollback(True)


@pytest.fixture
def rows(small_desk: tuple[Rows, Path], db: None, data_dir: Path) -> Rows:
    made, folder = small_desk
    shutil.copytree(folder, data_dir, dirs_exist_ok=True)
    store.cache_clear()
    return copy.deepcopy(made)


def check(name: str, client: Client, url: str, rows: Rows, *, grows: bool) -> None:
    """Count the queries of `url` before and after the desk grew, and see that the answer did grow."""
    sizes = []

    def call() -> None:
        answer = client.get(url)
        body = b"".join(answer)
        assert answer.status_code == 200, body
        sizes.append(len(body))

    assert_constant_queries(name, call, rows.more)
    if grows:
        assert sizes[-1] > sizes[-2] + 10, f"{name} shows no more than before: its rows did not grow"


@pytest.mark.parametrize("case", API, ids=str)
def test_a_route_of_the_api_needs_as_many_queries_for_many_rows_as_for_few(
    case: Case, api: Callable[..., Client], rows: Rows
) -> None:
    check(str(case), api("admin"), case.url(rows, "/api/v1"), rows, grows=case.grows)


@pytest.mark.parametrize("case", PAGES, ids=str)
def test_a_page_needs_as_many_queries_for_many_rows_as_for_few(
    case: Case, browser: Callable[..., Client], rows: Rows
) -> None:
    check(str(case), browser("admin"), case.url(rows, ""), rows, grows=case.grows)


@pytest.mark.parametrize("label", sorted(TABLES))
def test_a_table_of_the_admin_needs_as_many_queries_for_many_rows_as_for_few(
    label: str, browser: Callable[..., Client], rows: Rows
) -> None:
    app, name = label.lower().split(".")
    url = reverse(f"admin:{app}_{name}_changelist")
    check(f"ADMIN {label}", browser("admin"), url, rows, grows=label not in SINGLE)


@pytest.mark.parametrize("label", sorted(WITH_CHILDREN))
def test_a_row_of_the_admin_needs_as_many_queries_for_many_children_as_for_few(
    label: str, browser: Callable[..., Client], rows: Rows
) -> None:
    app, name = label.lower().split(".")
    url = reverse(f"admin:{app}_{name}_change", args=[getattr(rows, WITH_CHILDREN[label]).pk])
    check(f"ADMIN {label} one", browser("admin"), url, rows, grows=True)


def test_the_first_page_of_the_admin_needs_as_many_queries_for_many_rows_as_for_few(
    browser: Callable[..., Client], rows: Rows
) -> None:
    check("ADMIN", browser("admin"), reverse("admin:index"), rows, grows=False)


def test_every_route_that_answers_get_has_a_case() -> None:
    gets = {name for name in ROUTES if name.startswith("GET ")}
    cases = {case.name for case in API}
    assert sorted(gets - cases - API_WITHOUT_ROWS) == [], "add these routes to API"
    assert sorted((cases | API_WITHOUT_ROWS) - gets) == [], "these routes are no more"
    assert cases & API_WITHOUT_ROWS == set()


def test_every_page_has_a_case() -> None:
    pages = {name for name in ROUTES if name.startswith("PAGE ")}
    cases = {case.name for case in PAGES}
    assert sorted(pages - cases - PAGES_WITHOUT_LISTS) == [], "add these pages to PAGES"
    assert sorted((cases | PAGES_WITHOUT_LISTS) - pages) == [], "these pages are no more"


def test_every_table_with_children_in_the_admin_has_a_case() -> None:
    with_children = {model._meta.label for model, page in admin.site._registry.items() if page.inlines}
    assert with_children == set(WITH_CHILDREN)


def test_the_reviewed_numbers_are_those_of_the_cases() -> None:
    names = {str(case) for case in (*API, *PAGES)} | {"ADMIN"}
    names |= {f"ADMIN {label}" for label in TABLES} | {f"ADMIN {label} one" for label in WITH_CHILDREN}
    assert set(json.loads(SNAPSHOT.read_text())) == names
