"""What can go wrong with a run, by code."""

from tradingsite.common.contracts.steps import StepError
from tradingsite.common.errors import Conflict, NotFound


class ExecutionNotFound(NotFound):
    code, title = "EXECUTION_NOT_FOUND", "There is no such run"


class ExecutionFinished(Conflict):
    code, title = "EXECUTION_FINISHED", "The run has already ended"


class ExecutionNotRetryable(Conflict):
    code, title = "EXECUTION_NOT_RETRYABLE", "Only a failed or cancelled run can be retried"


class StrategyNotRunnable(Conflict):
    code, title = "STRATEGY_NOT_RUNNABLE", "The strategy cannot be run"


class TransitionRefused(Conflict):
    """A row was not in a state from which it may go where it was sent: a fault of the caller."""

    code, title = "TRANSITION_REFUSED", "The present state does not lead there"


class StepTypeMissing(StepError):
    """The app that offered the step's type is no longer installed."""

    code, title = "STEP_TYPE_MISSING", "The step's type is not installed"


class StepOutputInvalid(StepError):
    """The step returned something that the database cannot hold as JSON."""

    code, title = "STEP_OUTPUT_INVALID", "The step's output is not JSON"


class LeaseLost(Exception):
    """Another worker holds the run by now, or it has ended; whatever this one still wants to write is refused."""


# Codes of failures that no exception of ours carries.
ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
STEP_TIMED_OUT = "STEP_TIMED_OUT"
STEP_CRASHED = "STEP_CRASHED"
