"""The coded errors of the autonomous agent."""

from tradingsite.common.contracts.steps import StepError
from tradingsite.common.errors import Conflict, NotFound


class AgentDisabled(Conflict):
    code, title = "AGENT_DISABLED", "The autonomous agent is switched off"


class AgentRunUnderWay(Conflict):
    """`run_id` in the problem document names the run that is under way."""

    code, title = "AGENT_RUN_UNDER_WAY", "A run of the agent is under way"


class AgentWorkflowChanged(Conflict):
    code, title = "AGENT_WORKFLOW_CHANGED", "The agent's own workflow was changed by hand"


class AgentRunNotFound(NotFound):
    code, title = "AGENT_RUN_NOT_FOUND", "There is no such run of the agent"


class AgentRunEnded(Conflict):
    code, title = "AGENT_RUN_ENDED", "The run of the agent has ended"


class ProposalNotFound(NotFound):
    code, title = "PROPOSAL_NOT_FOUND", "There is no such proposal"


class ProposalClosed(Conflict):
    code, title = "PROPOSAL_CLOSED", "The proposal was decided already, or has expired"


class ProposalPriceMoved(Conflict):
    code, title = "PROPOSAL_PRICE_MOVED", "The price has moved too far since it was proposed"


class NoRunOfTheAgent(StepError):
    """The step belongs to a run of the autonomous agent that is under way."""

    code, title = "NO_RUN_OF_THE_AGENT", "This step belongs to the autonomous agent alone"


# Why a run does not start, beside the errors above.
QUIET_HOURS = "QUIET_HOURS"
DAY_BUDGET_TOKENS = "DAY_BUDGET_TOKENS"
DAY_BUDGET_COST = "DAY_BUDGET_COST"
DAY_BUDGET_ORDERS = "DAY_BUDGET_ORDERS"
