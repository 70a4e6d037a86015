"""Carrying a run: every step once, in order, and an honest end whatever happens."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError

from executions.choices import ExecutionStatus
from executions.models import WorkflowExecution
from executions.services import execution_cancel, execution_create
from portfolio.models import Order
from safety.services import kill
from tests.executions.conftest import Trials
from tradingsite.common import lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult, StepRetryable
from tradingsite.common.live.events import stream_after
from tradingsite.common.models import LiveEvent, OutboxMessage
from workflows.services import workflow_update

pytestmark = pytest.mark.django_db


def fail(context: StepContext) -> StepResult:
    raise StepError("it will never do", code="NEVER")


def messages(execution: WorkflowExecution, type_: str) -> list[dict[str, Any]]:
    envelopes = stream_after(f"execution:{execution.pk}", 0)
    return [envelope["message"] for envelope in envelopes if envelope["message"]["type"] == type_]


def test_the_steps_run_in_order_and_each_sees_what_came_before(trials: Trials) -> None:
    run = trials.carry(trials.create({"name": "one", "config": {"number": 7}}, "two"))
    assert run.status == "completed"
    assert run.progress == 100
    assert run.started_at is not None
    assert run.completed_at is not None
    assert trials.begun == ["one", "two"]
    assert trials.contexts[1].outputs == {"one": {"number": 7}}
    assert trials.contexts[1].latest("number") == 7
    assert trials.contexts[0].as_of == trials.contexts[1].as_of == run.as_of


def test_a_step_gets_the_parameters_of_workflow_strategy_and_call_in_this_order(trials: Trials) -> None:
    steps = [{"name": name, "config": {"number": f"${name}"}} for name in ("a", "b", "c")]
    workflow = trials.workflow(*steps, a=1, b=1, c=1)
    strategy = trials.strategy(workflow, param={"b": 2, "c": 2})
    run = execution_create(actor=trials.actor, workflow=workflow, strategy=strategy, input_data={"c": 3})
    trials.carry(run)
    assert [step.output for step in trials.steps(run)] == [{"number": 1}, {"number": 2}, {"number": 3}]


def test_a_step_type_that_fails_ends_the_run_with_its_code_and_runs_nothing_after(trials: Trials) -> None:
    trials.acts["two"] = fail
    run = trials.carry(trials.create())
    assert run.status == "failed"
    assert run.error_code == "NEVER"
    assert "it will never do" in run.error_message
    assert trials.begun == ["one", "two"]
    assert trials.statuses(run) == ["completed", "failed", "skipped"]


def test_a_failure_that_may_be_passed_over_leaves_its_trace_and_the_run_completes(trials: Trials) -> None:
    trials.acts["two"] = fail
    run = trials.carry(trials.create("one", {"name": "two", "on_error": "continue"}, "three"))
    assert run.status == "completed"
    assert trials.statuses(run) == ["completed", "failed", "completed"]
    assert trials.steps(run)[1].error_code == "NEVER"
    assert "two" not in trials.contexts[2].outputs


def test_a_failure_that_may_pass_is_tried_again_within_its_retries(trials: Trials) -> None:
    def twice(context: StepContext) -> StepResult:
        if context.attempt < 3:
            raise StepRetryable("not yet", code="NOT_YET")
        return StepResult({"attempt": context.attempt})

    trials.acts["one"] = twice
    run = trials.carry(trials.create({"name": "one", "retries": 2}))
    assert run.status == "completed"
    (step,) = trials.steps(run)
    assert step.attempts == 3
    assert step.output == {"attempt": 3}
    assert step.error_code == ""


def test_retries_are_bounded(trials: Trials) -> None:
    def never(context: StepContext) -> StepResult:
        raise StepRetryable("not yet", code="NOT_YET")

    trials.acts["one"] = never
    run = trials.carry(trials.create({"name": "one", "retries": 1}))
    assert run.status == "failed"
    assert run.error_code == "NOT_YET"
    assert trials.begun == ["one", "one"]


def test_a_final_failure_is_not_tried_again_whatever_the_retries(trials: Trials) -> None:
    trials.acts["one"] = fail
    trials.carry(trials.create({"name": "one", "retries": 5}))
    assert trials.begun == ["one"]


@pytest.mark.parametrize("fault", [KeyError("x"), ZeroDivisionError(), IntegrityError("twice"), RecursionError()])
def test_a_fault_in_a_steps_code_is_its_runs_failure_and_happens_once(trials: Trials, fault: Exception) -> None:
    def crash(context: StepContext) -> StepResult:
        raise fault

    trials.acts["one"] = crash
    run = trials.carry(trials.create())
    assert run.status == "failed"
    assert run.error_code == "STEP_CRASHED"
    assert type(fault).__name__ in run.error_message
    assert trials.begun == ["one"]


@pytest.mark.parametrize(
    "output", [{"price": Decimal("1.5")}, {"x": float("nan")}, {"x": "\x00"}, {"x": object()}, {1: {2, 3}}]
)
def test_an_output_that_is_no_json_fails_its_step_once(trials: Trials, output: dict[Any, Any]) -> None:
    trials.acts["one"] = lambda context: StepResult(output)
    run = trials.carry(trials.create())
    assert run.status == "failed"
    assert run.error_code == "STEP_OUTPUT_INVALID"
    assert trials.begun == ["one"]


def test_a_step_beyond_its_time_fails_at_its_next_check(trials: Trials) -> None:
    def slow(context: StepContext) -> StepResult:
        for _ in range(200):
            context.check()
            time.sleep(0.02)
        return StepResult()

    trials.acts["one"] = slow
    began = time.monotonic()
    run = trials.carry(trials.create({"name": "one", "timeout_s": 0.2}))
    assert run.status == "failed"
    assert run.error_code == "STEP_TIMED_OUT"
    assert time.monotonic() - began < 3


def test_a_run_taken_up_again_skips_what_is_complete(trials: Trials) -> None:
    class PowerCut(BaseException):
        pass

    def cut(context: StepContext) -> StepResult:
        raise PowerCut

    trials.acts["two"] = cut
    run = trials.create()
    with pytest.raises(PowerCut):
        trials.carry(run)
    assert trials.again(run).status == "running", "nobody was there to say otherwise"
    del trials.acts["two"]
    assert trials.carry(run).status == "running", "its lease holds"
    WorkflowExecution.objects.filter(pk=run.pk).update(lease_until="2020-01-01T00:00:00Z")
    assert trials.carry(run, "worker two").status == "completed"
    assert trials.begun == ["one", "two", "two", "three"]
    assert [step.attempts for step in trials.steps(run)] == [1, 2, 1]
    assert trials.again(run).attempts == 2


def test_a_definition_edited_while_a_run_is_under_way_changes_nothing_for_it(trials: Trials) -> None:
    workflow = trials.workflow(
        {"name": "one", "config": {"number": "$n"}}, {"name": "two", "config": {"number": "$n"}}, n=1
    )
    run = execution_create(actor=trials.actor, workflow=workflow, strategy=trials.strategy(workflow))

    def edit(context: StepContext) -> StepResult:
        workflow_update(
            actor=trials.actor,
            workflow_id=workflow.pk,
            name=workflow.name,
            type="custom",
            steps=[{"name": "other", "type": "trial", "config": {"number": "$n"}}],
            default_params={"n": 99},
        )
        return StepResult({"number": context.config["number"]})

    trials.acts["one"] = edit
    done = trials.carry(run)
    assert done.status == "completed"
    assert trials.begun == ["one", "two"]
    assert [step.output for step in trials.steps(run)] == [{"number": 1}, {"number": 1}]
    assert done.workflow_version is not None
    assert done.workflow_version.version_number == 1
    workflow.refresh_from_db()
    assert workflow.current_version is not None
    assert workflow.current_version.version_number == 2


@pytest.mark.django_db(transaction=True)
def test_a_running_run_is_cancelled_within_two_seconds_in_the_middle_of_a_step(trials: Trials) -> None:
    begun = threading.Event()

    def endless(context: StepContext) -> StepResult:
        begun.set()
        while True:
            context.check()
            time.sleep(0.02)

    trials.acts["two"] = endless
    run = trials.create()
    worker = threading.Thread(target=carry_in_thread, args=(trials, run))
    worker.start()
    assert begun.wait(10)
    asked = time.monotonic()
    execution_cancel(actor=trials.actor, execution=run)
    worker.join(10)
    # Two seconds are the promise; the rest is the patience of a busy machine.
    assert time.monotonic() - asked < 4
    assert trials.again(run).status == "cancelled"
    assert trials.statuses(run) == ["completed", "cancelled", "cancelled"]
    assert trials.begun == ["one", "two"]


def carry_in_thread(trials: Trials, run: WorkflowExecution) -> None:
    from django.db import connection

    try:
        trials.carry(run)
    finally:
        connection.close()


def test_a_stopping_process_hands_its_run_over_without_using_up_an_attempt(trials: Trials) -> None:
    def stop(context: StepContext) -> StepResult:
        lifecycle.stopping.set()
        context.check()
        return StepResult()

    trials.acts["two"] = stop
    run = trials.create()
    OutboxMessage.objects.all().delete()
    handed = trials.carry(run)
    assert handed.status == "pending"
    assert handed.attempts == 0
    assert trials.statuses(run) == ["completed", "pending", "pending"]
    assert OutboxMessage.objects.filter(task_id=run.task_id, published_at=None).exists()
    lifecycle.stopping.clear()
    del trials.acts["two"]
    assert trials.carry(run, "worker two").status == "completed"
    assert trials.begun == ["one", "two", "two", "three"]


def test_a_run_that_is_handed_over_and_was_to_be_cancelled_ends(trials: Trials) -> None:
    run = trials.create()

    def cancel_and_stop(context: StepContext) -> StepResult:
        execution_cancel(actor=trials.actor, execution=run)
        lifecycle.stopping.set()
        context.check()
        return StepResult()

    trials.acts["one"] = cancel_and_stop
    assert trials.carry(run).status == "cancelled", "a waiting run that nobody may claim would wait for ever"


def test_what_happens_is_told_with_numbers_without_a_gap(trials: Trials) -> None:
    run = trials.carry(trials.create("one", "two"))
    assert [message["status"] for message in messages(run, "status")] == ["pending", "running", "completed"]
    steps = [(message["name"], message["status"]) for message in messages(run, "step")]
    assert steps == [("one", "running"), ("one", "completed"), ("two", "running"), ("two", "completed")]
    assert all({"index", "name", "status", "duration"} <= set(message) for message in messages(run, "step"))
    numbers = list(LiveEvent.objects.filter(stream=f"execution:{run.pk}").order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.django_db(transaction=True)
def test_a_talkative_step_is_heard_at_most_ten_times_a_second_and_loses_no_line(trials: Trials) -> None:
    def talk(context: StepContext) -> StepResult:
        for number in range(300):
            context.log(f"line {number}")
            context.progress(number / 300)
            time.sleep(0.004)
        return StepResult()

    trials.acts["one"] = talk
    began = time.monotonic()
    run = trials.carry(trials.create("one"))
    seconds = time.monotonic() - began
    told = len(messages(run, "log")) + len(messages(run, "progress"))
    assert 2 <= told <= 10 * (seconds + 1)
    (step,) = trials.steps(run)
    assert [line["message"] for line in step.logs] == [f"line {number}" for number in range(300)]


def test_results_hold_decisions_orders_and_the_log(trials: Trials) -> None:
    trials.acts["one"] = lambda context: StepResult({"decisions": [{"symbol": "IBM", "action": "BUY", "reason": "up"}]})
    trials.acts["two"] = lambda context: StepResult({"orders": [{"symbol": "IBM", "status": "filled"}]})
    run = trials.carry(trials.create("one", "two"))
    assert run.results is not None
    assert run.decisions_made == run.results["decisions_made"] == 1
    assert run.orders_placed == run.results["orders_placed"] == 1
    assert {"symbols_processed", "execution_logs", "decisions", "orders"} <= set(run.results)


def test_a_failed_run_keeps_the_results_of_the_steps_that_were_done(trials: Trials) -> None:
    trials.acts["one"] = lambda context: StepResult({"decisions": [{"symbol": "IBM", "action": "HOLD"}]})
    trials.acts["two"] = fail
    run = trials.carry(trials.create("one", "two"))
    assert run.status == ExecutionStatus.FAILED
    assert run.decisions_made == 1


def test_a_message_for_a_run_that_is_over_changes_nothing(trials: Trials) -> None:
    run = trials.carry(trials.create())
    before = trials.again(run)
    after = trials.carry(run, "worker two")
    assert (after.status, after.fence, after.attempts) == (before.status, before.fence, before.attempts)
    assert len(trials.begun) == 3
    assert Order.objects.count() == 0


def _endless(begun: threading.Event) -> Callable[[StepContext], StepResult]:
    def act(context: StepContext) -> StepResult:
        begun.set()
        while True:
            context.check()
            time.sleep(0.02)

    return act


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("its_own_strategy", [False, True])
def test_a_kill_stops_a_run_within_two_seconds_in_the_middle_of_a_step(
    trials: Trials, operator_actor: Actor, data_dir: Path, its_own_strategy: bool
) -> None:
    begun = threading.Event()
    trials.acts["two"] = _endless(begun)
    run = trials.create()
    worker = threading.Thread(target=carry_in_thread, args=(trials, run))
    worker.start()
    assert begun.wait(10)
    killed = time.monotonic()
    kill(actor=operator_actor, reason="enough", scope=run.strategy_id if its_own_strategy else "all")
    worker.join(10)
    assert time.monotonic() - killed < 4
    stopped = trials.again(run)
    assert (stopped.status, stopped.error_code) == ("failed", "KILL_SWITCH_ACTIVE")
    assert "enough" in stopped.error_message
    assert [step.status for step in trials.steps(run)] == ["completed", "failed", "skipped"]


@pytest.mark.django_db(transaction=True)
def test_the_kill_of_another_strategy_stops_no_run(trials: Trials, operator_actor: Actor, data_dir: Path) -> None:
    def wait(context: StepContext) -> StepResult:
        kill(actor=operator_actor, scope=uuid4())
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            context.check()
            time.sleep(0.02)
        return StepResult({})

    trials.acts["two"] = wait
    assert trials.carry(trials.create()).status == "completed"


@pytest.mark.django_db(transaction=True)
def test_a_kill_ends_the_wait_for_another_attempt(trials: Trials, operator_actor: Actor, data_dir: Path) -> None:
    failed = threading.Event()

    def fail(context: StepContext) -> StepResult:
        failed.set()
        raise StepRetryable("not now", code="TRIAL")

    trials.acts["one"] = fail
    run = trials.create({"name": "one", "retries": 9}, "two")
    worker = threading.Thread(target=carry_in_thread, args=(trials, run))
    worker.start()
    assert failed.wait(10)
    kill(actor=operator_actor, reason="enough")
    worker.join(10)
    stopped = trials.again(run)
    assert (stopped.status, stopped.error_code) == ("failed", "KILL_SWITCH_ACTIVE")
    assert [step.status for step in trials.steps(run)] == ["failed", "skipped"]
