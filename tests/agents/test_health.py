"""A probe asks for real, and what it finds is kept without being a change of the agent."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from agents import duties
from agents.models import Agent
from agents.probes import Finding, probe
from agents.services import agent_create, agent_delete, agent_probe, agent_update, agents_check
from agents.services.probing import HealthRound
from safety.models import AlertEvent, AuditLog
from tests.agents import model_api
from tests.agents.conftest import SYSTEM
from tests.agents.program import Act, Call, Program, answering
from tradingsite.common import clock
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Job, job_types

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


def test_a_model_whose_api_keeps_no_list_is_asked_for_one_token(db: None, program: Program) -> None:
    agent = agent_create(
        actor=SYSTEM, name="Local", kind="llm", endpoint=f"{program.url}/v1", llm_config={"model": "local"}
    )

    def no_list(then: Act) -> Act:
        return lambda call: call.answer(404, {}) if call.method == "GET" else then(call)

    program.says(no_list(model_api.says("Yes", finish="length")))
    assert found(agent) == ("ok", "")
    assert [(call.method, call.path) for call in program.calls] == [
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
    ]
    assert (program.calls[1].json["model"], program.calls[1].json["max_tokens"]) == ("local", 1)
    program.says(no_list(model_api.says("", finish="length")))
    assert found(agent) == ("ok", ""), "its limit of one token came before a word"
    program.says(no_list(answering({}, status=404)))
    assert found(agent)[1] == "It keeps no list of models, and answered 404 when it was asked for a token."
    program.says(no_list(answering({"choices": []})))
    assert found(agent) == ("failed", "The model's answer is not usable: it holds no choices.")


# --- the round


def alerts() -> list[tuple[str, str, str]]:
    rows = AlertEvent.objects.filter(kind="agent_health").order_by("triggered_at", "id")
    return [(row.severity, row.name, row.message) for row in rows]


def after(minutes: int) -> Any:
    return clock.frozen(utcnow() + timedelta(minutes=minutes))


def test_an_alert_is_raised_when_an_agent_fails_and_when_it_recovers_and_not_in_between(
    desk: Agent, program: Program
) -> None:
    for minutes, status in enumerate((200, 200, 503, 503, 500, 200, 200)):
        program.says(answering({}, status=status))
        with after(10 * minutes):
            duties.look()
    assert alerts() == [
        ("warning", "Agent NewsDesk fails", "NewsDesk: It answered 503."),
        ("info", "Agent NewsDesk answers again", "NewsDesk: It answers again."),
    ]
    assert len(program.calls) == 7


def test_whoever_finds_it_first_tells_it(api: Api, desk: Agent, program: Program) -> None:
    program.says(answering({}, status=503))
    assert api("viewer").get(f"/api/agents/{desk.pk}/health").json()["status"] == "failed"
    with after(10):
        duties.look()
    assert [name for _, name, _ in alerts()] == ["Agent NewsDesk fails"]


def test_many_agents_that_fail_at_once_are_one_alert(desk: Agent, program: Program) -> None:
    for number in range(30):
        agent_create(actor=SYSTEM, name=f"Agent{number:02}", kind="http", endpoint=f"{program.url}/decide")
    program.says(answering({}, status=503))
    duties.look()
    [(severity, name, message)] = alerts()
    assert (severity, name) == ("warning", "31 agents fail")
    assert message.splitlines()[-1] == "and 11 more."


def test_agents_are_asked_a_few_at_a_time_and_not_one_after_the_other(desk: Agent, program: Program) -> None:
    for number in range(7):
        agent_create(actor=SYSTEM, name=f"Agent{number}", kind="http", endpoint=f"{program.url}/decide")
    together = threading.Barrier(8, timeout=4)

    def meets(call: Call) -> None:
        together.wait()
        call.answer(200)

    program.says(meets)
    assert agents_check() == HealthRound(8)
    assert Agent.objects.filter(health_status="ok").count() == 8


def test_a_round_leaves_out_who_is_switched_off_deleted_or_was_asked_lately(desk: Agent, program: Program) -> None:
    for name in ("Off", "Gone"):
        agent_create(actor=SYSTEM, name=name, kind="http", endpoint=f"{program.url}/decide", enabled=name != "Off")
    agent_delete(actor=SYSTEM, agent_id=Agent.objects.get(name="Gone").pk)
    assert agents_check().asked == 1
    duties.look()
    assert len(program.calls) == 1
    with after(6):
        duties.look()
    assert len(program.calls) == 2


def test_what_was_found_of_an_agent_that_changed_meanwhile_raises_nothing(desk: Agent, program: Program) -> None:
    program.says(answering({}, status=503))
    with pytest.MonkeyPatch.context() as patch:

        def probed_late(agent: Agent) -> Finding:
            finding = probe(agent)
            agent_update(actor=SYSTEM, agent_id=agent.pk, changes={"endpoint": "https://elsewhere.example.com/"})
            return finding

        patch.setattr("agents.services.probing.probe", probed_late)
        agent_probe(agent_id=desk.pk)
    assert (alerts(), Agent.objects.get().health_status) == ([], "unknown")


def test_the_round_can_be_scheduled(desk: Agent, program: Program) -> None:
    program.says(answering({}, status=503))
    job = job_types.get("agents.check_health")()
    assert isinstance(job, Job)
    assert json.loads(json.dumps(job.run(actor=SYSTEM, config={}))) == {
        "asked": 1,
        "failed": ["NewsDesk"],
        "recovered": [],
    }
