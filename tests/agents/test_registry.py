"""The registry of agents: what may stand in it, who may change it, and that it never holds a key."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from rest_framework.test import APIClient

from agents.models import Agent
from agents.services import agent_create
from safety.models import AuditLog
from tests.agents.conftest import SYSTEM
from tests.conftest import user_with_role
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


def refused(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


def test_an_agent_is_registered_read_and_listed(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    made = client.post("/api/v1/agents", body, format="json")
    assert made.status_code == 201, made.content
    agent = made.json()
    assert made["Location"] == f"/api/v1/agents/{agent['id']}"
    assert {name: agent[name] for name in body} == body
    assert agent["max_iterations"] == 5
    assert agent["enabled"] is True
    assert agent["created_by"] == "trader"
    assert agent["health"] == {"status": "unknown", "checked_at": None, "latency_ms": None, "error": None}
    read = api("viewer").get(made["Location"])
    assert read.json() == agent
    assert read["ETag"] == made["ETag"]
    listed = api("viewer").get("/api/agents/").json()
    assert listed["count"] == 1
    assert listed["results"] == [agent]


def test_every_kind_says_where_it_stands(api: Api) -> None:
    client = api("trader")
    rule = {"name": "Cross", "kind": "rule", "endpoint": "sma_crossover"}
    model = {"name": "Analyst", "kind": "llm", "endpoint": "https://llm.example.com/v1", "llm_config": {"model": "m"}}
    offline = {"name": "Offline", "kind": "llm", "llm_config": {"model": "rules"}}
    for good in (rule, model, offline):
        assert client.post("/api/agents", good, format="json").status_code == 201, good
    assert set(refused(client.post("/api/agents", {**rule, "name": "A", "endpoint": "luck"}, format="json"))) == {
        "endpoint"
    }
    assert set(refused(client.post("/api/agents", {**model, "name": "A", "llm_config": {}}, format="json"))) == {
        "llm_config/model"
    }
    assert set(refused(client.post("/api/agents", {"name": "A", "kind": "http"}, format="json"))) == {"endpoint"}
    assert set(refused(client.post("/api/agents", {"name": "A", "kind": "human"}, format="json"))) == {"kind"}


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("name", "two words", "name"),
        ("name", "0190a0b0-0000-7000-8000-000000000000", "name"),
        ("endpoint", "ftp://agents.example.com/", "endpoint"),
        ("endpoint", "https://user:word@agents.example.com/", "endpoint"),
        ("endpoint", "https://agents.example.com/?api_key=abc", "endpoint"),
        ("endpoint", "https://agents.example.com:99999/", "endpoint"),
        ("endpoint", "https:///path", "endpoint"),
        ("endpoint", "https://agents.example.com/a b", "endpoint"),
        ("health_url", "javascript:alert(1)", "health_url"),
        ("llm_config", {"model": "m", "nested": [{"api_key": "sk-123"}]}, "llm_config/nested/0/api_key"),
        ("llm_config", {"model": "m", "headers": {"Authorization": "Bearer x"}}, "llm_config/headers/Authorization"),
        ("llm_config", {"model": "m", "api_key_env": "OTHER"}, "llm_config/api_key_env"),
        ("llm_config", {"model": "m" * 20_000}, "llm_config"),
        ("llm_config", [1], "llm_config"),
        ("api_key_env", "sk-live-abcdef", "api_key_env"),
        ("tools", ["Search"], "tools/0"),
        ("tools", ["search", "search"], "tools/1"),
        ("max_iterations", 0, "max_iterations"),
        ("colour", "red", "colour"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    api: Api, body: dict[str, Any], field: str, value: Any, pointer: str
) -> None:
    errors = refused(api("trader").post("/api/agents", {**body, field: value}, format="json"))
    assert pointer in errors
    assert not Agent.objects.exists()


def test_in_production_an_address_is_https(api: Api, body: dict[str, Any], settings: Any) -> None:
    plain = {**body, "endpoint": "http://agents.example.com/decide"}
    settings.PRODUCTION = True
    assert set(refused(api("trader").post("/api/agents", plain, format="json"))) == {"endpoint"}
    settings.PRODUCTION = False
    assert api("trader").post("/api/agents", plain, format="json").status_code == 201


def test_a_key_is_told_only_to_the_host_that_the_settings_pair_it_with(
    api: Api, body: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWS_TOKEN", "the-secret-itself")
    client = api("trader")
    keyed = {**body, "api_key_env": "NEWS_TOKEN"}
    answer = client.post("/api/agents", keyed, format="json")
    assert refused(answer) == {"api_key_env": "not_allowed"}
    assert "AGENT_KEYS=NEWS_TOKEN@agents.example.com" in answer.json()["detail"]
    settings.AGENT_KEYS = ["NEWS_TOKEN@agents.example.com", "OTHER@agents.example.com:8443"]
    assert refused(client.post("/api/agents", {**keyed, "api_key_env": "SECRET_KEY"}, format="json"))
    assert refused(client.post("/api/agents", {**keyed, "endpoint": "https://evil.example.net/"}, format="json"))
    assert refused(client.post("/api/agents", {**keyed, "health_url": "https://evil.example.net/"}, format="json"))
    assert refused(client.post("/api/agents", {**keyed, "api_key_env": "OTHER"}, format="json"))
    made = client.post("/api/agents", keyed, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["api_key_env"] == "NEWS_TOKEN"
    assert "the-secret-itself" not in made.content.decode()
    assert not AuditLog.objects.filter(after__icontains="the-secret-itself").exists()


def test_a_pair_that_cannot_be_understood_stops_the_start(settings: Any) -> None:
    settings.AGENT_KEYS = ["OPENAI_API_KEY", "GOOD@host.example.com"]
    assert [(found.id, "OPENAI_API_KEY" in found.msg) for found in run_checks()] == [("desk.E030", True)]


def test_a_trader_changes_its_own_and_an_operator_everybodys(api: Api, body: dict[str, Any]) -> None:
    made = api("trader").post("/api/agents", body, format="json")
    here = made["Location"]
    stranger = api(user_with_role(Role.TRADER, "stranger"))
    for call in (
        lambda client: client.put(here, body, format="json"),
        lambda client: client.patch(here, {"enabled": False}, format="json"),
        lambda client: client.delete(here),
        lambda client: client.post(f"{here}/restore", {}, format="json"),
    ):
        assert call(stranger).status_code == 403
    assert Agent.objects.get().enabled
    assert api("operator").patch(here, {"enabled": False}, format="json").json()["enabled"] is False
    assert api("trader").patch(here, {"enabled": True}, format="json").json()["enabled"] is True


def test_nobody_overwrites_what_somebody_else_has_changed_meanwhile(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    made = client.post("/api/agents", body, format="json")
    here, tag = made["Location"], made["ETag"]
    first = client.patch(here, {"description": "New."}, format="json", headers={"If-Match": tag})
    assert first.status_code == 200
    assert first["ETag"] != tag
    for late in (
        client.patch(here, {"description": "Old."}, format="json", headers={"If-Match": tag}),
        client.put(here, body, format="json", headers={"If-Match": tag}),
        client.delete(here, headers={"If-Match": tag}),
    ):
        assert late.status_code == 412
    assert client.get(here).json()["description"] == "New."
    assert client.delete(here, headers={"If-Match": first["ETag"]}).status_code == 204


def test_a_put_replaces_and_a_patch_leaves_the_rest(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    here = client.post("/api/agents", body, format="json")["Location"]
    assert client.patch(here, {"max_iterations": 9}, format="json").json()["tools"] == ["search_news"]
    replaced = client.put(
        here, {"name": "NewsDesk", "kind": "http", "endpoint": body["endpoint"]}, format="json"
    ).json()
    assert (replaced["tools"], replaced["max_iterations"], replaced["description"]) == ([], 5, "")


def test_a_deleted_agent_is_hidden_its_name_is_free_and_it_comes_back(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    here = client.post("/api/agents", body, format="json")["Location"]
    assert client.post(f"{here}/restore", {}, format="json").json()["code"] == "NOT_DELETED"
    assert client.delete(here).status_code == 204
    assert client.get(here).status_code == 404
    assert client.get("/api/agents").json()["count"] == 0
    assert client.get("/api/agents?deleted=true").json()["count"] == 1
    second = client.post("/api/agents", body, format="json")
    assert second.status_code == 201
    assert client.post(f"{here}/restore", {}, format="json").json()["code"] == "NAME_TAKEN"
    client.delete(second["Location"])
    assert client.post(f"{here}/restore", {}, format="json").status_code == 200
    assert client.get(here).status_code == 200


def test_a_name_is_unique_among_the_living(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    client.post("/api/agents", body, format="json")
    answer = client.post("/api/agents", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")


def test_the_list_is_filtered_searched_and_sorted(api: Api) -> None:
    for name, kind, endpoint in (("Beta", "http", "https://b.example.com"), ("Alpha", "rule", "macd")):
        agent_create(actor=SYSTEM, name=name, kind=kind, endpoint=endpoint, enabled=kind == "rule")
    Agent.objects.filter(name="Alpha").update(health_status="ok")
    client = api("viewer")

    def names(query: str) -> list[str]:
        return [row["name"] for row in client.get(f"/api/agents?{query}").json()["results"]]

    assert names("ordering=name") == ["Alpha", "Beta"]
    assert names("kind=http") == ["Beta"]
    assert names("enabled=true") == ["Alpha"]
    assert names("health=unknown") == ["Beta"]
    assert names("search=ALPH") == ["Alpha"]
    assert set(refused(client.get("/api/agents?kind=human"))) == {"kind"}
    assert set(refused(client.get("/api/agents?colour=red"))) == {"colour"}


def test_each_change_has_its_audit_row(api: Api, body: dict[str, Any]) -> None:
    client = api("trader")
    here = client.post("/api/agents", body, format="json")["Location"]
    client.patch(here, {"enabled": False}, format="json")
    client.delete(here)
    client.post(f"{here}/restore", {}, format="json")
    rows = AuditLog.objects.filter(action__startswith="agent.").order_by("pk")
    assert [row.action for row in rows] == ["agent.create", "agent.update", "agent.delete", "agent.restore"]
    assert {row.actor_name for row in rows} == {"trader"}
    changed = rows[1]
    assert (changed.before["enabled"], changed.after["enabled"]) == (True, False)


def test_an_agent_that_is_not_valid_any_more_can_still_be_switched_off(
    api: Api, body: dict[str, Any], settings: Any
) -> None:
    settings.AGENT_KEYS = ["NEWS_TOKEN@agents.example.com"]
    client = api("trader")
    here = client.post("/api/agents", {**body, "api_key_env": "NEWS_TOKEN"}, format="json")["Location"]
    settings.AGENT_KEYS = []
    assert client.patch(here, {"enabled": False}, format="json").status_code == 200
    assert set(refused(client.patch(here, {"enabled": True}, format="json"))) == {"api_key_env"}
