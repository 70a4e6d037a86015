"""Creating, cancelling and retrying runs."""

import pytest

from executions.errors import ExecutionFinished, ExecutionNotRetryable, StrategyNotRunnable
from executions.fence import claim
from executions.models import StepExecution, WorkflowExecution
from executions.services import execution_cancel, execution_create, execution_retry
from safety.models import AuditLog
from tests.executions.conftest import Trials
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.models import LiveEvent, OutboxMessage
from workflows.services import strategy_create, strategy_update

pytestmark = pytest.mark.django_db


def pointers(failure: ValidationFailed) -> list[str]:
    return [error.pointer for error in failure.errors]


def fail(context: StepContext) -> StepResult:
    raise StepError("no", code="NO")


def test_a_run_its_steps_its_message_and_its_news_are_written_together(trials: Trials) -> None:
    run = trials.create("one", {"name": "two", "retries": 3, "timeout_s": 7, "on_error": "continue"}, priority=4)
    assert (run.status, run.priority, run.symbols, run.triggered_by) == ("pending", 4, ["IBM"], "user")
    assert run.created_by_id == trials.actor.user_id
    second = trials.steps(run)[1]
    assert (second.retries, second.timeout_s, second.on_error, second.config) == (3, 7.0, "continue", {"number": 0})
    (message,) = OutboxMessage.objects.filter(task_id=run.task_id)
    assert (message.task, message.queue, message.priority, message.args) == ("executions.run", "runs", 4, [str(run.pk)])
    assert LiveEvent.objects.filter(stream=f"execution:{run.pk}", type="status").count() == 1
    assert AuditLog.objects.filter(action="execution.create", target_id=str(run.pk)).count() == 1
    assert run.workflow is not None
    run.workflow.refresh_from_db()
    assert run.workflow.executions_count == 1


def test_a_run_says_of_which_version_of_the_strategy_its_parameters_are(trials: Trials) -> None:
    workflow = trials.workflow("one", known=1)
    strategy = trials.strategy(workflow)
    changed = strategy_update(actor=trials.actor, strategy_id=strategy.pk, changes={"param": {"known": 2}})
    before, after = (
        execution_create(actor=trials.actor, workflow=workflow, strategy=read) for read in (strategy, changed)
    )
    assert [(run.params["known"], run.strategy_version) for run in (before, after)] == [(1, 1), (2, 2)]
    after.refresh_from_db()
    assert after.strategy_version == 2


def test_a_strategy_of_another_workflow_is_refused(trials: Trials) -> None:
    strategy = trials.strategy(trials.workflow("one"))
    with pytest.raises(StrategyNotRunnable):
        execution_create(actor=trials.actor, workflow=trials.workflow("two"), strategy=strategy)
    assert not WorkflowExecution.objects.exists()
    assert not OutboxMessage.objects.filter(task="executions.run").exists()


def test_a_strategy_that_is_switched_off_is_refused(trials: Trials) -> None:
    workflow = trials.workflow("one")
    strategy = trials.strategy(workflow)
    strategy = strategy_update(actor=trials.actor, strategy_id=strategy.pk, changes={"enabled": False})
    with pytest.raises(StrategyNotRunnable):
        execution_create(actor=trials.actor, workflow=workflow, strategy=strategy)


def test_a_run_needs_symbols_that_are_known(trials: Trials) -> None:
    workflow = trials.workflow("one")
    strategy = trials.strategy(workflow, symbols=[])
    with pytest.raises(ValidationFailed) as none:
        execution_create(actor=trials.actor, workflow=workflow, strategy=strategy)
    assert pointers(none.value) == ["symbols"]
    with pytest.raises(ValidationFailed) as unknown:
        execution_create(actor=trials.actor, workflow=workflow, strategy=strategy, symbols=["IBM", "NOSUCH"])
    assert pointers(unknown.value) == ["symbols/1"]


def test_input_that_the_workflow_does_not_know_is_refused_and_nothing_is_written(trials: Trials) -> None:
    workflow = trials.workflow("one", known=1)
    with pytest.raises(ValidationFailed) as failure:
        execution_create(
            actor=trials.actor, workflow=workflow, strategy=trials.strategy(workflow), input_data={"unknown": 1}
        )
    assert pointers(failure.value) == ["input_data/unknown"]
    assert not WorkflowExecution.objects.exists()
    assert not StepExecution.objects.exists()


def test_a_strategy_without_a_workflow_runs_its_own_steps(trials: Trials) -> None:
    steps = [{"name": "own", "type": "trial", "config": {"number": "$n"}}]
    strategy = strategy_create(
        actor=trials.actor, name="Legacy", symbols=["IBM"], param={"steps": steps, "n": 5}, workflow_id=None
    )
    run = trials.carry(execution_create(actor=trials.actor, workflow=None, strategy=strategy))
    assert run.status == "completed"
    assert run.workflow_version is None
    assert trials.steps(run)[0].output == {"number": 5}


def test_a_waiting_run_is_cancelled_at_once(trials: Trials) -> None:
    run = execution_cancel(actor=trials.actor, execution=trials.create(), reason="changed my mind")
    assert run.status == "cancelled"
    assert run.completed_at is not None
    assert set(trials.statuses(run)) == {"cancelled"}
    assert trials.carry(run).status == "cancelled", "its message comes too late"
    assert trials.begun == []
    (row,) = AuditLog.objects.filter(action="execution.cancel")
    assert row.reason == "changed my mind"


def test_a_running_run_is_asked_to_stop_and_a_second_wish_changes_nothing(trials: Trials) -> None:
    run = trials.create()
    claim(run.pk, "one")
    first = execution_cancel(actor=trials.actor, execution=run)
    assert (first.status, first.cancel_requested_at is not None) == ("running", True)
    second = execution_cancel(actor=trials.actor, execution=run)
    assert second.cancel_requested_at == first.cancel_requested_at
    assert AuditLog.objects.filter(action="execution.cancel").count() == 1


def test_a_wish_at_a_step_boundary_keeps_what_is_done_and_begins_nothing_more(trials: Trials) -> None:
    run = trials.create()

    def cancelled_meanwhile(context: StepContext) -> StepResult:
        execution_cancel(actor=trials.actor, execution=run)
        return StepResult({"kept": True})

    trials.acts["one"] = cancelled_meanwhile
    assert trials.carry(run).status == "cancelled"
    assert trials.begun == ["one"]
    assert trials.statuses(run) == ["completed", "cancelled", "cancelled"]
    assert trials.steps(run)[0].output == {"kept": True}


@pytest.mark.parametrize("act", [None, fail])
def test_an_ended_run_cannot_be_cancelled(trials: Trials, act: None) -> None:
    if act is not None:
        trials.acts["one"] = act
    run = trials.carry(trials.create())
    with pytest.raises(ExecutionFinished):
        execution_cancel(actor=trials.actor, execution=run)
    assert trials.again(run).status == run.status


def test_a_retry_goes_on_at_the_first_incomplete_step_and_repeats_none(trials: Trials) -> None:
    trials.acts["two"] = fail
    run = trials.carry(trials.create())
    old_task = run.task_id
    del trials.acts["two"]
    again = execution_retry(actor=trials.actor, execution=run)
    assert (again.status, again.attempts, again.error_code, again.completed_at) == ("pending", 0, "", None)
    assert again.task_id != old_task
    assert OutboxMessage.objects.filter(task_id=again.task_id).count() == 1
    assert trials.carry(again).status == "completed"
    assert trials.begun == ["one", "two", "two", "three"]
    (row,) = AuditLog.objects.filter(action="execution.retry")
    assert row.before["error_code"] == "NO", "the first end stays on record"


def test_a_cancelled_run_can_be_retried(trials: Trials) -> None:
    run = execution_cancel(actor=trials.actor, execution=trials.create())
    execution_retry(actor=trials.actor, execution=run)
    assert trials.carry(run).status == "completed"


def test_a_retry_leaves_a_failure_that_was_passed_over_as_it_is(trials: Trials) -> None:
    trials.acts["one"] = trials.acts["two"] = fail
    run = trials.carry(trials.create({"name": "one", "on_error": "continue"}, "two"))
    assert run.status == "failed"
    assert "step two" in run.error_message, "not the one that was passed over"
    trials.acts.clear()
    execution_retry(actor=trials.actor, execution=run)
    assert trials.carry(run).status == "completed"
    assert trials.begun == ["one", "two", "two"]


def test_only_failed_and_cancelled_runs_can_be_retried(trials: Trials) -> None:
    waiting = trials.create()
    with pytest.raises(ExecutionNotRetryable):
        execution_retry(actor=trials.actor, execution=waiting)
    claim(waiting.pk, "one")
    with pytest.raises(ExecutionNotRetryable):
        execution_retry(actor=trials.actor, execution=waiting)
    done = trials.carry(trials.create())
    with pytest.raises(ExecutionNotRetryable):
        execution_retry(actor=trials.actor, execution=done)
    assert trials.again(done).status == "completed"
