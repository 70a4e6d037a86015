"""What a run does next, and what it leaves behind."""

from typing import Any

import pytest

from executions.choices import (
    EXECUTION_TRANSITIONS,
    STEP_TRANSITIONS,
    TERMINAL,
    ExecutionStatus,
    StepStatus,
    may_follow,
)
from executions.machine import Finish, StepState, StepTrace, next_action, progress_percent, results_of, tally_of


def states(*statuses: str, on_error: str = "fail") -> list[StepState]:
    return [StepState(index, status, on_error) for index, status in enumerate(statuses)]


def test_a_run_begins_with_its_first_step() -> None:
    action = next_action(states("pending", "pending"), cancel_requested=False)
    assert not isinstance(action, Finish)
    assert action.index == 0


@pytest.mark.parametrize("status", ["pending", "running"])
def test_a_resumed_run_goes_on_at_its_first_incomplete_step(status: str) -> None:
    action = next_action(states("completed", status, "pending"), cancel_requested=False)
    assert not isinstance(action, Finish)
    assert action.index == 1


def test_a_run_whose_steps_are_complete_is_complete() -> None:
    assert next_action(states("completed", "completed"), cancel_requested=False) == Finish("completed")


def test_a_failed_step_fails_its_run() -> None:
    assert next_action(states("completed", "failed", "pending"), cancel_requested=False) == Finish("failed")


def test_a_failed_step_that_may_be_passed_over_is_passed_over() -> None:
    action = next_action(states("failed", "pending", on_error="continue"), cancel_requested=False)
    assert not isinstance(action, Finish)
    assert action.index == 1
    assert next_action(states("completed", "failed", on_error="continue"), cancel_requested=False) == Finish(
        "completed"
    )


def test_a_wish_to_cancel_ends_a_run_that_has_steps_left() -> None:
    assert next_action(states("completed", "pending"), cancel_requested=True) == Finish("cancelled")


def test_a_wish_to_cancel_comes_too_late_after_the_last_step() -> None:
    assert next_action(states("completed", "completed"), cancel_requested=True) == Finish("completed")


def test_progress_counts_steps_and_the_done_part_of_the_present_one() -> None:
    steps = states("completed", "running", "pending", "pending")
    assert progress_percent(steps) == 25
    assert progress_percent(steps, within=0.5) == 37.5
    assert progress_percent(states("completed", "completed")) == 100


@pytest.mark.parametrize(("within", "expected"), [(-3.0, 0.0), (7.0, 50.0)])
def test_progress_never_leaves_its_step(within: float, expected: float) -> None:
    assert progress_percent(states("running", "pending"), within=within) == expected


def test_an_end_that_is_complete_is_never_left() -> None:
    assert EXECUTION_TRANSITIONS[ExecutionStatus.COMPLETED] == frozenset()
    assert STEP_TRANSITIONS[StepStatus.COMPLETED] == frozenset()
    for status in TERMINAL:
        assert not may_follow(status, ExecutionStatus.RUNNING), "an ended run must be asked for again first"


def test_results_take_the_last_decisions_and_all_orders() -> None:
    results = results_of(
        [
            StepTrace("prices", {"series": {"IBM": {}, "AAPL": {}}}, [{"at": "t", "message": "read"}], "2 series"),
            StepTrace("decide", {"decisions": [{"symbol": "IBM", "action": "BUY"}]}),
            StepTrace("filter", {"decisions": [{"symbol": "IBM", "action": "HOLD"}]}),
            StepTrace("first", {"orders": [{"status": "filled"}, {"status": "denied"}]}),
            StepTrace("second", {"orders": [{"status": "unknown"}]}),
        ]
    )
    assert results["symbols_processed"] == 2
    assert [decision["action"] for decision in results["decisions"]] == ["HOLD"]
    assert results["decisions_made"] == 1
    assert len(results["orders"]) == 3
    assert results["orders_placed"] == 2, "what the gate denied was not placed"
    assert [(line["step"], line["message"]) for line in results["execution_logs"]] == [
        ("prices", "read"),
        ("prices", "2 series"),
    ]


def test_an_impossible_r_is_not_added_to_the_others() -> None:
    stated: list[Any] = [2.0, 1, None, "3", True, 1e308, 1e308, -(10**400), float("nan")]
    tally = tally_of([{"action": "BUY", "r_coefficient": r} for r in stated])
    assert (tally.buys, tally.r_sum, tally.r_count) == (9, 3.0, 2)
