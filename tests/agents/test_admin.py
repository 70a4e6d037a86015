"""Agents in the admin: looked at by operators, switched through the services, and never typed over."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent, AgentConversation
from agents.services import agent_create
from safety.models import AuditLog
from tests.agents.conftest import SYSTEM, spoke
from tests.executions.conftest import Trials

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
LIST = "admin:agents_agent_changelist"


@pytest.fixture
def newsdesk(db: None) -> Agent:
    return agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint="https://agents.example.com/")


def act(client: Client, action: str, agent: Agent) -> str:
    answer = client.post(reverse(LIST), {"action": action, "_selected_action": [str(agent.pk)]}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_operator_switches_hides_and_restores_through_the_services(browser: Browser, newsdesk: Agent) -> None:
    client = browser("operator")
    for action, said in (("disable", "disabled"), ("enable", "enabled"), ("hide", "deleted"), ("restore", "restored")):
        assert f"1 agents were {said}." in act(client, action, newsdesk)
    assert Agent.objects.alive().get().enabled
    rows = AuditLog.objects.filter(action__startswith="agent.", actor_name="operator").order_by("pk")
    assert [row.action for row in rows] == ["agent.update", "agent.update", "agent.delete", "agent.restore"]


def test_a_refusal_is_told_and_changes_nothing(browser: Browser, newsdesk: Agent) -> None:
    assert "is not deleted" in act(browser("operator"), "restore", newsdesk)


def test_nobody_types_over_an_agent_or_what_was_said(browser: Browser, trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    message = spoke(run, newsdesk, "request", "<b>what now</b>")
    client = browser("admin")
    for row in (newsdesk, message):
        meta = row._meta
        page = client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk]))
        assert page.status_code == 200
        assert "<b>what now</b>" not in page.content.decode()
        for name, args in (("change", [row.pk]), ("delete", [row.pk]), ("add", [])):
            address = reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=args)
            assert client.post(address, {"name": "Other", "post": "yes"}).status_code == 403, address
    assert Agent.objects.get().name == "NewsDesk"
    assert AgentConversation.objects.get().message_content == "<b>what now</b>"
    listed = client.get(reverse("admin:agents_agentconversation_changelist"))
    assert "NewsDesk" in listed.content.decode()
