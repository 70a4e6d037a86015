"""Limits of one strategy or instrument: set and removed by an admin, strict in every figure, written down."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from market.models import Instrument
from safety.models import AuditLog, ScopedLimits
from tests.safety.cases import STRATEGY

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
OF_STRATEGY, OF_SHARE = f"/api/safety/limits/strategy/{STRATEGY}", "/api/safety/limits/instrument/BRK.B"


@pytest.fixture(autouse=True)
def share() -> None:
    Instrument.objects.create(symbol="BRK.B", exchange="XNYS")


def put(client: APIClient, path: str, body: dict[str, Any], **headers: str) -> Any:
    return client.put(path, body, format="json", headers=headers)


@pytest.mark.parametrize("path", [OF_STRATEGY, OF_SHARE])
def test_limits_are_set_replaced_shown_and_removed(api: Api, path: str) -> None:
    client = api("admin")
    first = put(client, path, {"position_limit": "1000.50", "daily_trade_limit": 3})
    assert first.status_code == 200
    assert first.json()["limits"] == {"position_limit": "1000.5", "daily_trade_limit": 3}
    second = put(client, path, {"drawdown_limit": "0.05"})
    assert (second.json()["limits"], second.json()["version"]) == ({"drawdown_limit": "0.05"}, 2)
    assert client.get(path).json() == second.json()
    [shown] = client.get("/api/safety").json()["scoped_limits"]
    assert shown["limits"] == {"drawdown_limit": "0.05"}
    assert client.delete(path).status_code == 204
    assert (client.get(path).status_code, client.delete(path).status_code) == (404, 404)
    actions = AuditLog.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["scoped_limits.set", "scoped_limits.set", "scoped_limits.remove"]


def test_the_same_limits_again_change_nothing(api: Api) -> None:
    client = api("admin")
    for _ in range(2):
        assert put(client, OF_SHARE, {"position_limit": "1000"}).json()["version"] == 1
    assert AuditLog.objects.count() == 1


def test_a_change_based_on_an_old_version_is_refused(api: Api) -> None:
    client = api("admin")
    etag = put(client, OF_SHARE, {"position_limit": "1000"})["ETag"]
    assert put(client, OF_SHARE, {"position_limit": "2000"}, **{"If-Match": etag}).status_code == 200
    assert put(client, OF_SHARE, {"position_limit": "3000"}, **{"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_loss", "5"),
        ("paper_mode", False),
        ("position_limit", "-1"),
        ("position_limit", "NaN"),
        ("position_limit", None),
        ("position_limit", ""),
        ("position_limit", 1.5),
        ("daily_loss_limit", "-500"),
        ("drawdown_limit", "1.01"),
        ("price_collar", "-0.1"),
        ("daily_trade_limit", "3"),
        ("order_rate_limit", -1),
        ("data_max_age_s", 10**30),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(api: Api, name: str, value: Any) -> None:
    answer = put(api("admin"), OF_SHARE, {"exposure_limit": "5", name: value})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [name]
    assert not ScopedLimits.objects.exists()


def test_limits_that_limit_nothing_are_refused(api: Api) -> None:
    assert put(api("admin"), OF_SHARE, {}).status_code == 400
    assert not ScopedLimits.objects.exists()


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/api/safety/limits/desk/x", "scope"),
        ("/api/safety/limits/strategy/mine", "key"),
        ("/api/safety/limits/instrument/NONE", "key"),
        ("/api/safety/limits/instrument/a%00b", "key"),
    ],
)
def test_a_scope_that_is_none_is_refused_by_field(api: Api, path: str, pointer: str) -> None:
    answer = put(api("admin"), path, {"position_limit": "5"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


@pytest.mark.parametrize("who", [None, "viewer", "trader", "operator"])
def test_below_admin_nobody_changes_them(api: Api, who: str | None) -> None:
    refused = 401 if who is None else 403
    path = f"/api/safety/limits/strategy/{uuid4()}"
    assert put(api(who), path, {"position_limit": "5"}).status_code == refused
    assert api(who).delete(path).status_code == refused
    assert not ScopedLimits.objects.exists()
