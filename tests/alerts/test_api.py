"""Alert rules over HTTP: made, found, changed, snoozed, acknowledged; and which field is wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from safety.models import AlertEvent, AlertRule, AuditLog
from tests.alerts.conftest import Watchman
from tests.conftest import user_with_role
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.roles import Role
from workflows.models import Strategy, Workflow

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]

BODY = {"name": "ACME is dear", "kind": "price_above", "symbol": "ACME", "threshold": "100"}
RUN = "0190a0b0-0000-7000-8000-000000000000"


@pytest.fixture
def trading(api: Api, watch: Watchman) -> APIClient:
    return api("trader")


def made(client: APIClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/api/alerts", {**BODY, **fields}, format="json")
    assert response.status_code == 201, response.json()
    body: dict[str, Any] = response.json()
    return body


def pointers(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {error["pointer"]: error["code"] for error in response.json()["errors"]}


@pytest.mark.parametrize("path", ["/api/alerts", "/api/alerts/", "/api/v1/alerts"])
def test_a_rule_is_made_with_its_defaults_and_waits_for_its_first_look(trading: APIClient, path: str) -> None:
    response = trading.post(path, BODY, format="json")
    assert response.status_code == 201
    body = response.json()
    assert response["Location"].endswith(body["id"])
    assert response["ETag"] == f'"{body["id"]}-1"'
    assert (body["threshold"], body["severity"], body["cooldown_s"], body["channels"]) == (
        "100",
        "warning",
        0,
        ["in_app"],
    )
    assert (body["enabled"], body["owner"], body["snoozed_until"]) == (True, "trader", None)
    assert body["config"] == {"source": None, "timeframe": "1d", "adjustment": None, "max_age_s": None}
    assert (body["state"]["status"], body["state"]["triggered_count"]) == ("waiting", 0)
    assert AuditLog.objects.filter(action="alert.create", target_id=body["id"]).count() == 1


def test_a_rule_shows_what_the_last_look_said(trading: APIClient, watch: Watchman) -> None:
    rule = made(trading)
    watch.look(101)
    state = trading.get(f"/api/alerts/{rule['id']}").json()["state"]
    assert (state["status"], state["code"], state["value"], state["triggered_count"]) == ("met", "", "101", 1)
    assert state["observed_at"] == "2026-01-03T00:00:00Z"
    void = made(trading, symbol="GENERATED", config={"source": "demo", "timeframe": "1d", "adjustment": "split"})
    watch.look()
    state = trading.get(f"/api/alerts/{void['id']}").json()["state"]
    assert (state["status"], state["code"]) == ("unknown", "SERIES_UNKNOWN")
    assert state["detail"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"kind": "price_sideways"}, {"kind": "invalid_choice"}),
        ({"name": " "}, {"name": "blank"}),
        ({"symbol": ""}, {"symbol": "required"}),
        ({"symbol": "acme"}, {"symbol": "symbol"}),
        ({"symbol": "NOSUCH"}, {"symbol": "unknown_symbol"}),
        ({"threshold": None}, {"threshold": "required"}),
        ({"threshold": "0"}, {"threshold": "out_of_range"}),
        ({"threshold": "-5"}, {"threshold": "out_of_range"}),
        ({"threshold": "NaN"}, {"threshold": "not_finite"}),
        ({"threshold": 1.5}, {"threshold": "invalid"}),
        ({"severity": "loud"}, {"severity": "invalid_choice"}),
        ({"cooldown_s": -1}, {"cooldown_s": "out_of_range"}),
        ({"cooldown_s": 10**9}, {"cooldown_s": "out_of_range"}),
        ({"channels": []}, {"channels": "min_length"}),
        ({"channels": ["pigeon"]}, {"channels/0": "invalid_choice"}),
        ({"channels": ["in_app", "email"]}, {"channels/1": "email_not_set_up"}),
        ({"colour": "red"}, {"colour": "unknown_field"}),
        ({"config": []}, {"config": "invalid"}),
        ({"config": {"timeframe": "2d"}}, {"config/timeframe": "invalid_choice"}),
        ({"config": {"max_age_s": 0, "colour": 1}}, {"config/colour": "unknown_field"}),
        ({"config": {"max_age_s": 0}}, {"config/max_age_s": "min_value"}),
        ({"kind": "price_crosses", "config": {"direction": "sideways"}}, {"config/direction": "invalid_choice"}),
        ({"kind": "percent_move", "config": {"bars": 0}}, {"config/bars": "min_value"}),
        ({"kind": "indicator", "config": {}}, {"config/indicator": "required", "config/operator": "required"}),
        ({"kind": "indicator", "config": {"indicator": "astrology", "operator": "above"}},
         {"config/indicator": "invalid_choice"}),
        ({"kind": "indicator", "config": {"indicator": "obv", "operator": "above"}}, {"config/indicator": "invalid_choice"}),
        ({"kind": "indicator", "config": {"indicator": "rsi", "operator": "above", "params": {"period": 1}}},
         {"config/params/period": "out_of_range"}),
        ({"kind": "indicator", "config": {"indicator": "rsi", "operator": "above", "output": "upper"}},
         {"config/output": "invalid_choice"}),
        ({"kind": "indicator", "threshold": None, "config": {"indicator": "rsi", "operator": "above"}},
         {"threshold": "invalid"}),
        ({"kind": "indicator", "config": {"indicator": "rsi", "operator": "above", "against": {"indicator": "price"}}},
         {"threshold": "invalid"}),
        ({"kind": "indicator", "threshold": None,
          "config": {"indicator": "rsi", "operator": "above", "against": {"indicator": "sma", "params": {"on": "x"}}}},
         {"config/against/params/on": "invalid_choice"}),
        ({"kind": "data_stale"}, {"threshold": "not_allowed", "config/max_age_s": "required"}),
        ({"kind": "drawdown", "symbol": ""}, {"threshold": "out_of_range"}),
        ({"kind": "drawdown", "threshold": "0.1"}, {"symbol": "not_allowed"}),
        ({"kind": "daily_loss", "symbol": "", "threshold": "2", "config": {"unit": "fraction"}},
         {"threshold": "out_of_range"}),
        ({"kind": "drift", "symbol": "", "threshold": "0.1"}, {"config/goal_id": "required"}),
        ({"kind": "expression", "threshold": None, "config": {"expression": "price >"}},
         {"config/expression": "invalid_expression"}),
        ({"kind": "expression", "threshold": None, "config": {"expression": "__import__('os')"}},
         {"config/expression": "invalid_expression"}),
        ({"kind": "expression", "threshold": None, "config": {"expression": "1 > 0"}}, {"config/expression": "constant"}),
        ({"kind": "expression", "threshold": None, "symbol": "", "config": {"expression": "price > 1"}},
         {"symbol": "required"}),
        ({"kind": "expression", "threshold": None, "config": {"expression": "drawdown > 0.1"}}, {"symbol": "not_allowed"}),
        ({"kind": "agent_decision", "threshold": None, "config": {"min_confidence": "2"}},
         {"config/min_confidence": "maximum"}),
        ({"kind": "agent_decision", "threshold": None, "config": {"actions": ["SHORT"]}},
         {"config/actions/0": "invalid_choice"}),
        ({"kind": "kill_switch", "threshold": None, "symbol": "", "config": {"on": []}}, {"config/on": "min_length"}),
        ({"kind": "execution_failed", "threshold": None, "symbol": "", "config": {"workflow_id": "x"}},
         {"config/workflow_id": "invalid"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(trading: APIClient, change: dict[str, Any], wrong: dict[str, str]) -> None:
    found = pointers(trading.post("/api/alerts", {**BODY, **change}, format="json"))
    assert found.items() >= wrong.items()
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize("kind", ["execution_failed", "agent_decision"])
def test_a_rule_takes_what_is_there_and_keeps_what_is_deleted_later(trading: APIClient, kind: str) -> None:
    flow = Workflow.objects.create(name="there", type="custom")
    strategy = Strategy.objects.create(name="there")
    gone = Strategy.objects.create(name="gone", deleted_at=utcnow())
    listening = {"kind": kind, "symbol": "", "threshold": None}
    rule = made(trading, **listening)
    killed = {"kind": "kill_switch", "symbol": "", "threshold": None}
    for scope in ("everything", str(gone.pk)):
        answer = trading.post("/api/alerts", {**BODY, **killed, "config": {"scope": scope}}, format="json")
        assert pointers(answer) == {"config/scope": "unknown_strategy"}
    for known in ("all", str(strategy.pk)):
        made(trading, **killed, config={"scope": known})
    for pointer, unknown in (("strategy_id", gone.pk), ("strategy_id", flow.pk), ("workflow_id", strategy.pk)):
        config = {pointer: str(unknown)}
        for answer in (
            trading.post("/api/alerts", {**BODY, **listening, "config": config}, format="json"),
            trading.patch(f"/api/alerts/{rule['id']}", {"config": config}, format="json"),
        ):
            assert pointers(answer) == {f"config/{pointer}": f"unknown_{pointer.removesuffix('_id')}"}
    config = {"strategy_id": str(strategy.pk), "workflow_id": str(flow.pk)}
    assert trading.patch(f"/api/alerts/{rule['id']}", {"config": config}, format="json").status_code == 200
    Strategy.objects.update(deleted_at=utcnow())
    Workflow.objects.update(deleted_at=utcnow())
    kept = trading.patch(f"/api/alerts/{rule['id']}", {"name": "Renamed", "config": config}, format="json")
    assert (kept.status_code, kept.json()["name"]) == (200, "Renamed")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "price_below"},
        {"kind": "price_crosses", "config": {"direction": "up"}},
        {"kind": "percent_move", "threshold": "3", "config": {"bars": 5, "timeframe": "1h", "source": "demo"}},
        {"kind": "indicator", "threshold": "70", "config": {"indicator": "rsi", "operator": "crosses_above"}},
        {"kind": "indicator", "threshold": None,
         "config": {"indicator": "price", "operator": "below", "against": {"indicator": "bbands", "output": "lower"}}},
        {"kind": "data_stale", "threshold": None, "config": {"max_age_s": 900}},
        {"kind": "drawdown", "symbol": "", "threshold": "0.1"},
        {"kind": "daily_loss", "symbol": "", "threshold": "500", "config": {"unit": "money"}},
        {"kind": "drift", "symbol": "", "threshold": "0.05", "config": {"goal_id": RUN}},
        {"kind": "expression", "threshold": None, "config": {"expression": "price > 1 and drawdown > 0.1"}},
        {"kind": "execution_failed", "symbol": "", "threshold": None, "config": {"strategy_id": RUN}},
        {"kind": "agent_decision", "threshold": None, "config": {"actions": ["SELL"], "min_confidence": "0.8"}},
        {"kind": "kill_switch", "symbol": "", "threshold": None, "config": {"on": ["killed"]}},
    ],
)  # fmt: skip
def test_every_kind_can_be_made_and_read_back_and_is_looked_at(
    trading: APIClient, watch: Watchman, change: dict[str, Any]
) -> None:
    Strategy.objects.create(pk=RUN, name="Crossing")
    body = made(trading, **change)
    assert trading.get(f"/api/alerts/{body['id']}").json()["config"] == body["config"]
    watch.look()
    state = trading.get(f"/api/alerts/{body['id']}").json()["state"]
    assert state["status"] != "waiting" or change["kind"] == "price_crosses"
    assert state["code"] != "RULE_UNREADABLE"


def test_the_kinds_are_listed_with_their_schemas(trading: APIClient) -> None:
    kinds = {row["kind"]: row for row in trading.get("/api/alerts/kinds").json()}
    assert len(kinds) == 13
    assert (kinds["price_above"]["symbol"], kinds["price_above"]["threshold"]) == ("required", "required")
    assert "max_age_s" in kinds["data_stale"]["config_schema"]["required"]
    assert kinds["expression"]["figures"]["price"] == "the newest price known"


def test_rules_are_listed_filtered_and_searched(trading: APIClient, watch: Watchman) -> None:
    first = made(trading, name="first", severity="critical")
    second = made(trading, name="second", kind="price_below", enabled=False)
    watch.look(101)

    def ids(query: str) -> list[str]:
        response = trading.get(f"/api/alerts?{query}")
        assert response.status_code == 200, response.content
        return [row["id"] for row in response.json()["results"]]

    assert ids("") == [second["id"], first["id"]]
    assert ids("ordering=name") == [first["id"], second["id"]]
    assert ids("kind=price_below") == ids("enabled=false") == ids("search=second") == [second["id"]]
    assert ids("severity=critical") == ids("status=met") == [first["id"]]
    assert ids("status=waiting") == [second["id"]]
    assert ids("owner=trader&symbol=ACME") == [second["id"], first["id"]]
    assert ids("owner=nobody") == ids("status=clear") == ids("status=unknown") == ids("status=listening") == []
    assert trading.get("/api/alerts?colour=red").status_code == 400


def test_a_rule_is_replaced_changed_deleted_and_restored(trading: APIClient) -> None:
    rule = made(trading, cooldown_s=60)
    address = f"/api/alerts/{rule['id']}"
    changed = trading.patch(address, {"threshold": "120"}, format="json")
    assert (changed.json()["threshold"], changed.json()["cooldown_s"]) == ("120", 60)
    whole = trading.put(address, {**BODY, "name": "whole"}, format="json").json()
    assert (whole["name"], whole["threshold"], whole["cooldown_s"]) == ("whole", "100", 0)
    assert trading.put(address, {"name": "x"}, format="json").status_code == 400
    assert trading.patch(address, {"kind": "drawdown"}, format="json").status_code == 400
    assert trading.delete(address).status_code == 204
    assert trading.get(address).status_code == 404
    assert [row["id"] for row in trading.get("/api/alerts?deleted=true").json()["results"]] == [rule["id"]]
    restored = trading.post(f"{address}/restore").json()
    assert (restored["id"], restored["enabled"]) == (rule["id"], False)
    assert trading.post(f"{address}/restore").status_code == 409


def test_two_who_change_one_rule_do_not_overwrite_each_other(trading: APIClient) -> None:
    rule = made(trading)
    address, seen = f"/api/alerts/{rule['id']}", {"If-Match": f'"{rule["id"]}-1"'}
    assert trading.patch(address, {"name": "mine"}, format="json", headers=seen).status_code == 200
    assert trading.patch(address, {"name": "yours"}, format="json", headers=seen).status_code == 412
    assert trading.delete(address, headers=seen).status_code == 412
    assert trading.get(address).json()["name"] == "mine"


def test_a_look_changes_no_etag(trading: APIClient, watch: Watchman) -> None:
    rule = made(trading)
    before = trading.get(f"/api/alerts/{rule['id']}")["ETag"]
    watch.look(101)
    assert trading.get(f"/api/alerts/{rule['id']}")["ETag"] == before


def test_a_rule_is_enabled_disabled_snoozed_and_woken(trading: APIClient, frozen_clock: Any) -> None:
    address = f"/api/alerts/{made(trading)['id']}"
    assert trading.post(f"{address}/disable").json()["enabled"] is False
    assert trading.post(f"{address}/enable").json()["enabled"] is True
    for_an_hour = trading.post(f"{address}/snooze", {"for_s": 3600}, format="json").json()
    assert for_an_hour["snoozed_until"] == rfc3339(utcnow() + timedelta(hours=1))
    until = "2026-01-09T08:00:00+01:00"
    assert trading.post(f"{address}/snooze", {"until": until}, format="json").json()["snoozed_until"] == (
        "2026-01-09T07:00:00Z"
    )
    assert trading.post(f"{address}/unsnooze").json()["snoozed_until"] is None
    wrong = [{}, {"for_s": 1, "until": until}, {"for_s": 0}, {"until": "2020-01-01T00:00:00Z"}]
    wrong += [{"until": "2030-01-01T00:00:00Z"}, {"until": "2026-01-09T08:00:00"}]
    for body in wrong:
        assert trading.post(f"{address}/snooze", body, format="json").status_code == 400, body
    assert AuditLog.objects.filter(action="alert.snooze").count() == 2


def test_the_alerts_of_a_rule_are_acknowledged_together(trading: APIClient, watch: Watchman) -> None:
    rule = made(trading)
    watch.look(101, 99, 102)
    other = AlertEvent.objects.create(name="n", kind="notify", severity="info", message="m")
    address = f"/api/alerts/{rule['id']}/acknowledge"
    assert trading.post(address).json() == {"acknowledged": 2}
    assert trading.post(address).json() == {"acknowledged": 0}
    history = trading.get("/api/alerts/history?acknowledged=true").json()["results"]
    assert {row["acknowledged_by"] for row in history} == {"trader"}
    assert len(history) == 2
    assert AlertEvent.objects.get(pk=other.pk).acknowledged_at is None


def test_the_history_tells_of_rules_and_is_read_page_by_page(trading: APIClient, watch: Watchman) -> None:
    rule = made(trading, severity="critical")
    watch.look(101, 99, 102, 99, 103)
    seen: list[str] = []
    address = f"/api/alerts/history?alert_id={rule['id']}&page_size=2"
    while address:
        page = trading.get(address).json()
        seen += [row["value"] for row in page["results"]]
        address = page["next"]
    assert seen == ["103", "102", "101"]
    (newest, *_) = trading.get("/api/alerts/history?severity=critical&kind=price_above&symbol=ACME").json()["results"]
    assert (newest["name"], newest["threshold"], newest["email"]) == ("ACME is dear", "100", None)
    assert parse_datetime(newest["triggered_at"]) > datetime(2026, 1, 1, tzinfo=UTC)  # type: ignore[operator]
    assert trading.get("/api/alerts/history?severity=info").json()["results"] == []


def test_a_trader_writes_its_own_rules_and_an_operator_all(trading: APIClient, api: Api) -> None:
    rule = made(trading)
    address = f"/api/alerts/{rule['id']}"
    stranger = api(user_with_role(Role.TRADER, "stranger"))
    assert stranger.get(address).status_code == 200
    for method, path in (
        ("patch", address), ("delete", address), ("post", f"{address}/disable"), ("post", f"{address}/unsnooze"),
        ("post", f"{address}/acknowledge"),
    ):  # fmt: skip
        answer = getattr(stranger, method)(path, {"name": "x"} if method == "patch" else None, format="json")
        assert answer.status_code == 403, path
    assert stranger.post(f"{address}/snooze", {"for_s": 5}, format="json").status_code == 403
    assert api("viewer").post("/api/alerts", BODY, format="json").status_code == 403
    assert api("operator").patch(address, {"name": "x"}, format="json").status_code == 200
    assert trading.get(address).json()["owner"] == "trader"


def test_the_last_round_is_told(trading: APIClient, viewer: AbstractBaseUser, watch: Watchman) -> None:
    from safety.alerting.rounds import evaluate_if_due

    assert trading.get("/api/alerts/evaluation").json()["finished_at"] is None
    made(trading)
    assert evaluate_if_due(every_s=2) is not None
    told = trading.get("/api/alerts/evaluation").json()
    assert (told["rules"], told["unknown"]) == (1, 0)
    assert told["finished_at"] is not None


def test_a_rule_made_by_the_desk_itself_has_no_owner(watch: Watchman, api: Api) -> None:
    rule = watch.rule(actor=Actor.system("test"))
    assert api("viewer").get(f"/api/alerts/{rule.pk}").json()["owner"] is None
    assert api("trader").delete(f"/api/alerts/{rule.pk}").status_code == 403
