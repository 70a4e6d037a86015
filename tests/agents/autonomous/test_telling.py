"""The messages of a run are one list that only grows, whatever becomes of its steps."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.autonomous.choices import Phase
from agents.autonomous.telling import RunView, StepView, messages_of, report_of

RUN = RunView("run", "execution", "user", "act", ["ACME"], [], "running")
OUTPUTS: dict[str, dict[str, Any]] = {
    Phase.DECIDE: {"decisions": [{"symbol": "ACME", "action": "BUY"}]},
    Phase.ACT: {"orders": [{"symbol": "ACME", "status": "filled"}], "proposals": [{"symbol": "BETA"}]},
}


@given(st.lists(st.sampled_from(["run", "hand over", "complete", "fail", "cancel", "nothing"]), max_size=40))
def test_a_later_look_finds_what_an_earlier_one_found_and_what_came_since(events: list[str]) -> None:
    steps = [StepView(phase.value, "pending", begun=False) for phase in Phase]
    run, place, heard = RUN, 0, messages_of(RUN, [])
    for event in events:
        if place < len(steps) and run.report is None:
            step = steps[place]
            if event == "run":
                steps[place] = dataclasses.replace(step, status="running", begun=True)
            elif event == "hand over" and step.begun:
                steps[place] = dataclasses.replace(step, status="pending")
            elif event == "complete" and step.status == "running":
                steps[place] = dataclasses.replace(step, status="completed", output=OUTPUTS.get(step.name, {}))
                place += 1
            elif event in ("fail", "cancel"):
                ended = "failed" if event == "fail" else "cancelled"
                steps[place] = dataclasses.replace(step, status=ended, error_code="X" if event == "fail" else "")
                run = dataclasses.replace(run, status=ended, report={"id": "run"})
        now = messages_of(run, steps)
        assert now[: len(heard)] == heard
        heard = now
    if run.report is not None:
        assert heard[-1][0] == "run_finished"
    assert all(data["run_id"] == "run" for _, data in heard)


def test_a_report_of_a_run_that_failed_says_where_and_why() -> None:
    steps = [
        StepView("observe", "completed", True, output={"observations": [{"topic": "price"}]}),
        StepView("analyse", "failed", True, error_code="X", error_message="broken"),
        StepView("decide", "skipped", False),
    ]
    run = dataclasses.replace(RUN, status="failed")
    report = report_of(run, steps, started_at="a", finished_at="b", code="X", reason="broken")
    assert report["summary"] == "The run failed in the phase analyse: broken"
    assert report["error"] == {"code": "X", "message": "broken"}
    assert report["observations"] == [{"topic": "price"}]
    assert report["orders"] == report["decisions"] == []
