"""API keys: shown once, never stronger than their maker, ended at once."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from tests.conftest import user_with_role
from tradingsite.common import clock
from tradingsite.common.access.services import api_key_create, api_key_revoke
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import PermissionDenied
from tradingsite.common.models import ApiKey
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db


def make(user: Any, role: Role = Role.TRADER, **more: Any) -> tuple[ApiKey, str]:
    return api_key_create(actor=Actor.for_user(user), user=user, name="bot", role=role, **more)


def with_key(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {secret}")
    return client


def test_a_key_is_shown_once_and_only_its_hash_is_kept(api: Callable[..., APIClient]) -> None:
    client = api("trader")
    made = client.post("/api/auth/keys", {"name": "bot", "role": "viewer"}, format="json")
    assert made.status_code == 201, made.content
    secret = made.json()["key"]
    row = ApiKey.objects.get()
    assert row.hashed_secret == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in "".join(str(value) for value in ApiKey.objects.values_list().get())
    shown = client.get(f"/api/auth/keys/{row.pk}").json()
    assert "key" not in shown
    assert "hashed_secret" not in shown
    assert secret not in client.get("/api/auth/keys").content.decode()


def test_a_key_acts_in_its_own_name_with_its_own_role(trader: AbstractBaseUser) -> None:
    _, secret = make(trader, Role.VIEWER)
    client = with_key(secret)
    assert client.get("/api/auth/me").json() == {"name": "bot", "kind": "api_key", "role": "viewer"}
    assert client.get("/api/auth/keys").status_code == 403


def test_a_key_never_outgrows_its_maker(api: Callable[..., APIClient], trader: AbstractBaseUser) -> None:
    refused = api(trader).post("/api/auth/keys", {"name": "bot", "role": "operator"}, format="json")
    assert (refused.status_code, ApiKey.objects.count()) == (403, 0)
    _, secret = make(trader, Role.TRADER)
    trader.groups.set(user_with_role(Role.VIEWER, "other").groups.all())
    assert with_key(secret).get("/api/auth/me").json()["role"] == "viewer"
    trader.groups.clear()
    assert with_key(secret).get("/api/auth/me").status_code == 401


def test_a_key_makes_no_keys(trader: AbstractBaseUser) -> None:
    _, secret = make(trader)
    answer = with_key(secret).post("/api/auth/keys", {"name": "child", "role": "viewer"}, format="json")
    assert (answer.status_code, ApiKey.objects.count()) == (403, 1)


def test_the_desk_itself_gives_no_more_than_the_user_has(viewer: AbstractBaseUser) -> None:
    with pytest.raises(PermissionDenied):
        api_key_create(actor=Actor.system("test"), user=viewer, name="bot", role=Role.TRADER)


def test_a_revoked_key_opens_nothing_and_a_second_end_changes_nothing(
    api: Callable[..., APIClient], trader: AbstractBaseUser
) -> None:
    key, secret = make(trader)
    assert api(trader).delete(f"/api/auth/keys/{key.pk}").status_code == 204
    assert with_key(secret).get("/api/auth/me").status_code == 401
    key.refresh_from_db()
    ended = key.revoked_at
    api_key_revoke(actor=Actor.for_user(trader), key=key)
    key.refresh_from_db()
    assert key.revoked_at == ended


def test_a_key_ends_when_it_says(trader: AbstractBaseUser, frozen_clock: Callable[..., None]) -> None:
    _, secret = make(trader, expires_at=utcnow() + timedelta(days=1))
    assert with_key(secret).get("/api/auth/me").status_code == 200
    frozen_clock(clock.utcnow() + timedelta(days=1))
    assert with_key(secret).get("/api/auth/me").status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "bot", "role": "king"}, "role"),
        ({"name": "bot", "role": "viewer", "expires_at": rfc3339(utcnow() - timedelta(days=1))}, "expires_at"),
        ({"name": "bot", "role": "viewer", "secret": "mine"}, "secret"),
    ],
)
def test_a_wrong_request_for_a_key_is_refused_by_name(
    api: Callable[..., APIClient], body: dict[str, str], pointer: str
) -> None:
    answer = api("trader").post("/api/auth/keys", body, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_somebody_elses_key_is_not_there(api: Callable[..., APIClient], trader: AbstractBaseUser) -> None:
    key, _ = make(trader)
    other = api("operator")
    assert other.get("/api/auth/keys").json()["count"] == 0
    assert other.get(f"/api/auth/keys/{key.pk}").status_code == 404
    assert other.delete(f"/api/auth/keys/{key.pk}").status_code == 404
    admin = api("admin")
    assert admin.get(f"/api/auth/keys/{key.pk}").status_code == 200


def test_the_last_use_is_written_at_most_once_a_minute(
    trader: AbstractBaseUser, frozen_clock: Callable[..., None]
) -> None:
    key, secret = make(trader)
    first = clock.utcnow()
    with_key(secret).get("/api/auth/me")
    frozen_clock(first + timedelta(seconds=30))
    with_key(secret).get("/api/auth/me")
    key.refresh_from_db()
    assert key.last_used_at == first
    frozen_clock(first + timedelta(seconds=90))
    with_key(secret).get("/api/auth/me")
    key.refresh_from_db()
    assert key.last_used_at == first + timedelta(seconds=90)


def test_the_command_prints_a_key_that_works(trader: AbstractBaseUser) -> None:
    out = StringIO()
    call_command(
        "create_api_key",
        "--user",
        "trader",
        "--role",
        "trader",
        "--name",
        "cli",
        "--expires-days",
        "1",
        stdout=out,
        stderr=StringIO(),
    )
    assert with_key(out.getvalue().strip()).get("/api/auth/me").json()["name"] == "cli"


@pytest.mark.parametrize(("user", "role"), [("nobody", "viewer"), ("trader", "admin")])
def test_the_command_refuses_what_the_service_refuses(trader: AbstractBaseUser, user: str, role: str) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_key", "--user", user, "--role", role, "--name", "cli")
    assert ApiKey.objects.count() == 0
