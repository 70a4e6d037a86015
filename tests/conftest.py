"""What every test may ask for: users by role, API clients, an actor, a data folder, a standing clock.

Two rules of the suite live here too. A test is deselected on the database where it says nothing: one marked `postgres`
on SQLite, and on PostgreSQL, where it would only be repeated, one that asks no database, or that is marked
`one_database`: a body that is refused before any row is looked for, a page of the admin. What goes through the database,
with its locks, its SQL and its races, runs on both. And a skip or an expected failure counts as a failure: what could
not run has not passed.
"""

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from rest_framework.test import APIClient

from tests.support import emptying, prepared
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

# Two workers on two busy cores: a deadline would measure the machine, and a fixed seed keeps a run repeatable.
hypothesis_settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("suite")

emptying.install()

PASSWORD = "correct horse battery staple"


# Who may do what, what pages show and how many queries a page takes: nothing of it comes from the database's kind.
_SAME_EVERYWHERE = {"pages", "permissions", "queries"}
_DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup"}


def _says_something(item: pytest.Item, on_postgres: bool) -> bool:
    """Whether a test can tell this database from the other: races only on PostgreSQL, pure computing on neither twice."""
    if item.get_closest_marker("postgres") is not None:
        return on_postgres
    if not on_postgres or item.get_closest_marker("e2e") is not None:
        return True
    if item.path.parent.name in _SAME_EVERYWHERE or item.get_closest_marker("one_database") is not None:
        return False
    uses_database = _DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(uses_database) or item.get_closest_marker("django_db") is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on_postgres = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
    kept, dropped = [], []
    for item in items:
        (kept if _says_something(item, on_postgres) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped or hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped or expected to fail; a test runs or it is not there"
        if hasattr(report, "wasxfail"):
            del report.wasxfail


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # What is collected stays to the end; looking through it for garbage again and again takes a sixth of the time.
        gc.disable()
    else:
        config.pluginmanager.register(prepared.Sharing())


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool, request: pytest.FixtureRequest) -> bool:
    """A copy of the prepared file is taken as it is; the worker's folder goes with the worker."""
    return django_db_keepdb or (prepared.is_shared(request.config) and connection.vendor == "sqlite")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_blocker: Any, django_db_modify_db_settings: None
) -> None:
    if prepared.is_shared(request.config) and not request.config.getvalue("reuse_db"):
        with django_db_blocker.unblock():
            prepared.take(request.config)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End what a thread of a test still holds open, so that PostgreSQL lets the database of the tests go."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def user_with_role(role: Role, username: str | None = None) -> AbstractBaseUser:
    """Create a user who is in the group of `role` only; an admin may also enter the admin site."""
    user = get_user_model().objects.create_user(
        username=username or role.slug, password=PASSWORD, is_staff=role == Role.ADMIN
    )
    user.groups.add(Group.objects.get_or_create(name=role.slug)[0])
    return user


@pytest.fixture
def viewer(db: None) -> AbstractBaseUser:
    return user_with_role(Role.VIEWER)


@pytest.fixture
def trader(db: None) -> AbstractBaseUser:
    return user_with_role(Role.TRADER)


@pytest.fixture
def operator(db: None) -> AbstractBaseUser:
    return user_with_role(Role.OPERATOR)


@pytest.fixture
def admin_user(db: None) -> AbstractBaseUser:
    """A superuser, so that Django's own admin permissions hold too."""
    user = get_user_model().objects.create_superuser(username="admin", password=PASSWORD, email="")
    user.groups.add(Group.objects.get_or_create(name=Role.ADMIN.slug)[0])
    return user


@pytest.fixture
def api(db: None, request: pytest.FixtureRequest) -> Callable[..., APIClient]:
    """Return a factory: `api("trader")`, `api(user)`, or `api()` for a caller without credentials."""

    def make(who: str | Role | AbstractBaseUser | None = None) -> APIClient:
        client = APIClient()
        if isinstance(who, Role):
            who = who.slug
        if isinstance(who, str):
            who = request.getfixturevalue({"admin": "admin_user"}.get(who, who))
        if who is not None:
            client.force_authenticate(user=who)
        return client

    return make


@pytest.fixture
def browser(db: None, request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Return a factory of logged-in clients for pages: `browser("viewer")`, `browser(user)`, `browser()`."""

    def make(who: str | AbstractBaseUser | None = None) -> Client:
        client = Client()
        if isinstance(who, str):
            who = request.getfixturevalue({"admin": "admin_user"}.get(who, who))
        if who is not None:
            client.force_login(who)
        return client

    return make


@pytest.fixture
def actor(trader: AbstractBaseUser) -> Actor:
    return Actor.for_user(trader)


@pytest.fixture
def operator_actor(operator: AbstractBaseUser) -> Actor:
    return Actor.for_user(operator)


@pytest.fixture
def admin_actor(admin_user: AbstractBaseUser) -> Actor:
    return Actor.for_user(admin_user)


@pytest.fixture
def frozen_clock() -> Iterator[Callable[[datetime], None]]:
    """Return a setter of the wall time; it stands at 2026-01-05 15:00 UTC (a Monday, session open) until told otherwise."""
    contexts: list[Any] = []

    def set_to(moment: datetime) -> None:
        context = clock.frozen(moment)
        context.__enter__()
        contexts.append(context)

    set_to(datetime(2026, 1, 5, 15, 0, tzinfo=UTC))
    yield set_to
    while contexts:
        contexts.pop().__exit__(None, None, None)


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    """A data folder for this test alone: bars, sentinel files."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    return settings.DATA_DIR
