"""A probe asks for real, and what it finds is kept without being a change of the agent."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Agent
from agents.services import agent_create, agent_probe, agent_update
from safety.models import AuditLog
from tests.agents.conftest import SYSTEM
from tests.agents.program import Call, Program, answering
from tradingsite.common import clock
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


def found(agent: Agent) -> tuple[str, str]:
    """Probe as if the last probe were long ago."""
    Agent.objects.filter(pk=agent.pk).update(health_checked_at=None)
    health = agent_probe(agent_id=agent.pk).health
    return health["status"], health["error"] or ""


def test_a_program_that_answers_is_well(api: Api, desk: Agent, program: Program) -> None:
    before = api("viewer").get(f"/api/agents/{desk.pk}")
    health = api("viewer").get(f"/api/agents/{desk.pk}/health")
    assert health.status_code == 200
    assert (health.json()["status"], health.json()["error"]) == ("ok", None)
    assert health.json()["latency_ms"] > 0
    assert [(call.method, call.path) for call in program.calls] == [("GET", "/health")]
    after = api("viewer").get(f"/api/agents/{desk.pk}")
    assert after.json()["health"] == health.json()
    assert after["ETag"] == before["ETag"]
    assert not AuditLog.objects.filter(action__contains="probe").exists()


def test_a_program_is_asked_at_the_address_that_it_names_for_this(desk: Agent, program: Program) -> None:
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"health_url": f"{program.url}/alive?deep=1"})
    assert found(desk) == ("ok", "")
    assert program.calls[0].path == "/alive?deep=1"


def test_what_is_wrong_is_said(desk: Agent, program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program.says(answering({}, status=503))
    assert found(desk) == ("failed", "It answered 503.")
    program.says(lambda call: call.answer(302, {}, Location="http://169.254.169.254/"))
    assert found(desk) == ("failed", "It answered 302.")
    monkeypatch.setattr("agents.probes.TIMEOUT_S", 0.3)
    program.says(lambda call: call.sleep(5))
    status, error = found(desk)
    assert (status, "0.3 s" in error) == ("failed", True)
    settings.OUTBOUND_ALLOWED = []
    status, error = found(desk)
    assert (status, "not on the public network" in error) == ("failed", True)


def test_a_model_is_well_when_its_api_offers_it(
    db: None, program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AGENT_KEYS = [f"MODEL_KEY@{program.place}"]
    monkeypatch.setenv("MODEL_KEY", "sk-1")
    agent = agent_create(
        actor=SYSTEM,
        name="Analyst",
        kind="llm",
        endpoint=f"{program.url}/v1/",
        llm_config={"model": "large"},
        api_key_env="MODEL_KEY",
    )

    def models(call: Call) -> None:
        allowed = call.headers.get("authorization") == "Bearer sk-1"
        call.answer(200 if allowed else 401, {"data": [{"id": "small"}, {"id": "large"}]})

    program.says(models)
    assert found(agent) == ("ok", "")
    assert program.calls[0].path == "/v1/models"
    program.says(answering({"data": [{"id": "small"}]}))
    assert found(agent) == ("failed", "It does not offer the model 'large'.")
    for nonsense in ({"data": 7}, {"data": [{"id": []}]}, [], b"<html>", b"[" * 100_000):
        program.says(answering(nonsense))
        assert found(agent) == ("failed", "Its answer is no list of models.")
    monkeypatch.delenv("MODEL_KEY")
    assert found(agent) == ("failed", "The variable MODEL_KEY is empty on this machine.")


def test_a_rule_is_well_while_the_desk_has_it(db: None) -> None:
    agent = agent_create(actor=SYSTEM, name="Trend", kind="rule", endpoint="macd")
    assert found(agent) == ("ok", "")
    Agent.objects.filter(pk=agent.pk).update(endpoint="was_removed")
    assert found(agent) == ("failed", "There is no rule 'was_removed'.")


def test_an_agent_without_an_address_is_not_called_well(db: None) -> None:
    agent = agent_create(actor=SYSTEM, name="Own", kind="llm", llm_config={"model": "rules"})
    assert found(agent)[0] == "unknown"


def test_who_asks_again_at_once_is_told_what_was_found(desk: Agent, program: Program) -> None:
    now = utcnow()
    for seconds, calls in ((0, 1), (4, 1), (6, 2)):
        with clock.frozen(now + timedelta(seconds=seconds)):
            agent_probe(agent_id=desk.pk)
        assert len(program.calls) == calls


def test_a_finding_is_not_written_onto_another_address(desk: Agent, program: Program) -> None:
    def moved_meanwhile(call: Call) -> None:
        program.effects["probed"] += 1
        call.answer(200)

    program.says(moved_meanwhile)
    probed = Agent.objects.get(pk=desk.pk)
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"endpoint": "https://elsewhere.example.com/"})
    with pytest.MonkeyPatch.context() as patch:
        # What it read before the change, as a probe does that was under way.
        patch.setattr("agents.services.probing.agent_get", lambda agent_id: probed)
        assert agent_probe(agent_id=desk.pk).health_status == "ok"
    assert Agent.objects.get(pk=desk.pk).health_status == "unknown"


def test_a_new_address_makes_the_old_finding_void(desk: Agent) -> None:
    assert found(desk) == ("ok", "")
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"description": "Still here."})
    assert Agent.objects.get().health_status == "ok"
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"endpoint": "https://elsewhere.example.com/"})
    assert Agent.objects.get().health == {"status": "unknown", "checked_at": None, "latency_ms": None, "error": None}
