"""Two of everything at once, on PostgreSQL; each with a control that shows the race without what prevents it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from agents.autonomous import proposals, runs
from agents.autonomous.errors import AgentRunUnderWay, ProposalClosed
from agents.autonomous.models import AgentRun, Proposal
from portfolio.models import Order
from tests.agents.autonomous.conftest import AgentDesk
from tradingsite.common.errors import AppError

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def at_once(count: int, act: Callable[[], Any]) -> list[Any]:
    """Do the same in so many threads, and return what came of each: a value, or the refusal."""
    barrier, results = threading.Barrier(count), []

    def one() -> None:
        try:
            barrier.wait(10)
            results.append(act())
        except AppError as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == count
    return results


@pytest.fixture
def both_have_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two starts each see a desk without a run before either begins one."""
    met = threading.Barrier(2)
    look = runs.hindrances

    def then_wait(*args: Any, **kwargs: Any) -> Any:
        found = look(*args, **kwargs)
        met.wait(10)
        return found

    monkeypatch.setattr(runs, "hindrances", then_wait)


def test_of_two_starts_at_once_one_begins_a_run(desk: AgentDesk, both_have_looked: None) -> None:
    results = at_once(2, desk.start)
    assert sorted(type(each) for each in results if isinstance(each, AppError)) == [AgentRunUnderWay]
    run = AgentRun.objects.get()
    (refused,) = [each for each in results if isinstance(each, AppError)]
    assert refused.extra == {"run_id": str(run.pk)}


def test_control_without_the_constraint_two_starts_begin_two_runs(desk: AgentDesk, both_have_looked: None) -> None:
    (constraint,) = [each for each in AgentRun._meta.constraints if each.name == "agent_run_one_unfinished"]
    # Made beforehand, since two that both make it meet there.
    runs.strategy_kept()
    with connection.schema_editor() as editor:
        editor.remove_constraint(AgentRun, constraint)
    try:
        at_once(2, desk.start)
        assert AgentRun.objects.filter(status="running").count() == 2
    finally:
        AgentRun.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(AgentRun, constraint)


@pytest.fixture
def proposal(desk: AgentDesk) -> Proposal:
    desk.set(autonomy="propose")
    desk.run()
    return Proposal.objects.get()


@pytest.fixture
def both_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two approvals each see a proposal that waits before either takes it."""
    met = threading.Barrier(2)
    check = proposals._price_check

    def then_wait(found: Proposal) -> None:
        check(found)
        met.wait(10)

    monkeypatch.setattr(proposals, "_price_check", then_wait)


def approve(desk: AgentDesk, proposal: Proposal) -> Proposal:
    return proposals.proposal_approve(actor=desk.actor, proposal_id=proposal.pk)


def test_of_two_approvals_at_once_one_places_the_order(desk: AgentDesk, proposal: Proposal, both_may: None) -> None:
    results = at_once(2, lambda: approve(desk, proposal))
    assert [type(each) for each in results if isinstance(each, AppError)] == [ProposalClosed]
    assert Order.objects.get().status == "filled"


def test_control_without_the_condition_both_approvals_go_on_to_the_order(
    desk: AgentDesk, proposal: Proposal, both_may: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[Proposal] = []
    monkeypatch.setattr(proposals, "_placed", lambda actor, found: placed.append(found))
    update = type(Proposal.objects.all()).update

    def unconditional(rows: Any, **fields: Any) -> int:
        if fields.get("status") == "approved":
            return int(update(Proposal.objects.filter(pk=proposal.pk), **fields))
        return int(update(rows, **fields))

    monkeypatch.setattr(type(Proposal.objects.all()), "update", unconditional)
    at_once(2, lambda: approve(desk, proposal))
    assert len(placed) == 2


def test_two_who_follow_a_run_at_once_tell_each_message_once(desk: AgentDesk) -> None:
    from tradingsite.common.models import LiveEvent

    run = desk.start()
    assert run.execution is not None
    desk.trials.carry(run.execution)
    at_once(6, lambda: runs.run_follow(run.execution_id))
    told = list(LiveEvent.objects.filter(stream="agent").order_by("seq").values_list("seq", "type"))
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    assert [kind for _, kind in told if kind != "phase"] == [
        "run_started", "decision", "decision", "order", "run_finished",
    ]  # fmt: skip
    assert len([kind for _, kind in told if kind == "phase"]) == 12
