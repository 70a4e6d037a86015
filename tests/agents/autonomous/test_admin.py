"""The autonomous agent in the admin: looked at by operators, switched and stopped through the services."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from agents.autonomous.models import AgentConfig, AgentRun, Proposal
from safety.models import AuditLog
from tests.agents.autonomous.conftest import AgentDesk

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def act(client: Client, model: str, action: str, pk: object) -> str:
    address = reverse(f"admin:agents_{model}_changelist")
    answer = client.post(address, {"action": action, "_selected_action": [str(pk)]}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_operator_switches_the_agent_off_and_on(browser: Browser, desk: AgentDesk) -> None:
    client = browser("operator")
    for action, enabled in (("switch_off", False), ("switch_on", True)):
        assert f"The agent is switched {'on' if enabled else 'off'}." in act(
            client, "agentconfig", action, desk.account.pk
        )
        assert AgentConfig.objects.get().enabled is enabled
    assert AuditLog.objects.filter(action="agent.configure", actor_name="operator").count() == 2


def test_an_operator_stops_a_run_once(browser: Browser, desk: AgentDesk) -> None:
    run = desk.start()
    client = browser("operator")
    assert "was asked to stop" in act(client, "agentrun", "cancel", run.pk)
    assert AgentRun.objects.get().status == "cancelled"
    assert "there is nothing left to cancel" in act(client, "agentrun", "cancel", run.pk)


def test_an_operator_rejects_a_proposal(browser: Browser, desk: AgentDesk) -> None:
    desk.set(autonomy="propose")
    desk.run()
    proposal = Proposal.objects.get()
    client = browser("operator")
    assert "was rejected" in act(client, "proposal", "reject", proposal.pk)
    assert Proposal.objects.get().status == "rejected"
    assert "It is rejected" in act(client, "proposal", "reject", proposal.pk)


@pytest.mark.parametrize("model", ["agentconfig", "agentrun", "proposal"])
def test_every_page_opens_and_nothing_is_typed_over(browser: Browser, desk: AgentDesk, model: str) -> None:
    desk.set(autonomy="propose")
    desk.run()
    client = browser("admin")
    row = {"agentconfig": AgentConfig, "agentrun": AgentRun, "proposal": Proposal}[model].objects.get()  # type: ignore[attr-defined]
    for address in (
        reverse(f"admin:agents_{model}_changelist"),
        reverse(f"admin:agents_{model}_change", args=[row.pk]),
    ):
        assert client.get(address).status_code == 200
    assert client.post(reverse(f"admin:agents_{model}_change", args=[row.pk]), {}).status_code == 403
