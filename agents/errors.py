"""The coded errors of agents: of the registry, and of a step that calls one."""

from tradingsite.common.contracts.steps import StepError, StepInterrupted, StepRetryable
from tradingsite.common.errors import NotFound


class AgentNotFound(NotFound):
    code, title = "AGENT_NOT_FOUND", "There is no such agent"


class AgentUnusable(StepError):
    """The registry does not let the step call: no such agent, switched off, of another kind, without its key."""

    code, title = "AGENT_UNUSABLE", "The agent cannot be called"


class AgentRequestTooLarge(StepError):
    code, title = "AGENT_REQUEST_TOO_LARGE", "What the agent should be told is too large"


class AgentAddressRefused(StepError):
    code, title = "AGENT_ADDRESS_REFUSED", "The desk does not call this address"


class AgentRefused(StepError):
    """The agent answered that the request is wrong; it would say so again."""

    code, title = "AGENT_REFUSED", "The agent refused the request"


class AgentAnswerInvalid(StepError):
    """The answer is no JSON object, too large, not as its schema has it, or holds decisions that are none."""

    code, title = "AGENT_ANSWER_INVALID", "The agent's answer is not usable"


class AgentUnavailable(StepRetryable):
    """No answer in time, or one that says: later."""

    code, title = "AGENT_UNAVAILABLE", "The agent does not answer for now"


def stop_code(stop: StepInterrupted) -> str:
    """Name a reason to stop as codes are written: RunCancelled is RUN_CANCELLED."""
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in type(stop).__name__).upper().strip("_")
