"""Every route × every role: who is refused is told so, and changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.permissions.routes import NEWEST, STABLE, Route, admin_pages, all_routes
from tests.permissions.table import TABLE

ROLES = ("viewer", "trader", "operator", "admin")
_WRITES = ("INSERT", "UPDATE", "DELETE")


def counts() -> dict[str, int]:
    """Return how many rows each table has, in one query."""
    models = [model for model in apps.get_models() if model._meta.managed and not model._meta.proxy]
    parts = [f"SELECT '{m._meta.label}', COUNT(*) FROM {connection.ops.quote_name(m._meta.db_table)}" for m in models]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())


@contextmanager
def nothing_written(what: str) -> Iterator[None]:
    before = counts()
    with CaptureQueriesContext(connection) as queries:
        yield
    assert counts() == before, what
    assert [query["sql"] for query in queries if query["sql"].lstrip().startswith(_WRITES)] == [], what


def stable_routes() -> dict[str, Route]:
    """Return the routes by the name that the table gives them: those of the API without their prefix."""
    routes = all_routes()
    found = {f"{r.method} {r.path.removeprefix(STABLE)}": r for r in routes if r.path.startswith(STABLE + "/")}
    for route in routes:
        twin = f"{route.method} {route.path.removeprefix(NEWEST)}"
        if not route.path.startswith(STABLE + "/") and not (route.path.startswith(NEWEST + "/") and twin in found):
            found[str(route)] = route
    return found


ROUTES = stable_routes()


def test_every_route_stands_in_the_table_and_the_table_names_no_other() -> None:
    assert sorted(set(ROUTES) - set(TABLE)) == [], "add these routes to tests/permissions/table.py"
    assert sorted(set(TABLE) - set(ROUTES)) == [], "these routes are no more"


def test_both_names_of_the_api_offer_the_same_routes() -> None:
    routes = [route for route in all_routes() if route.method != "PAGE"]
    stable = {f"{r.method} {r.path.removeprefix(STABLE)}" for r in routes if r.path.startswith(STABLE + "/")}
    newest = {
        f"{r.method} {r.path.removeprefix(NEWEST)}"
        for r in routes
        if r.path.startswith(NEWEST + "/") and not r.path.startswith(STABLE + "/")
    }
    assert newest - {"GET /schema"} == stable


def _api_call(client: APIClient, route: Route) -> Any:
    client.raise_request_exception = False
    return client.generic(route.method, route.url(), b"{}", content_type="application/json")


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in sorted(ROUTES) if not name.startswith("PAGE ")])
def test_a_route_of_the_api_serves_whom_the_table_names(
    name: str, api: Callable[..., APIClient], data_dir: Path
) -> None:
    route, least = ROUTES[name], TABLE[name]
    if least == "anyone":
        answer = _api_call(api(), route)
        assert answer.status_code not in (401, 403), answer.content
        assert answer.status_code < 500
        return
    clients = {role: api(role) for role in ROLES}
    with nothing_written(f"{name} without credentials"):
        answer = _api_call(api(), route)
    assert answer.status_code == 401, f"without credentials: {answer.status_code} {answer.content!r}"
    assert answer["WWW-Authenticate"]
    for role in ROLES:
        if ROLES.index(role) < ROLES.index(least):
            with nothing_written(f"{name} as {role}"):
                answer = _api_call(clients[role], route)
            assert answer.status_code == 403, f"as {role}: {answer.status_code} {answer.content!r}"
            assert answer["Content-Type"] == "application/problem+json"
        else:
            answer = _api_call(clients[role], route)
            assert answer.status_code not in (401, 403, 405), f"as {role}: {answer.status_code} {answer.content!r}"
            assert answer.status_code < 500, f"as {role}: {answer.status_code} {answer.content!r}"


@pytest.mark.django_db
def test_a_user_without_a_role_may_do_nothing(api: Callable[..., APIClient], django_user_model: Any) -> None:
    client = api(django_user_model.objects.create_user("nobody"))
    for name, route in ROUTES.items():
        if route.method != "PAGE" and TABLE[name] != "anyone":
            with nothing_written(name):
                assert _api_call(client, route).status_code == 403, name


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in sorted(ROUTES) if name.startswith("PAGE ")])
def test_a_page_serves_whom_the_table_names(name: str, browser: Callable[..., Client], data_dir: Path) -> None:
    route, least = ROUTES[name], TABLE[name]
    clients = {role: browser(role) for role in ROLES}
    offered = [method for method in ("get", "post") if getattr(browser(), method)(route.url()).status_code != 405]
    assert offered
    for method in offered:
        if least == "anyone":
            assert getattr(browser(), method)(route.url()).status_code not in (401, 403), method
            continue
        with nothing_written(f"{method} {name} without a session"):
            answer = getattr(browser(), method)(route.url())
        assert answer.status_code == 302, f"{method} without a session: {answer.status_code}"
        assert answer["Location"].startswith("/login/")
        for role in ROLES:
            if ROLES.index(role) < ROLES.index(least):
                with nothing_written(f"{method} {name} as {role}"):
                    answer = getattr(clients[role], method)(route.url())
                assert answer.status_code == 403, f"{method} as {role}: {answer.status_code}"
            else:
                answer = getattr(clients[role], method)(route.url())
                assert answer.status_code not in (401, 403), f"{method} as {role}: {answer.status_code}"
                assert answer.status_code < 500, f"{method} as {role}: {answer.status_code}"


@pytest.mark.django_db
@pytest.mark.parametrize("role", [None, "viewer", "trader"])
def test_the_admin_site_is_closed_below_operator(role: str | None, browser: Callable[..., Client]) -> None:
    client = browser(role)
    # Signing in and out, and the texts of the site's scripts, are for everybody.
    for url in admin_pages():
        if url.startswith(("/admin/login", "/admin/logout", "/admin/jsi18n")):
            continue
        for method in ("get", "post"):
            with nothing_written(url):
                answer = getattr(client, method)(url)
            assert answer.status_code in (302, 403, 404), f"{method} {url} as {role}: {answer.status_code}"
            if answer.status_code == 302:
                assert "login" in answer["Location"], f"{method} {url} as {role}"
