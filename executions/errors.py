"""What can go wrong with a run, by code."""

from tradingsite.common.contracts.steps import StepInterrupted
from tradingsite.common.errors import Conflict, NotFound


class ExecutionNotFound(NotFound):
    code, title = "EXECUTION_NOT_FOUND", "There is no such run"


class ExecutionFinished(Conflict):
    code, title = "EXECUTION_FINISHED", "The run has already ended"


class ExecutionNotRetryable(Conflict):
    code, title = "EXECUTION_NOT_RETRYABLE", "Only a failed or cancelled run can be retried"


class StepOutputNotFound(NotFound):
    code, title = "STEP_OUTPUT_NOT_FOUND", "There is no such output"


class TaskNotFound(NotFound):
    code, title = "TASK_NOT_FOUND", "There is no such task"


class StrategyNotRunnable(Conflict):
    code, title = "STRATEGY_NOT_RUNNABLE", "The strategy cannot be run"


class RecordNotReplayable(Conflict):
    code, title = "RECORD_NOT_REPLAYABLE", "The parked record is still no request"


class LeaseLost(StepInterrupted):
    """Another worker holds the run by now; whatever this one still wants to write is refused."""


class RunCancelled(StepInterrupted):
    """Somebody asked to cancel the run."""


class RunHalted(StepInterrupted):
    """The kill switch was set over the run while a step was under way. `detail` says by whom and why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class HandOver(StepInterrupted):
    """The process is about to end; another worker goes on with the run."""


class StepTimedOut(StepInterrupted):
    """The step has used its time up."""


# Codes of failures that no exception of ours carries.
ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
STEP_TIMED_OUT = "STEP_TIMED_OUT"
STEP_CRASHED = "STEP_CRASHED"
STEP_OUTPUT_INVALID = "STEP_OUTPUT_INVALID"
STEP_TYPE_MISSING = "STEP_TYPE_MISSING"
