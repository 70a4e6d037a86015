"""A proposal waits for a person: approved once, rejected, or too late."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.test import APIClient

from agents.autonomous.models import Proposal
from agents.autonomous.proposals import approvals_carry_on, proposals_expire
from portfolio.models import Order
from safety.models import SafetySettings
from safety.services import kill, resume
from tests.agents.autonomous.conftest import RISING, AgentDesk
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.models import LiveEvent

pytestmark = pytest.mark.django_db
Clients = Callable[..., APIClient]
URL = "/api/agent/proposals"
LONG_AGO = timedelta(seconds=61)


@pytest.fixture
def proposal(desk: AgentDesk) -> Proposal:
    desk.set(autonomy="propose")
    desk.run()
    return Proposal.objects.get()


def decide(api: Clients, proposal: Proposal, word: str, **body: Any) -> Any:
    return api("trader").post(f"{URL}/{proposal.pk}/{word}", body, format="json")


def told() -> list[tuple[str, str | None]]:
    events = LiveEvent.objects.filter(stream="agent", type="proposal").order_by("seq")
    return [(event.data["status"], event.data["order_id"]) for event in events]


def test_an_approved_proposal_becomes_the_order_that_it_would_have_been(api: Clients, proposal: Proposal) -> None:
    answer = decide(api, proposal, "approve", reason="looks right")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    order = Order.objects.get()
    assert (order.client_order_id, order.status) == (proposal.client_order_id, "filled")
    assert order.execution_id == proposal.run.execution_id
    assert order.created_by.username == "trader" if hasattr(order, "created_by") else order.created_by_id is not None
    assert (body["status"], body["order_id"], body["order_status"]) == ("approved", str(order.pk), "filled")
    assert (body["decided_by"], body["decided_reason"]) == ("trader", "looks right")
    assert told() == [("pending", None), ("approved", None), ("approved", str(order.pk))]
    again = decide(api, proposal, "approve")
    assert (again.status_code, again.json()["code"]) == (409, "PROPOSAL_CLOSED")
    assert Order.objects.count() == 1


def test_a_rejected_proposal_becomes_nothing(api: Clients, proposal: Proposal) -> None:
    assert decide(api, proposal, "reject", reason="no").json()["status"] == "rejected"
    for word in ("approve", "reject"):
        answer = decide(api, proposal, word)
        assert (answer.status_code, answer.json()["code"]) == (409, "PROPOSAL_CLOSED")
    assert not Order.objects.exists()
    assert told()[-1] == ("rejected", None)


def test_a_proposal_expires(api: Clients, proposal: Proposal) -> None:
    Proposal.objects.update(expires_at=utcnow() - timedelta(seconds=1))
    answer = decide(api, proposal, "approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "PROPOSAL_CLOSED")
    assert proposals_expire() == 1
    assert proposals_expire() == 0
    assert api("viewer").get(f"{URL}/{proposal.pk}").json()["status"] == "expired"
    assert told()[-1] == ("expired", None)
    assert not Order.objects.exists()


def test_a_price_that_has_moved_too_far_is_refused_and_the_proposal_waits(
    api: Clients, proposal: Proposal, prices: Prices
) -> None:
    prices.series("ACME", [*RISING, (105.0, 106.0, 104.0, 105.0), (105.0, 106.0, 104.0, 105.0)])
    answer = decide(api, proposal, "approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "PROPOSAL_PRICE_MOVED")
    assert "the bound is 2 %" in answer.json()["detail"]
    assert not Order.objects.exists()
    assert api("viewer").get(f"{URL}?status=pending").json()["results"][0]["id"] == str(proposal.pk)


def test_nothing_is_approved_while_the_kill_switch_is_set(
    api: Clients, proposal: Proposal, operator_actor: Actor
) -> None:
    kill(actor=operator_actor, reason="enough")
    answer = decide(api, proposal, "approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "KILL_SWITCH_ACTIVE")
    assert Proposal.objects.get().status == "pending"


def test_the_gate_is_asked_anew_when_it_is_approved(api: Clients, proposal: Proposal) -> None:
    SafetySettings.objects.update(order_notional_limit=1)
    body = decide(api, proposal, "approve").json()
    assert (body["order_status"], body["order_code"]) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")


def test_an_approval_whose_process_died_is_repeated_by_another_one_a_minute_later(
    api: Clients, proposal: Proposal
) -> None:
    Proposal.objects.update(status="approved", decided_at=utcnow(), updated_at=utcnow())
    answer = decide(api, proposal, "approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "PROPOSAL_CLOSED")
    assert "just approved" in answer.json()["detail"]
    Proposal.objects.update(updated_at=utcnow() - LONG_AGO)
    assert decide(api, proposal, "approve").json()["order_status"] == "filled"
    assert Order.objects.count() == 1


def test_an_approval_whose_process_died_is_carried_out_without_another_one(
    api: Clients, proposal: Proposal, trader: AbstractBaseUser
) -> None:
    abandoned = Proposal.objects.filter(pk=proposal.pk)
    abandoned.update(status="approved", decided_at=utcnow(), decided_by=trader.pk, updated_at=utcnow())
    assert approvals_carry_on() == 0
    abandoned.update(updated_at=utcnow() - LONG_AGO)
    assert approvals_carry_on() == 1
    order = Order.objects.get()
    assert (order.client_order_id, order.status, order.created_by_id) == (proposal.client_order_id, "filled", trader.pk)
    assert told()[-1] == ("approved", str(order.pk))
    # The process died once more, between the order and its note in the proposal.
    abandoned.update(order=None, updated_at=utcnow() - LONG_AGO, expires_at=utcnow() - LONG_AGO)
    assert approvals_carry_on() == 1
    assert Proposal.objects.get().order == order
    assert Order.objects.count() == 1
    assert approvals_carry_on() == 0


def test_an_abandoned_approval_does_not_outlive_its_time_its_price_or_the_kill_switch(
    proposal: Proposal, prices: Prices, operator_actor: Actor
) -> None:
    abandoned = Proposal.objects.filter(pk=proposal.pk)
    abandoned.update(status="approved", decided_at=utcnow(), updated_at=utcnow() - LONG_AGO)
    kill(actor=operator_actor, reason="enough")
    assert approvals_carry_on() == 0
    resume(actor=operator_actor, reason="mended")
    prices.series("ACME", [*RISING, (105.0, 106.0, 104.0, 105.0), (105.0, 106.0, 104.0, 105.0)])
    assert approvals_carry_on() == 0
    abandoned.update(expires_at=utcnow())
    assert approvals_carry_on() == 1
    assert Proposal.objects.get().status == "expired"
    assert told()[-1] == ("expired", None)
    assert not Order.objects.exists()


def test_an_unknown_proposal_is_not_found(api: Clients, desk: AgentDesk) -> None:
    assert api("viewer").get(f"{URL}/{desk.strategy.pk}").status_code == 404
    assert api("trader").post(f"{URL}/{desk.strategy.pk}/approve", {}, format="json").status_code == 404
