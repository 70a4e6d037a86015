"""Stopping trading while the database is away, takes no writes, or Redis is down: the file stands, and it is said."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jwt
import pytest
import redis
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from safety import killswitch, services
from safety.models import KillSwitch
from tests.conftest import PASSWORD
from tests.safety.conftest import refusing_writes, unreachable
from tradingsite.common import database
from tradingsite.common.access.models import ApiKey
from tradingsite.common.access.services import api_key_create
from tradingsite.common.actor import Actor
from tradingsite.common.live import transport
from tradingsite.common.roles import Role

KILL = "/api/safety/kill"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return a context in which no connection can be made and no statement is answered."""

    def no_answer() -> None:
        raise database.NoAnswer("connection refused")

    def context() -> Any:
        monkeypatch.setattr(database, "require_answer", no_answer)
        return unreachable()

    return context


def bearer(username: str) -> APIClient:
    client = APIClient()
    body = {"username": username, "password": PASSWORD}
    access = client.post("/api/auth/token", body, format="json").json()["access"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


@pytest.mark.django_db(transaction=True)
def test_a_token_stops_everything_while_the_database_is_away_and_the_row_follows(
    operator: AbstractBaseUser, away: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bearer("operator")
    with away():
        answer = client.post(KILL, {"reason": "all on fire", "flatten": True}, format="json")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["active"], body["degraded"], body["sources"]) == (True, True, ["file"])
        assert "the database did not take it; it is written when it does" in body["detail"]
        assert (body["reason"], body["by"], body["sweep"]) == ("all on fire", "operator", None)
    assert not KillSwitch.objects.filter(active=True).exists()
    assert services.halves_mend() == 1
    row = KillSwitch.objects.get(active=True)
    assert (row.reason, row.by, row.by_user_id) == ("all on fire", "operator", operator.pk)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["viewer", "trader"])
def test_a_token_of_a_lower_role_stops_nothing_then_either(
    who: str, away: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(who)
    client = bearer(who)
    with away():
        assert client.post(KILL).status_code == 403
    assert not killswitch.state().active


@pytest.mark.django_db
def test_without_a_token_it_is_said_what_else_stops_the_desk(
    operator: AbstractBaseUser, away: Callable[[], Any]
) -> None:
    _, secret = api_key_create(
        actor=Actor.for_user(operator), user=operator, name="k", role=Role.OPERATOR, expires_at=None
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {secret}")
    with away():
        for caller in (client, APIClient()):
            answer = caller.post(KILL)
            assert answer.status_code == 503
            assert "manage.py kill_switch on" in answer.json()["detail"]
    assert not killswitch.state().active


@pytest.mark.django_db
@pytest.mark.parametrize("claims", [{}, {"role": ""}, {"role": "emperor"}, {"user_id": "x", "role": "admin"}])
def test_a_signed_token_with_nonsense_in_it_stops_nothing(
    operator: AbstractBaseUser, away: Callable[[], Any], claims: dict[str, str]
) -> None:
    token = AccessToken.for_user(operator)
    for name, value in ({"name": "operator", **claims} if claims else {}).items():
        token[name] = value
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    with away():
        assert client.post(KILL).status_code in (401, 403)
    assert not killswitch.state().active


@pytest.mark.django_db
def test_a_forged_token_stops_nothing(operator: AbstractBaseUser, away: Callable[[], Any]) -> None:
    token = AccessToken.for_user(operator)
    token["name"], token["role"] = "operator", "admin"
    forged = jwt.encode(token.payload, "not the key of this desk, and long enough for it", algorithm="HS256")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {forged}")
    with away():
        assert client.post(KILL).status_code == 401
    assert not killswitch.state().active


@pytest.mark.django_db
def test_while_the_database_answers_the_role_is_asked_of_it_and_not_of_the_token(operator: AbstractBaseUser) -> None:
    client = bearer("operator")
    operator.groups.clear()
    assert client.post(KILL).status_code == 403
    assert not killswitch.state().active


@pytest.mark.django_db
def test_no_other_route_goes_by_the_token_alone(operator: AbstractBaseUser, away: Callable[[], Any]) -> None:
    client = bearer("operator")
    services.kill(actor=Actor.system("test"))
    with away():
        assert client.post("/api/safety/resume", {"reason": "x"}, format="json").status_code == 503
        assert client.get("/api/safety").status_code == 503
    assert killswitch.state().active


@pytest.mark.django_db(transaction=True)
def test_a_key_stops_the_desk_while_the_database_takes_no_writes(operator: AbstractBaseUser) -> None:
    _, secret = api_key_create(
        actor=Actor.for_user(operator), user=operator, name="k", role=Role.OPERATOR, expires_at=None
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {secret}")
    with refusing_writes():
        answer = client.post(KILL, {"reason": "disk full"}, format="json")
    assert (answer.status_code, answer.json()["sources"]) == (200, ["file"])
    assert ApiKey.objects.get().last_used_at is None


@pytest.fixture
def no_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A desk whose Redis does not answer; who sends live events tries again until the test is over."""
    over = threading.Event()

    def publish(texts: Sequence[str]) -> None:
        if not over.is_set():
            raise redis.ConnectionError("connection refused")

    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(transport, "_sender", transport.Sender(publish, pause_s=0.01))
    yield
    over.set()


@pytest.mark.django_db(transaction=True)
def test_redis_is_not_asked(operator: AbstractBaseUser, no_redis: None) -> None:
    answer = bearer("operator").post(KILL)
    assert (answer.status_code, answer.json()["sources"]) == (200, ["database", "file"])


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_server_that_is_not_there_is_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection

    database.require_answer()
    monkeypatch.setattr(connection, "in_atomic_block", False)
    database.require_answer()
    parameters = connection.get_connection_params()
    monkeypatch.setattr(connection, "get_connection_params", lambda: {**parameters, "port": 1})
    with pytest.raises(database.NoAnswer):
        database.require_answer()
