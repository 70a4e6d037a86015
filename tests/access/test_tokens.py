"""Tokens, sessions and who one is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser, Group
from django.test import Client
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from tests.conftest import PASSWORD
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db


def log_in(username: str, password: str = PASSWORD) -> Any:
    return APIClient().post("/api/auth/token", {"username": username, "password": password}, format="json")


def me(authorization: str) -> Any:
    return APIClient().get("/api/auth/me", headers={"Authorization": authorization})


def test_a_password_gives_a_pair_of_tokens_and_the_access_token_opens_the_api(trader: AbstractBaseUser) -> None:
    answer = log_in("trader")
    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    who = me(f"Bearer {answer.json()['access']}")
    assert who.status_code == 200
    assert who.json() == {"name": "trader", "kind": "user", "role": "trader"}
    trader.refresh_from_db()
    assert trader.last_login is not None


@pytest.mark.parametrize(("username", "password"), [("trader", "wrong"), ("nobody", PASSWORD), ("trader", "")])
def test_wrong_credentials_are_refused_alike(trader: AbstractBaseUser, username: str, password: str) -> None:
    answer = log_in(username, password)
    assert answer.status_code == (400 if not password else 401)
    if password:
        assert answer.json()["detail"] == log_in("somebody", "else").json()["detail"]
        assert answer["WWW-Authenticate"]


def test_a_refresh_token_gives_a_new_access_token(trader: AbstractBaseUser) -> None:
    refresh = log_in("trader").json()["refresh"]
    answer = APIClient().post("/api/auth/token/refresh", {"refresh": refresh}, format="json")
    assert set(answer.json()) == {"access"}
    assert me(f"Bearer {answer.json()['access']}").status_code == 200


def test_a_refresh_token_ends_with_the_password_it_was_given_for(trader: AbstractBaseUser) -> None:
    refresh = log_in("trader").json()["refresh"]
    trader.set_password("another-password-77")
    trader.save()
    answer = APIClient().post("/api/auth/token/refresh", {"refresh": refresh}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


def test_a_token_of_the_wrong_kind_is_refused(trader: AbstractBaseUser) -> None:
    tokens = log_in("trader").json()
    assert me(f"Bearer {tokens['refresh']}").status_code == 401
    answer = APIClient().post("/api/auth/token/refresh", {"refresh": tokens["access"]}, format="json")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer a b",
        "Api-Key",
        "Api-Key x",
        "Api-Key a b",
        "Api-Key é",
        "Api-Key a\x00b",
    ],
)
def test_broken_credentials_are_a_401(authorization: str) -> None:
    answer = me(authorization)
    assert answer.status_code == 401, answer.content
    assert answer.json()["code"] == "UNAUTHENTICATED"
    assert "{" not in answer.json()["detail"]


def test_an_expired_token_is_refused(trader: AbstractBaseUser) -> None:
    token = AccessToken.for_user(trader)
    token.set_exp(lifetime=-timedelta(seconds=1))
    assert me(f"Bearer {token}").status_code == 401


def test_who_is_switched_off_is_out_with_every_token(trader: AbstractBaseUser) -> None:
    refresh = RefreshToken.for_user(trader)
    trader.is_active = False
    trader.save()
    assert me(f"Bearer {refresh.access_token}").status_code == 401
    answer = APIClient().post("/api/auth/token/refresh", {"refresh": str(refresh)}, format="json")
    assert answer.status_code == 401
    assert log_in("trader").status_code == 401


def test_a_role_that_is_taken_away_is_gone_at_the_next_request(trader: AbstractBaseUser) -> None:
    access = log_in("trader").json()["access"]
    trader.groups.clear()
    assert me(f"Bearer {access}").status_code == 403


def test_a_session_reads_without_and_writes_only_with_the_csrf_token(trader: AbstractBaseUser) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(trader)
    assert client.get("/api/auth/me").json()["name"] == "trader"
    refused = client.post("/api/auth/ws-ticket", content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "PERMISSION_DENIED")
    client.get("/login/")
    client.cookies["csrftoken"] = "a" * 32
    allowed = client.post("/api/auth/ws-ticket", content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert allowed.status_code == 201


def test_the_four_roles_are_there_after_migrating() -> None:
    assert {role.slug for role in Role} <= set(Group.objects.values_list("name", flat=True))


def test_a_superuser_is_an_admin(api: Callable[..., APIClient], django_user_model: Any) -> None:
    root = django_user_model.objects.create_superuser("root", password=PASSWORD)
    assert api(root).get("/api/auth/me").json()["role"] == "admin"
