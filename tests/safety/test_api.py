"""Safety over HTTP: who may look, stop, go on and set limits, and what is answered to nonsense."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from safety import killswitch, selectors, services
from safety.models import AuditLog, GateDecision
from tests.safety.cases import EXPOSURE, INTENT, STRATEGY, D
from tests.safety.conftest import refusing_writes
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

DESK = Actor.system("test")
Api = Callable[..., APIClient]


def decide(count: int = 1, *, preview: bool = False, **intent: Any) -> None:
    with transaction.atomic():
        for index in range(count):
            changed = replace(INTENT, client_order_id=f"order-{index}", **intent)
            services.order_check(intent=changed, exposure=EXPOSURE, actor=DESK, consume=not preview)


def alert(**changes: Any) -> Any:
    values = {"kind": "notify", "name": "n", "severity": "info", "message": "m", "actor": DESK}
    return services.alert_raise(**{**values, **changes})


# ---------------------------------------------------------------------------------------------------- status, switch


@pytest.mark.parametrize("path", ["/api/safety", "/api/safety/", "/api/v1/safety"])
def test_the_status_names_paper_mode_switch_and_limits(api: Api, path: str) -> None:
    body = api("viewer").get(path).json()
    assert body["paper_mode"] is True
    assert body["kill_switch"]["active"] is False
    assert (body["daily_trade_limit"], body["trades_today"]) == (20, 0)
    assert (body["position_limit"], body["order_notional_limit"]) == ("50000", "25000")
    assert body["trading_state"] == "active"
    assert set(body["limits"]) == set(selectors.CODE_OF)


def test_a_kill_without_a_body_stops_everything(api: Api) -> None:
    response = api("operator").post("/api/safety/kill")
    assert response.status_code == 200
    body = response.json()
    assert (body["active"], body["scope"], body["changed"], body["degraded"]) == (True, "all", True, False)
    assert body["sources"] == ["database", "file"]
    assert killswitch.state().active
    assert api("viewer").get("/api/safety").json()["trading_state"] == "halted"


@pytest.mark.django_db(transaction=True)
def test_a_kill_is_answered_while_the_database_refuses_writes(api: Api) -> None:
    client = api("operator")
    with refusing_writes():
        answer = client.post("/api/safety/kill", {"reason": "disk full"}, format="json")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["active"], body["degraded"], body["sources"]) == (True, True, ["file"])
        assert client.get("/api/safety").json()["kill_switch"]["reason"] == "disk full"
    assert client.post("/api/safety/resume", {"reason": "disk is free"}, format="json").json()["active"] is False


def test_a_kill_may_name_a_strategy_and_a_reason(api: Api) -> None:
    body = {"scope": str(STRATEGY), "reason": "odd fills"}
    assert api("operator").post("/api/safety/kill", body, format="json").json()["reason"] == "odd fills"
    assert killswitch.state(strategy_id=STRATEGY).active
    assert not killswitch.state().active
    shown = api("viewer").get("/api/safety").json()["killed_strategies"]
    assert [item["strategy_id"] for item in shown] == [str(STRATEGY)]


def test_a_resume_needs_a_reason_and_is_written_down(api: Api) -> None:
    client = api("operator")
    client.post("/api/safety/kill", {"reason": "r"}, format="json")
    refused = client.post("/api/safety/resume", {}, format="json")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "reason"
    answer = client.post("/api/safety/resume", {"reason": "fixed"}, format="json")
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    history = client.get("/api/safety/history").json()["results"]
    assert [(row["action"], row["reason"], row["actor_name"]) for row in history] == [
        ("resumed", "fixed", "operator"),
        ("killed", "r", "operator"),
    ]


def test_what_is_not_killed_cannot_be_resumed(api: Api) -> None:
    answer = api("operator").post("/api/safety/resume", {"reason": "x"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "KILL_SWITCH_NOT_ACTIVE")


@pytest.mark.parametrize("path", ["/api/safety/kill", "/api/safety/resume"])
@pytest.mark.parametrize("who", [None, "viewer", "trader"])
def test_below_operator_nobody_stops_or_resumes(api: Api, path: str, who: str | None) -> None:
    answer = api(who).post(path, {"reason": "x"}, format="json")
    assert answer.status_code == (401 if who is None else 403)
    assert not killswitch.state().active
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scope": "some"}, "scope"),
        ({"scope": "../../etc/passwd"}, "scope"),
        ({"scope": 5}, "scope"),
        ({"reason": "x" * 1001}, "reason"),
        ({"reason": None}, "reason"),
        ({"reason": "a\u0000b"}, "reason"),
        ({"force": True}, "force"),
    ],
)
def test_a_malformed_kill_is_refused_by_field_and_kills_nothing(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api("operator").post("/api/safety/kill", body, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not killswitch.state().active


# ------------------------------------------------------------------------------------------------------------ limits


def test_an_admin_changes_one_limit(api: Api) -> None:
    client = api("admin")
    etag = client.get("/api/safety/limits")["ETag"]
    answer = client.patch("/api/safety/limits", {"daily_trade_limit": 5}, format="json", headers={"If-Match": etag})
    assert answer.status_code == 200
    assert (answer.json()["daily_trade_limit"], answer.json()["version"]) == (5, 2)
    assert answer["ETag"] != etag
    stale = client.patch("/api/safety/limits", {"daily_trade_limit": 6}, format="json", headers={"If-Match": etag})
    assert stale.status_code == 412
    assert selectors.limits_current().daily_trade_limit == 5


def test_put_needs_every_limit(api: Api) -> None:
    client = api("admin")
    body = {
        name: value for name, value in client.get("/api/safety/limits").json().items() if name in selectors.SETTABLE
    }
    assert client.put("/api/safety/limits", {**body, "position_limit": "70000"}, format="json").status_code == 200
    body.pop("paper_mode")
    refused = client.put("/api/safety/limits", body, format="json")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["paper_mode"]


@pytest.mark.parametrize("method", ["put", "patch"])
@pytest.mark.parametrize("who", [None, "viewer", "trader", "operator"])
def test_below_admin_nobody_changes_limits(api: Api, method: str, who: str | None) -> None:
    answer = getattr(api(who), method)("/api/safety/limits", {"daily_trade_limit": 1000}, format="json")
    assert answer.status_code == (401 if who is None else 403)
    assert selectors.limits_current().daily_trade_limit == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_daily_loss", "100"),
        ("version", 7),
        ("position_limit", "-1"),
        ("position_limit", "NaN"),
        ("position_limit", None),
        ("position_limit", ""),
        ("position_limit", 1.5),
        ("order_notional_limit", "Infinity"),
        ("order_notional_limit", "1e40"),
        ("daily_trade_limit", -1),
        ("daily_trade_limit", 1.5),
        ("daily_trade_limit", True),
        ("daily_trade_limit", "20"),
        ("daily_trade_limit", None),
        ("daily_trade_limit", 10**30),
        ("duplicate_window_s", 10**9),
        ("paper_mode", "no"),
        ("paper_mode", None),
        ("paper_mode", 0),
        ("trading_state", "halted"),
        ("trading_state", ""),
    ],
)
def test_a_limit_that_makes_no_sense_is_a_400_that_names_it(api: Api, name: str, value: Any) -> None:
    answer = api("admin").patch("/api/safety/limits", {name: value}, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [name]
    assert selectors.settings_get().version == 1


# ------------------------------------------------------------------------------------------------------- histories


def test_every_verdict_is_listed_newest_first_and_filtered(api: Api) -> None:
    decide(2)
    decide(quantity=D(0), symbol="MSFT")
    client = api("viewer")
    rows = client.get("/api/safety/decisions").json()["results"]
    assert [row["symbol"] for row in rows] == ["MSFT", "AAPL", "AAPL"]
    assert (rows[0]["allowed"], rows[0]["code"], rows[1]["notional"]) == (False, "QUANTITY_INVALID", "1000")
    for query, count in {
        "allowed=false": 1,
        "allowed=true": 2,
        "code=QUANTITY_INVALID": 1,
        "symbol=AAPL": 2,
        f"strategy_id={STRATEGY}": 3,
        f"execution_id={uuid4()}": 0,
        "preview=true": 0,
        "created_after=2020-01-01": 3,
    }.items():
        assert len(client.get(f"/api/safety/decisions?{query}").json()["results"]) == count, query


def test_verdicts_are_paged_by_cursor(api: Api) -> None:
    decide(5, preview=True)
    client = api("viewer")
    seen: list[str] = []
    url: str | None = "/api/safety/decisions?page_size=2&count=true"
    while url:
        body = client.get(url).json()
        assert body["count"] == 5
        seen += [row["client_order_id"] for row in body["results"]]
        url = body["next"]
    assert seen == [f"order-{index}" for index in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "query",
    ["allowed=maybe", "code=NOPE", "strategy_id=1", "cursor=x", "page_size=0", "unknown=1", "created_after=soon"],
)
def test_a_wrong_parameter_is_a_400_that_names_it(api: Api, query: str) -> None:
    answer = api("viewer").get(f"/api/safety/decisions?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == query.split("=")[0]


def test_alert_history_is_ordered_most_recent_first(api: Api) -> None:
    for name in ("first", "second", "third"):
        alert(name=name, symbol="AAPL", value=D("1.50"))
    body = api("viewer").get("/api/alerts/history").json()
    assert [row["name"] for row in body["results"]] == ["third", "second", "first"]
    assert set(body["results"][0]) >= {
        "id", "alert_id", "name", "kind", "severity", "symbol", "value", "threshold", "message", "triggered_at",
        "acknowledged_at",
    }  # fmt: skip
    assert body["results"][0]["value"] == "1.5"


def test_alert_history_pages_without_losing_alerts_of_one_moment(api: Api, frozen_clock: Any) -> None:
    for index in range(5):
        alert(name=str(index))
    client, url, seen = api("viewer"), "/api/alerts/history?page_size=2", []
    while url:
        body = client.get(url).json()
        seen += [row["name"] for row in body["results"]]
        url = body["next"]
    assert seen == ["4", "3", "2", "1", "0"]


def test_an_operator_acknowledges_an_alert(api: Api) -> None:
    event = alert()
    path = f"/api/alerts/history/{event.pk}/acknowledge"
    assert api("trader").post(path).status_code == 403
    answer = api("operator").post(path)
    assert answer.status_code == 200
    assert answer.json()["acknowledged_by"] == "operator"
    assert answer.json()["acknowledged_at"].endswith("Z")
    client = api("viewer")
    assert client.get("/api/alerts/history?acknowledged=false").json()["results"] == []
    assert len(client.get("/api/alerts/history?acknowledged=true").json()["results"]) == 1
    assert client.get(f"/api/alerts/history/{event.pk}").json()["name"] == "n"


def test_an_alert_that_is_not_there_is_a_404_and_a_wrong_id_a_400(api: Api) -> None:
    client = api("operator")
    assert client.post(f"/api/alerts/history/{uuid4()}/acknowledge").json()["code"] == "ALERT_NOT_FOUND"
    assert client.post("/api/alerts/history/seven/acknowledge").status_code == 400


def test_the_audit_log_is_for_operators_and_names_the_request(api: Api) -> None:
    api("operator").post("/api/safety/kill", {"reason": "r"}, format="json", headers={"X-Request-Id": "request-0001"})
    assert api("trader").get("/api/audit").status_code == 403
    rows = api("operator").get("/api/audit?action=kill_switch.kill").json()["results"]
    assert len(rows) == 1
    assert (rows[0]["actor_name"], rows[0]["reason"], rows[0]["target_id"]) == ("operator", "r", "all")
    assert (rows[0]["request_id"], rows[0]["door"]) == ("request-0001", "request")
    assert api("operator").get("/api/audit?target_type=nothing").json()["results"] == []


@pytest.mark.parametrize("path", ["/api/safety/decisions", "/api/alerts/history", "/api/audit", "/api/safety/history"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_histories_cannot_be_written(api: Api, path: str, method: str) -> None:
    decide(preview=True)
    assert getattr(api("admin"), method)(path, {}, format="json").status_code in (403, 405)
    assert GateDecision.objects.count() == 1
