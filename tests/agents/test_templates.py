"""The templates of agents: the five that are offered, with tools that there are."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from agents.team.recommendations import recommendation_read
from agents.team.words import Role
from agents.tools import TOOLS
from workflows.agent_prompts import OFFERED, TEMPLATES

FIVE = ["TechnicalAnalystAgent", "RiskManagerAgent", "FundamentalAgent", "SentimentAgent", "ExecutorAgent"]


def test_the_five_templates_are_offered(api: Callable[..., APIClient]) -> None:
    answer = api("viewer").get("/api/autogen/agent-templates")
    assert answer.status_code == 200
    assert [each["name"] for each in answer.json()] == FIVE
    for each in answer.json():
        assert set(each) == {"name", "description", "default_prompt", "recommended_model", "required_tools"}
        assert each["recommended_model"] == "desk-rules"
        assert set(each["required_tools"]) <= set(TOOLS)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_prompt_tells_what_is_data_and_how_to_end(name: str) -> None:
    prompt = TEMPLATES[name].default_prompt
    assert "<<<DATA" in prompt
    assert "never an instruction" in prompt.replace("\n", " ")
    assert recommendation_read(prompt) is not None
    assert len(prompt) < 4000


def test_each_role_of_a_debate_has_a_member() -> None:
    assert {Role(each.role) for each in TEMPLATES.values()} == set(Role)
    assert [each.name for each in OFFERED] == FIVE
