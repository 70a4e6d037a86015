"""The team of a definition and what a strategy says of it: checked member by member, and pinned as it is run."""

from collections.abc import Callable
from typing import Any

import pytest

from tradingsite.common.errors import ValidationFailed
from workflows.agent_section import provider_of
from workflows.definitions import team_check
from workflows.models import Strategy
from workflows.selectors import executable
from workflows.templates import template

pytestmark = pytest.mark.django_db
Api = Callable[..., Any]
ROOTS = ("/api/strategies", "/api/v1/strategies")
EXECUTOR = {
    "agent_name": "ExecutorAgent",
    "enabled": True,
    "system_prompt": "Decide boldly.",
    "llm_config": {"temperature": 0.5},
    "max_iterations": 3,
}


@pytest.fixture
def team_strategy(make_workflow: Any, make_strategy: Any) -> Strategy:
    row: Strategy = make_strategy(workflow_id=make_workflow("team", "autogen_multi_agent").pk, symbols=["IBM"])
    return row


def team_of(strategy: Strategy) -> dict[str, Any]:
    """Return the pinned config of the team's step."""
    strategy.refresh_from_db()
    version = strategy.workflow.current_version
    steps = executable(workflow_version=version, strategy=strategy, input_data={}).steps
    return dict(next(step.config for step in steps if step.type == "agents"))


def test_the_template_is_a_team_of_five_that_debates(team_strategy: Strategy) -> None:
    config = team_of(team_strategy)
    assert [step["type"] for step in template("autogen_multi_agent")["steps"]] == [
        "market_data", "indicator", "indicator", "agents", "risk_check", "order"
    ]  # fmt: skip
    assert config["arrangement"] == "debate"
    assert [agent["role"] for agent in config["agents"]] == ["analyst", "analyst", "analyst", "risk", "decision"]
    assert {provider_of(agent["llm_config"]) for agent in config["agents"]} == {"offline"}


@pytest.mark.parametrize("root", ROOTS)
def test_a_strategy_changes_members_of_its_team_by_name(api: Api, team_strategy: Strategy, root: str) -> None:
    before = team_of(team_strategy)
    url = f"{root}/{team_strategy.pk}/autogen-config"
    answer = api("admin").put(url, {"agents": [EXECUTOR]}, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"agents": [EXECUTOR]}
    assert api("viewer").get(url).json() == answer.json()
    after = team_of(team_strategy)
    assert team_strategy.param["autogen_config"] == {"agents": [EXECUTOR]}
    assert after["agents"][:-1] == before["agents"][:-1]
    # It keeps its place, its role and its tools.
    kept = {name: before["agents"][-1][name] for name in ("role", "tools", "description")}
    assert after["agents"][-1] == {**EXECUTOR, **kept}
    assert {**after, "agents": []} == {**before, "agents": []}


def test_a_strategy_adds_a_member_switches_one_off_and_bounds_its_team(api: Api, team_strategy: Strategy) -> None:
    bull = {"agent_name": "BullAgent", "system_prompt": "Argue for.", "role": "bull"}
    quiet = {"agent_name": "SentimentAgent", "system_prompt": "Say nothing.", "enabled": False}
    body = {"agents": [bull, quiet], "budget": {"cost": "0.50", "messages": 20}, "max_rounds": 4}
    answer = api("admin").put(f"{ROOTS[0]}/{team_strategy.pk}/autogen-config", body, format="json")
    assert answer.status_code == 200, answer.content
    config = team_of(team_strategy)
    assert [agent["agent_name"] for agent in config["agents"]][-1] == "BullAgent"
    assert [agent["enabled"] for agent in config["agents"]] == [True, True, False, True, True, True]
    assert (config["budget"], config["max_rounds"]) == ({"cost": "0.5", "messages": 20}, 4)


def test_without_settings_of_its_own_a_strategy_shows_its_workflows_team(
    api: Api, team_strategy: Strategy, make_strategy: Any, make_workflow: Any
) -> None:
    shown = api("viewer").get(f"{ROOTS[0]}/{team_strategy.pk}/autogen-config").json()
    assert next(agent["agent_name"] for agent in shown["agents"]) == "TechnicalAnalystAgent"
    other = make_strategy("other", workflow_id=make_workflow("plain").pk)
    assert api("viewer").get(f"{ROOTS[0]}/{other.pk}/autogen-config").json() == {"agents": []}


def test_nobody_overwrites_what_somebody_else_has_set(api: Api, team_strategy: Strategy) -> None:
    url = f"{ROOTS[0]}/{team_strategy.pk}/autogen-config"
    read = api("viewer").get(url)["ETag"]
    assert read == api("viewer").get(f"{ROOTS[0]}/{team_strategy.pk}")["ETag"]
    admin = api("admin")
    first = admin.put(url, {"agents": [EXECUTOR]}, format="json", headers={"if-match": read})
    assert first.status_code == 200
    late = admin.put(url, {"agents": [EXECUTOR]}, format="json", headers={"if-match": read})
    assert (late.status_code, late.json()["code"]) == (412, "PRECONDITION_FAILED")
    again = admin.put(url, {"agents": [EXECUTOR]}, format="json", headers={"if-match": first["ETag"]})
    assert again.status_code == 200


def test_only_traders_set_a_team(api: Api, team_strategy: Strategy) -> None:
    url = f"{ROOTS[0]}/{team_strategy.pk}/autogen-config"
    assert api("viewer").put(url, {"agents": [EXECUTOR]}, format="json").status_code == 403
    assert api("trader").put(f"{ROOTS[0]}/{'0' * 8}-0000-0000-0000-{'0' * 12}/autogen-config", {"agents": [EXECUTOR]},
                             format="json").status_code == 404  # fmt: skip


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "agents"),
        ({"agents": []}, "agents"),
        ({"agents": [EXECUTOR], "mood": "good"}, "mood"),
        ({"agents": [EXECUTOR, {**EXECUTOR, "agent_name": "2nd"}]}, "agents/1/agent_name"),
        ({"agents": [{**EXECUTOR, "agent_name": "user"}]}, "agents/0/agent_name"),
        ({"agents": [{**EXECUTOR, "enabled": "often"}]}, "agents/0/enabled"),
        ({"agents": [{**EXECUTOR, "system_prompt": ""}]}, "agents/0/system_prompt"),
        ({"agents": [{**EXECUTOR, "max_iterations": 51}]}, "agents/0/max_iterations"),
        ({"agents": [{**EXECUTOR, "role": "king"}]}, "agents/0/role"),
        ({"agents": [{**EXECUTOR, "tools": ["place_order"]}]}, "agents/0/tools"),
        ({"agents": [{**EXECUTOR, "tools": ["get_bars", "get_bars"]}]}, "agents/0/tools"),
        ({"agents": [{**EXECUTOR, "llm_config": {"mood": 1}}]}, "agents/0/llm_config/mood"),
        ({"agents": [{**EXECUTOR, "llm_config": {"api_key": "sk-1"}}]}, "agents/0/llm_config"),
        ({"agents": [{**EXECUTOR, "llm_config": {"temperature": 9}}]}, "agents/0/llm_config/temperature"),
        ({"agents": [{**EXECUTOR, "llm_config": {"provider": "openai"}}]}, "agents/0/llm_config/model"),
        ({"agents": [{**EXECUTOR, "llm_config": {"agent": "A", "model": "m"}}]}, "agents/0/llm_config/model"),
        ({"agents": [{**EXECUTOR, "llm_config": {"provider": "replay"}}]}, "agents/0/llm_config/replay_of"),
        (
            {"agents": [{**EXECUTOR, "llm_config": {"provider": "offline", "base_url": "https://a.b"}}]},
            "agents/0/llm_config/base_url",
        ),
        ({"agents": [EXECUTOR], "arrangement": "chaos"}, "arrangement"),
        ({"agents": [EXECUTOR], "concurrency": 9}, "concurrency"),
        ({"agents": [EXECUTOR], "budget": {"cost": "-1"}}, "budget/cost"),
        ({"agents": [EXECUTOR], "budget": {"cost": 0.5}}, "budget/cost"),
        ({"agents": [EXECUTOR], "budget": {"wishes": 3}}, "budget/wishes"),
        (
            {
                "agents": [
                    {**EXECUTOR, "llm_config": {"model": "model-of-nobody", "base_url": "https://a.example/v1"}}
                ],
                "budget": {"cost": "1"},
            },
            "budget/cost",
        ),
    ],
)
def test_a_wrong_team_is_refused_by_field_and_nothing_changes(
    api: Api, team_strategy: Strategy, body: Any, pointer: str
) -> None:
    answer = api("admin").put(f"{ROOTS[0]}/{team_strategy.pk}/autogen-config", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.json()
    team_strategy.refresh_from_db()
    assert team_strategy.param == {}


def test_two_who_decide_are_refused_also_where_one_is_the_workflows(api: Api, team_strategy: Strategy) -> None:
    rival = {"agent_name": "RivalAgent", "system_prompt": "I decide.", "role": "decision"}
    answer = api("admin").put(f"{ROOTS[0]}/{team_strategy.pk}/autogen-config", {"agents": [rival]}, format="json")
    assert answer.status_code == 400
    assert "Only one agent decides." in answer.content.decode()


def test_a_kept_team_without_the_newer_fields_stays_valid() -> None:
    old = {"agent_name": "TechnicalAnalystAgent", "system_prompt": "Read.", "llm_config": {"temperature": 0.1}}
    team_check({"agents": [old], "max_rounds": 10})
    with pytest.raises(ValidationFailed, match="param/autogen_config/agents"):
        team_check({"agents": []})
