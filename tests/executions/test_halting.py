"""What a kill switch that is set does to runs: nothing more begins, and what it interrupts ends with its run."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from executions import watchdog
from executions.ledger import RunLedger
from executions.models import WorkflowExecution
from executions.services import execution_retry
from safety import killswitch, sentinel
from safety.models import EVERYTHING, KillSwitch
from safety.services import kill, resume
from tests.executions.conftest import Trials
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepContext, StepResult

pytestmark = pytest.mark.django_db


def test_a_halted_desk_stops_a_run_before_its_next_step_and_a_retry_goes_on_there(
    trials: Trials, operator_actor: Actor
) -> None:
    def halt(context: StepContext) -> StepResult:
        kill(actor=operator_actor, reason="trial")
        return StepResult({})

    trials.acts["one"] = halt
    run = trials.carry(trials.create())
    assert run.status == "failed"
    assert run.error_code == "KILL_SWITCH_ACTIVE"
    assert trials.begun == ["one"]
    resume(actor=operator_actor, reason="trial over")
    execution_retry(actor=trials.actor, execution=run)
    assert trials.carry(run).status == "completed"
    assert trials.begun == ["one", "two", "three"]


@pytest.mark.parametrize("half", ["database", "file"])
@pytest.mark.parametrize("begun", [[], ["one"]])
def test_either_half_of_the_kill_switch_alone_stops_a_run_before_any_step(
    trials: Trials, half: str, begun: list[str]
) -> None:
    def halt(context: StepContext | None = None) -> StepResult:
        if half == "file":
            sentinel.write(EVERYTHING, {"reason": "trial"})
        else:
            KillSwitch.objects.filter(scope=EVERYTHING).update(active=True, reason="trial")
        return StepResult({})

    run = trials.create()
    if begun:
        trials.acts["one"] = halt
    else:
        halt()
    ended = trials.carry(run)
    assert (ended.status, ended.error_code, trials.begun) == ("failed", "KILL_SWITCH_ACTIVE", begun)


def test_a_halt_ends_a_run_whose_step_may_fail_too_and_a_retry_does_that_step(
    trials: Trials, operator_actor: Actor
) -> None:
    def halted(context: StepContext) -> StepResult:
        kill(actor=operator_actor, reason="trial")
        killswitch.assert_open(strategy_id=context.strategy_id)
        raise AssertionError

    trials.acts["opinion"] = halted
    run = trials.carry(trials.create({"name": "opinion", "on_error": "continue"}, "order"))
    assert (run.status, run.error_code, trials.begun) == ("failed", "KILL_SWITCH_ACTIVE", ["opinion"])
    resume(actor=operator_actor, reason="trial over")
    del trials.acts["opinion"]
    execution_retry(actor=trials.actor, execution=run)
    assert trials.carry(run).status == "completed"
    assert trials.begun == ["opinion", "opinion", "order"]
    assert trials.statuses(run) == ["completed", "completed"]


def test_a_step_of_a_lost_worker_ends_with_the_run_that_a_halt_ends(trials: Trials, operator_actor: Actor) -> None:
    run = trials.create("one", "two")
    assert RunLedger.claim(run.pk, "lost") is not None
    WorkflowExecution.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
    watchdog.tick()
    kill(actor=operator_actor, reason="trial")
    assert trials.carry(run).status == "failed"
    assert trials.statuses(run) == ["failed", "skipped"]
    assert trials.steps(run)[0].error_code == "KILL_SWITCH_ACTIVE"
