"""What a run does next. Plain data in, plain data out: every decision of the runner, none of its effects."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from executions.choices import OnError, StepStatus

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class StepState:
    """What the machine knows of a step: its status and its rules for failures."""

    index: int
    status: str
    on_error: str = OnError.FAIL.value
    retries: int = 0
    failures: int = 0

    @property
    def settled(self) -> bool:
        """Whether the run goes on without running this step (again)."""
        if self.status == StepStatus.FAILED:
            return self.on_error == OnError.CONTINUE
        return self.status == StepStatus.COMPLETED


class Do(enum.Enum):
    """The kinds of next action."""

    RUN = "run the step"
    COMPLETE = "complete the run"
    FAIL = "fail the run"
    CANCEL = "cancel the run"


@dataclass(frozen=True)
class Action:
    """What to do next; `index` names the step to run, or the one that failed the run."""

    do: Do
    index: int | None = None


def next_action(steps: Sequence[StepState], *, cancel_requested: bool) -> Action:
    """Return what follows from the rows of a run, whoever left them so.

    A run whose last step is done is complete even if somebody asked to cancel it a moment before: nothing is left that
    a cancel could prevent.
    """
    for step in steps:
        if step.settled:
            continue
        if cancel_requested:
            return Action(Do.CANCEL)
        if step.status == StepStatus.FAILED:
            return Action(Do.FAIL, step.index)
        return Action(Do.RUN, step.index)
    return Action(Do.COMPLETE)


class After(enum.Enum):
    """What a failed attempt leads to."""

    AGAIN = "another attempt"
    SETTLE = "the step has failed"


def after_failure(step: StepState, *, retryable: bool) -> After:
    """Say whether a step that just failed once more gets another attempt; `step.failures` counts this one too."""
    return After.AGAIN if retryable and step.failures <= step.retries else After.SETTLE


def pause_s(failures: int) -> float:
    """Return the seconds to wait before the next attempt: doubling from FIRST_PAUSE_S, never above LONGEST_PAUSE_S."""
    return float(min(FIRST_PAUSE_S * 2 ** max(failures - 1, 0), LONGEST_PAUSE_S))


def progress(steps: Sequence[StepState], part: float = 0.0) -> float:
    """Return how far the run is, 0 to 100.

    Args:
        part: how much of the present step is done, 0 to 1; anything outside counts as its nearest end.
    """
    if not steps:
        return 100.0
    done = sum(step.settled for step in steps)
    within = min(max(part, 0.0), 1.0) if done < len(steps) else 0.0
    return round(100.0 * (done + within) / len(steps), 2)


def steps_to_repeat(steps: Sequence[StepState]) -> list[int]:
    """Return the indexes that a retry sets back: from the first step that is not settled, whatever is not settled."""
    return [step.index for step in steps if not step.settled]
