"""The autonomous agent over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.api import autonomous
from agents.autonomous import runs
from agents.autonomous.models import AgentConfig, AgentRun
from safety.models import AuditLog
from safety.services import kill
from scheduler import firing
from scheduler.models import Schedule, ScheduleFire
from tests.agents.autonomous.conftest import AgentDesk
from tests.executions.conftest import Trials
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db
Clients = Callable[..., APIClient]
URL = "/api/agent"


def test_the_report_of_a_run_is_the_answer(desk: AgentDesk, api: Clients, workers: Any) -> None:
    answer = api("trader").post(f"{URL}/run", {}, format="json")
    assert answer.status_code == 200, answer.content
    report = answer.json()
    assert report["status"] == "completed"
    assert [each["action"] for each in report["decisions"]] == ["BUY", "HOLD"]
    assert set(report) >= {
        "id", "status", "summary", "started_at", "finished_at", "observations", "decisions", "orders", "tokens_used",
        "cost",
    }  # fmt: skip
    fetched = api("viewer").get(f"{URL}/runs/{report['id']}").json()
    assert fetched["report"] == report
    assert fetched["status"] == "completed"
    assert fetched["config"]["autonomy"] == "act"
    listed = api("viewer").get(f"{URL}/runs").json()["results"]
    assert [each["id"] for each in listed] == [report["id"]]
    lines = api("viewer").get(f"{URL}/logs").json()["results"]
    assert [each["phase"] for each in lines] == ["reflect", "act", "gate", "decide", "analyse", "observe"]
    assert {each["run_id"] for each in lines} == {report["id"]}
    assert any("BUY" in line["message"] for each in lines for line in each["lines"])


def test_a_run_that_nobody_waits_for_is_accepted_and_goes_on(desk: AgentDesk, api: Clients) -> None:
    answer = api("trader").post(f"{URL}/run?async=true", {"symbols": ["ACME"]}, format="json")
    assert answer.status_code == 202
    run = AgentRun.objects.select_related("execution").get()
    assert answer["Location"] == f"/api/v1/agent/runs/{run.pk}"
    assert answer.json()["run_id"] == str(run.pk)
    assert api("viewer").get(answer["Location"]).json()["report"] is None
    desk.carry(run)
    assert api("viewer").get(answer["Location"]).json()["report"]["status"] == "completed"


def test_a_run_that_takes_too_long_for_a_request_is_accepted(
    desk: AgentDesk, api: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autonomous, "WAIT_S", 0.05)
    monkeypatch.setattr(runs, "POLL_S", 0.01)
    answer = api("trader").post(f"{URL}/run", {}, format="json")
    assert answer.status_code == 202
    assert api("viewer").get(answer["Location"]).json()["status"] == "running"


def test_the_same_key_is_one_run(desk: AgentDesk, api: Clients, workers: Any) -> None:
    client = api("trader")
    first, second = (client.post(f"{URL}/run", {}, format="json", headers={"Idempotency-Key": "one"}) for _ in range(2))
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert AgentRun.objects.count() == 1


def test_a_run_is_refused_with_a_code_and_the_run_under_way_is_named(
    desk: AgentDesk, api: Clients, operator_actor: Actor
) -> None:
    client = api("trader")
    first = client.post(f"{URL}/run?async=true", {}, format="json").json()
    second = client.post(f"{URL}/run", {}, format="json")
    assert (second.status_code, second.json()["code"]) == (409, "AGENT_RUN_UNDER_WAY")
    assert second.json()["run_id"] == first["run_id"]
    cancelled = client.post(f"{URL}/runs/{first['run_id']}/cancel", {"reason": "enough"}, format="json")
    assert cancelled.status_code == 202, cancelled.content
    assert cancelled.json()["status"] == "cancelled"
    again = client.post(f"{URL}/runs/{first['run_id']}/cancel", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "AGENT_RUN_ENDED")
    kill(actor=operator_actor, reason="enough")
    halted = client.post(f"{URL}/run", {}, format="json")
    assert (halted.status_code, halted.json()["code"]) == (409, "KILL_SWITCH_ACTIVE")
    status = api("viewer").get(URL).json()
    assert status["status"] == "halted"
    assert [each["code"] for each in status["would_not_run"]] == ["KILL_SWITCH_ACTIVE"]


def test_unknown_symbols_and_words_are_named(desk: AgentDesk, api: Clients) -> None:
    client = api("trader")
    answer = client.post(f"{URL}/run", {"symbols": ["NOPE"]}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "symbols/0")
    answer = client.post(f"{URL}/run", {"autonomy": "wild", "x": 1}, format="json")
    assert answer.status_code == 400
    assert not AgentRun.objects.exists()
    assert client.get(f"{URL}/runs/{desk.strategy.pk}").status_code == 404


def test_an_agent_that_nobody_has_set_observes(api: Clients, account: Any) -> None:
    answer = api("viewer").get(URL)
    body = answer.json()
    assert (body["autonomy"], body["version"], body["cadence"], body["status"]) == ("observe", 0, None, "idle")
    assert not AgentConfig.objects.exists()
    # Its ETag is honoured by the first change already.
    changed = api("operator").patch(URL, {"autonomy": "propose"}, format="json", headers={"If-Match": answer["ETag"]})
    assert changed.status_code == 200, changed.content
    assert changed.json()["version"] == 1
    stale = api("operator").patch(URL, {"autonomy": "act"}, format="json", headers={"If-Match": answer["ETag"]})
    assert stale.status_code == 412


def test_a_put_sets_everything_and_a_patch_only_what_it_names(desk: AgentDesk, api: Clients) -> None:
    client = api("operator")
    body = {
        "strategies": [str(desk.strategy.pk)],
        "symbols": ["ACME"],
        "autonomy": "propose",
        "cadence": {"schedule": "30 9 * * mon-fri", "timezone": "America/New_York"},
        "budgets": {"run": {"tokens": 1000, "cost": "0.5"}, "day": {"orders": 3}},
        "quiet_hours": {
            "timezone": "Europe/Berlin",
            "windows": [{"weekdays": ["sat"], "from": "00:00", "to": "00:00"}],
        },
        "sizing": {"method": "notional", "value": "250"},
        "price_bound_pct": "1.5",
    }
    answer = client.put(URL, body, format="json")
    assert answer.status_code == 200, answer.content
    said = answer.json()
    assert said["cadence"] == body["cadence"]
    assert said["next_run_time"] is not None
    assert said["budgets"]["run"] == {"tokens": 1000, "cost": "0.5", "seconds": 900.0, "messages": 600}
    assert said["budgets"]["day"] == {"tokens": None, "cost": None, "orders": 3}
    assert said["sizing"] == {"method": "notional", "value": "250"}
    patched = client.patch(URL, {"symbols": []}, format="json").json()
    assert patched["effective_symbols"] == ["ACME", "BETA"]
    assert patched["cadence"] == body["cadence"]
    reset = client.put(URL, {}, format="json").json()
    assert (reset["cadence"], reset["strategies"], reset["autonomy"]) == (None, [], "observe")
    actions = AuditLog.objects.filter(action="agent.configure", actor_name="operator")
    assert actions.count() == 3


def test_a_team_of_ones_own_is_kept_with_its_defaults(desk: AgentDesk, api: Clients) -> None:
    team = {"agents": [{"agent_name": "Chief", "system_prompt": "Decide."}], "max_rounds": 3}
    said = api("operator").patch(URL, {"team": team, "team_enabled": True}, format="json").json()
    assert said["team"]["max_rounds"] == 3
    assert said["team"]["agents"][0].items() >= {"agent_name": "Chief", "enabled": True, "max_iterations": 5}.items()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"autonomy": "wild"}, "autonomy"),
        ({"strategies": ["0190a0b0-0000-7000-8000-000000000001"]}, "strategies/0"),
        ({"symbols": ["ACME", "NOPE"]}, "symbols/1"),
        ({"cadence": {"schedule": "nonsense"}}, "cadence/schedule"),
        ({"cadence": {"schedule": {"every_s": 60}, "when": 1}}, "cadence/when"),
        ({"team": {"agents": []}}, "team/agents"),
        ({"team": {"agents": [{"agent_name": "A", "system_prompt": "x", "llm_config": {"api_key": "x"}}]}},
         "team/agents/0/llm_config"),
        ({"budgets": {"run": {"tokens": 0}}}, "budgets/run/tokens"),
        ({"budgets": {"day": {"orders": "many"}}}, "budgets/day/orders"),
        ({"quiet_hours": {"timezone": "Mars/Olympus", "windows": []}}, "quiet_hours/timezone"),
        ({"quiet_hours": {"timezone": "UTC", "windows": [{"weekdays": ["mon"], "from": "25:00", "to": "06:00"}]}},
         "quiet_hours/windows/0/from"),
        ({"sizing": {"method": "notional"}}, "sizing/value"),
        ({"sizing": {"method": "equity_fraction", "value": "2"}}, "sizing/value"),
        ({"proposal_lifetime_s": 1}, "proposal_lifetime_s"),
        ({"price_bound_pct": "0"}, "price_bound_pct"),
        ({"mood": "good"}, "mood"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named(desk: AgentDesk, api: Clients, body: dict[str, Any], pointer: str) -> None:
    before = AgentConfig.objects.get().version
    for call in (api("operator").put, api("operator").patch):
        answer = call(URL, body, format="json")
        assert answer.status_code == 400, answer.content
        assert pointer in [each["pointer"] for each in answer.json()["errors"]], answer.json()
    assert AgentConfig.objects.get().version == before
    assert not Schedule.objects.exists()


def test_the_cadence_is_one_row_of_the_clock(desk: AgentDesk, api: Clients) -> None:
    client = api("operator")
    client.patch(URL, {"cadence": {"schedule": {"every_s": 300}}}, format="json")
    first = Schedule.objects.alive().get()
    client.patch(URL, {"cadence": {"schedule": {"market": "XNYS", "event": "close", "offset_s": -300}}}, format="json")
    second = Schedule.objects.alive().get()
    assert (first.pk, second.kind, second.job_type) == (second.pk, "market", "agents.run_agent")
    # What is changed at the clock itself is what the agent says, too.
    client.patch(f"/api/scheduler/{second.pk}", {"schedule": {"every_s": 60}}, format="json")
    assert client.get(URL).json()["cadence"]["schedule"] == {"every_s": 60}
    client.patch(URL, {"cadence": None}, format="json")
    assert not Schedule.objects.alive().exists()
    assert client.get(URL).json()["next_run_time"] is None


def fires() -> list[tuple[str, str]]:
    return list(ScheduleFire.objects.order_by("nominal_at").values_list("status", "error_code"))


def due(desk: AgentDesk) -> None:
    Schedule.objects.update(due_at=utcnow() - timedelta(seconds=1), next_run_at=utcnow() - timedelta(seconds=1))
    firing.tick()
    firing.tick()


def test_the_clock_starts_one_run_for_each_time_and_hears_of_its_end(desk: AgentDesk, trials: Trials) -> None:
    desk.set(cadence={"schedule": {"every_s": 3600}})
    due(desk)
    run = AgentRun.objects.select_related("execution").get()
    assert (run.trigger, fires()) == ("schedule", [("running", "")])
    desk.carry(run)
    assert fires() == [("completed", "")]
    fire = ScheduleFire.objects.get()
    assert fire.run_id == run.pk
    assert fire.result == {"run_id": str(run.pk), "execution_id": str(run.execution_id), "orders_placed": 1}


def test_the_clock_skips_and_says_why(desk: AgentDesk, operator_actor: Actor) -> None:
    desk.set(cadence={"schedule": {"every_s": 3600}}, enabled=False)
    due(desk)
    assert fires() == [("skipped", "AGENT_DISABLED")]
    (run,) = AgentRun.objects.all()
    assert (run.status, run.code) == ("skipped", "AGENT_DISABLED")
    # Skipping is no failure, so that the schedule is not paused for it.
    assert Schedule.objects.get().failure_streak == 0
    assert ScheduleFire.objects.get().run_id == run.pk
