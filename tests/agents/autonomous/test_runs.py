"""A run of the autonomous agent from its start to its report, and how far it may go."""

from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from django.db import OperationalError
from django.utils import timezone

from agents.autonomous import debating, runs
from agents.autonomous.errors import AgentDisabled, AgentRunUnderWay, AgentWorkflowChanged
from agents.autonomous.models import AgentRun, Proposal
from executions import endings, runner
from executions.ledger import RunLedger
from executions.models import WorkflowExecution
from executions.services import execution_cancel, execution_retry
from executions.watchdog import tick
from portfolio.models import Order
from safety.errors import KillSwitchActive
from safety.services import kill
from tests.agents.autonomous.conftest import DESK, AgentDesk, trend
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.models import LiveEvent
from workflows.models import Workflow
from workflows.services import workflow_update

PHASES = ["observe", "analyse", "decide", "gate", "act", "reflect"]

pytestmark = pytest.mark.django_db


def told(run: AgentRun) -> list[tuple[str, str]]:
    """Return what `/ws/agent` has heard of a run: each message's type, with the phase and its status where it is one."""
    events = LiveEvent.objects.filter(stream="agent", data__run_id=str(run.pk)).order_by("seq")
    return [(e.type, f"{e.data.get('phase', '')} {e.data.get('status', '') if e.type == 'phase' else ''}".strip())
            for e in events]  # fmt: skip


def test_a_run_that_may_act_places_orders_and_reports(desk: AgentDesk) -> None:
    run = desk.run()
    assert run.status == "completed", (run.code, run.reason)
    report = run.report
    assert report is not None
    by_symbol = {each["symbol"]: each for each in report["decisions"]}
    assert by_symbol["ACME"]["action"] == "BUY"
    assert by_symbol["BETA"]["action"] == "HOLD"
    assert "strategy Trend says BUY" in by_symbol["ACME"]["reason"]
    assert by_symbol["ACME"]["r_coefficient"] == pytest.approx(2.0)
    (order,) = report["orders"]
    assert (order["symbol"], order["side"], order["status"]) == ("ACME", "buy", "filled")
    placed = Order.objects.get()
    assert placed.execution_id == run.execution_id
    assert placed.client_order_id == f"{run.execution_id}-4-ACME-0"
    assert report["proposals"] == report["would_order"] == []
    assert [each["phase"] for each in report["phases"]] == PHASES
    assert {each["topic"] for each in report["observations"]} >= {"price", "account", "safety", "opinion"}
    assert report["summary"].startswith("BUY ACME; HOLD on 1 of 2 symbols. 1 orders: ACME ")
    assert report["tokens_used"] == 0


def test_a_run_that_may_observe_places_nothing_and_says_what_it_would_do(desk: AgentDesk) -> None:
    desk.set(autonomy="observe")
    run = desk.run()
    assert run.status == "completed"
    assert not Order.objects.exists()
    assert not Proposal.objects.exists()
    assert run.report is not None
    (would,) = run.report["would_order"]
    assert (would["symbol"], would["side"]) == ("ACME", "buy")
    assert "was to observe only" in run.report["summary"]


def test_a_run_that_may_propose_writes_a_proposal_and_no_order(desk: AgentDesk) -> None:
    desk.set(autonomy="propose")
    run = desk.run()
    assert not Order.objects.exists()
    proposal = Proposal.objects.get()
    assert (proposal.symbol, proposal.side, proposal.status) == ("ACME", "buy", "pending")
    assert proposal.client_order_id == f"{run.execution_id}-4-ACME-0"
    assert run.report is not None
    assert [each["proposal_id"] for each in run.report["proposals"]] == [str(proposal.pk)]


def test_a_run_by_hand_may_be_told_to_go_less_far_and_never_further(desk: AgentDesk) -> None:
    assert desk.run(autonomy="observe").autonomy == "observe"
    desk.set(autonomy="propose")
    with pytest.raises(ValidationFailed) as refused:
        desk.start(autonomy="act")
    assert [(e.pointer, e.code) for e in refused.value.errors] == [("autonomy", "too_much")]


def test_who_turns_the_agent_down_while_it_runs_gets_no_order(desk: AgentDesk) -> None:
    run = desk.start()
    desk.set(autonomy="observe")
    run = desk.carry(run)
    assert run.status == "completed"
    assert not Order.objects.exists()


def test_a_strategy_that_cannot_say_anything_makes_it_a_hold(desk: AgentDesk) -> None:
    # Slow enough that it has not enough bars to say anything.
    other = trend("Slow", ["ACME"], fast=5, slow=60)
    desk.set(strategies=[str(desk.strategy.pk), str(other.pk)])
    run = desk.run()
    assert run.report is not None
    acme = next(each for each in run.report["decisions"] if each["symbol"] == "ACME")
    assert acme["action"] == "HOLD"
    assert acme["reason"].startswith("INSUFFICIENT_BARS: strategy Slow could not say")
    assert not Order.objects.exists()


def test_every_message_of_a_run_is_told_once_and_in_order(desk: AgentDesk) -> None:
    run = desk.run()
    heard = told(run)
    assert heard[0] == ("run_started", "")
    assert heard[-1] == ("run_finished", "")
    assert [each for each in heard if each[0] == "phase"] == [
        ("phase", f"{phase} {status}") for phase in PHASES for status in ("running", "completed")
    ]
    kinds = [kind for kind, _ in heard]
    assert kinds.count("decision") == 2
    assert kinds.count("order") == 1
    decided = [i for i, each in enumerate(heard) if each[0] == "decision"]
    assert heard.index(("phase", "decide running")) < min(decided)
    assert max(decided) < heard.index(("phase", "decide completed"))
    for _ in range(3):
        runs.run_follow(run.execution_id)
    assert told(run) == heard


def run_with_a_death(desk: AgentDesk, phase: str, monkeypatch: pytest.MonkeyPatch) -> AgentRun:
    """Let the first worker die when `phase` has done its work and before that is written, and a second one go on."""
    died: list[str] = []

    def dying(write: Any) -> Any:
        def instead(self: RunLedger, step: Any, *args: Any, **kwargs: Any) -> Any:
            if step.name == phase and not died:
                died.append(phase)
                raise OperationalError("the worker is gone")
            return write(self, step, *args, **kwargs)

        return instead

    for name in ("step_complete_and_start", "step_complete_and_finish"):
        monkeypatch.setattr(RunLedger, name, dying(getattr(RunLedger, name)))
    run = desk.start()
    assert run.execution is not None
    with pytest.raises(OperationalError, match="the worker is gone"):
        desk.trials.carry(run.execution)
    WorkflowExecution.objects.filter(pk=run.execution.pk).update(lease_until=datetime(2020, 1, 1, tzinfo=UTC))
    assert tick() >= 1
    run = desk.carry(run)
    assert (died, run.status) == ([phase], "completed")
    return run


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_that_dies_in_a_phase_makes_nothing_happen_or_be_told_twice(
    phase: str, desk: AgentDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = told(run_with_a_death(desk, phase, monkeypatch))
    assert [each for each in heard if each[0] == "phase"] == [
        ("phase", f"{name} {status}") for name in PHASES for status in ("running", "completed")
    ]
    assert [kind for kind, _ in heard if kind != "phase"] == [
        "run_started", "decision", "decision", "order", "run_finished",
    ]  # fmt: skip
    assert Order.objects.count() == 1


def test_a_worker_that_dies_while_it_proposes_leaves_one_proposal(
    desk: AgentDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.set(autonomy="propose")
    heard = told(run_with_a_death(desk, "act", monkeypatch))
    assert [kind for kind, _ in heard].count("proposal") == 1
    assert Proposal.objects.count() == 1


@pytest.mark.parametrize("phase", PHASES)
def test_the_kill_switch_stops_a_run_before_any_phase(
    phase: str, desk: AgentDesk, monkeypatch: pytest.MonkeyPatch, operator_actor: Actor
) -> None:
    attempt = runner._attempt

    def then_killed(ledger: Any, step: Any, *args: Any) -> Any:
        result = attempt(ledger, step, *args)
        following = PHASES[PHASES.index(step.name) + 1 :][:1]
        if following == [phase]:
            kill(actor=operator_actor, reason="enough")
        return result

    monkeypatch.setattr(runner, "_attempt", then_killed)
    run = desk.start()
    if phase == "observe":
        kill(actor=operator_actor, reason="enough")
    run = desk.carry(run)
    assert run.status == "failed"
    assert run.code == "KILL_SWITCH_ACTIVE"
    begun = [each.split()[0] for kind, each in told(run) if kind == "phase" and each.endswith("running")]
    assert begun == PHASES[: PHASES.index(phase)]
    assert Order.objects.count() == (1 if phase == "reflect" else 0)
    assert run.report is not None
    assert run.report["error"]["code"] == "KILL_SWITCH_ACTIVE"
    assert told(run)[-1] == ("run_finished", "")


def test_the_run_follows_its_execution_that_was_cancelled_before_it_began(desk: AgentDesk) -> None:
    run = desk.start()
    assert run.execution is not None
    execution_cancel(actor=desk.actor, execution=run.execution)
    endings.settle()
    run = desk.again(run)
    assert (run.status, told(run)) == ("cancelled", [("run_started", ""), ("run_finished", "")])


def test_the_run_follows_a_poison_execution(desk: AgentDesk) -> None:
    run = desk.start()
    past = datetime(2020, 1, 1, tzinfo=UTC)
    WorkflowExecution.objects.filter(pk=run.execution_id).update(status="running", attempts=5, lease_until=past)
    tick()
    endings.settle()
    run = desk.again(run)
    assert (run.status, run.code) == ("failed", "ATTEMPTS_EXHAUSTED")
    assert run.report is not None


def test_an_execution_that_is_retried_after_its_run_ended_does_nothing(desk: AgentDesk, operator_actor: Actor) -> None:
    run = desk.start()
    assert run.execution is not None
    runs.run_cancel(actor=desk.actor, run_id=run.pk)
    execution = desk.trials.again(run.execution)
    execution_retry(actor=desk.actor, execution=execution)
    ended = desk.trials.carry(execution)
    assert (ended.status, ended.error_code) == ("failed", "NO_RUN_OF_THE_AGENT")
    assert not Order.objects.exists()


def test_a_second_run_is_refused_and_names_the_first(desk: AgentDesk) -> None:
    first = desk.start()
    with pytest.raises(AgentRunUnderWay) as refused:
        desk.start()
    assert refused.value.extra == {"run_id": str(first.pk)}


def test_a_run_starts_although_nobody_has_settled_the_last_ones_end(desk: AgentDesk) -> None:
    first = desk.start()
    assert first.execution is not None
    desk.trials.carry(first.execution)
    second = desk.start()
    assert desk.again(first).status == "completed"
    assert second.status == "running"


def test_no_run_starts_while_the_agent_is_off_or_the_desk_is_halted(desk: AgentDesk, operator_actor: Actor) -> None:
    desk.set(enabled=False)
    with pytest.raises(AgentDisabled):
        desk.start()
    desk.set(enabled=True)
    kill(actor=operator_actor, reason="enough")
    with pytest.raises(KillSwitchActive):
        desk.start()
    assert not AgentRun.objects.exists()


def test_a_workflow_that_a_person_changed_is_not_run(desk: AgentDesk, operator_actor: Actor) -> None:
    desk.run()
    kept = Workflow.objects.get(name="Autonomous agent")
    workflow_update(
        actor=operator_actor,
        workflow_id=kept.pk, name=kept.name, type=kept.type, steps=kept.steps[:1], default_params={},
    )  # fmt: skip
    with pytest.raises(AgentWorkflowChanged, match="version 2"):
        desk.start()
    assert not AgentRun.objects.filter(status="running").exists()


def test_an_older_release_of_the_workflow_is_brought_up_to_this_one(desk: AgentDesk) -> None:
    desk.run()
    kept = Workflow.objects.get(name="Autonomous agent")
    workflow_update(
        actor=DESK, workflow_id=kept.pk, name=kept.name, type=kept.type, steps=kept.steps[:1], default_params={}
    )
    assert desk.run().status == "completed"


def test_quiet_hours_let_a_run_by_hand_propose_at_most(desk: AgentDesk) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    quiet = {"timezone": "UTC", "windows": [{"weekdays": days, "from": "00:00", "to": "00:00"}]}
    desk.set(quiet_hours=quiet)
    run = desk.run()
    assert run.autonomy == "propose"
    assert "Quiet hours from 00:00 to 00:00" in run.notes[0]
    skipped = runs.run_start(actor=DESK, trigger="schedule")
    assert (skipped.status, skipped.code) == ("skipped", "QUIET_HOURS")
    assert skipped.execution is None
    assert told(skipped) == [("run_finished", "")]


def test_the_days_budget_of_orders_ends_the_orders_of_a_day(desk: AgentDesk) -> None:
    desk.set(budgets={"run": {}, "day": {"orders": 1}})
    assert desk.run().report["orders"] != []  # type: ignore[index]
    run = desk.start(symbols=["BETA"])
    assert run.autonomy == "propose"
    assert "orders are used up: 1 of 1" in run.notes[0]


def test_the_next_run_says_what_came_of_the_advice(desk: AgentDesk) -> None:
    first = desk.run()
    second = desk.run()
    assert second.report is not None
    (advice,) = second.report["earlier_advice"]
    assert (advice["run_id"], advice["symbol"], advice["action"]) == (str(first.pk), "ACME", "BUY")
    assert advice["move"] == 0.0
    assert timezone.is_aware(second.finished_at)  # type: ignore[arg-type]


class FakeTeam(StepType):
    """Stands in for the team: it answers as a test says, and keeps what it was asked."""

    slug: ClassVar[str] = "agents"
    title: ClassVar[str] = "Team"
    help: ClassVar[str] = "Answers as a test says."
    config_class: ClassVar[type[StepConfig]] = StepConfig
    says: ClassVar[dict[str, dict[str, Any]]] = {}
    asked: ClassVar[list[StepContext]] = []

    def run(self, context: StepContext) -> StepResult:
        self.asked.append(context)
        decisions, outcomes = [], {}
        for symbol in context.symbols:
            said = {"action": "HOLD", "confidence": 0.0, "reason": "-", "stop": None, "target": None, "code": "",
                    **self.says.get(symbol, {})}  # fmt: skip
            code = said.pop("code")
            decisions.append({"symbol": symbol, **said})
            outcomes[symbol] = {"code": code, "tokens": 40, "cost": "0.01"}
        return StepResult({"decisions": decisions, "outcomes": outcomes})


@pytest.fixture
def team(desk: AgentDesk, monkeypatch: pytest.MonkeyPatch) -> type[FakeTeam]:
    FakeTeam.says, FakeTeam.asked = {}, []
    monkeypatch.setitem(step_types._items, "agents", FakeTeam)
    monkeypatch.setattr(debating, "config_typed", lambda slug, config: config)
    desk.set(team_enabled=True, budgets={"run": {"tokens": 1000, "seconds": 100, "messages": 50}, "day": {}})
    return FakeTeam


def _reason(run: AgentRun, symbol: str) -> tuple[str, str]:
    assert run.report is not None
    return next((d["action"], d["reason"]) for d in run.report["decisions"] if d["symbol"] == symbol)


def test_a_team_that_agrees_lets_the_order_go_and_is_paid_for(desk: AgentDesk, team: type[FakeTeam]) -> None:
    team.says = {"ACME": {"action": "BUY", "confidence": 0.4, "reason": "it rises"}}
    run = desk.run()
    action, reason = _reason(run, "ACME")
    assert action == "BUY"
    assert "team says BUY: it rises" in reason
    assert (run.tokens, str(run.cost)) == (80, "0.0200000000")
    assert run.report is not None
    assert (run.report["tokens_used"], run.report["cost"]) == (80, "0.02")
    (asked,) = team.asked
    assert asked.symbols == ("ACME", "BETA")
    assert asked.config["budget"] == {"tokens": 500, "seconds": 100.0, "messages": 25}
    (line,) = asked.outputs["strategies"]["strategy_opinions"]["ACME"]
    assert line.startswith("strategy Trend says BUY (confidence ")


def test_a_team_that_disagrees_or_comes_to_nothing_keeps_the_agent_still(desk: AgentDesk, team: type[FakeTeam]) -> None:
    team.says = {"ACME": {"action": "SELL", "confidence": 0.9}}
    assert _reason(desk.run(), "ACME")[1].startswith("DISAGREEMENT: ")
    team.says = {"ACME": {"code": "BUDGET_TOKENS", "reason": "too much said"}}
    assert _reason(desk.run(), "ACME")[1].startswith("BUDGET_TOKENS: team could not say")
    assert not Order.objects.exists()
