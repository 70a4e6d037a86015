"""The coded errors of workflows and strategies."""

from tradingsite.common.contracts.steps import StepError
from tradingsite.common.errors import Conflict, NotFound


class WorkflowNotFound(NotFound):
    code, title = "WORKFLOW_NOT_FOUND", "There is no such workflow"


class WorkflowVersionNotFound(NotFound):
    code, title = "WORKFLOW_VERSION_NOT_FOUND", "The workflow has no such version"


class StrategyNotFound(NotFound):
    code, title = "STRATEGY_NOT_FOUND", "There is no such strategy"


class StrategyVersionNotFound(NotFound):
    code, title = "STRATEGY_VERSION_NOT_FOUND", "The strategy has no such version"


class StrategyVersionUnfit(Conflict):
    """Its fields are named as those of the version: `param/…`, `symbols/…`, `strategy_type`."""

    code, title = "STRATEGY_VERSION_UNFIT", "The version does not fit what the workflow is by now"


class WorkflowInUse(Conflict):
    """Carries `strategies`, the enabled ones that would lose their definition, in the problem document."""

    code, title = "WORKFLOW_IN_USE", "Active strategies use this workflow"


class NameTaken(Conflict):
    code, title = "NAME_TAKEN", "The name is taken"


class NotDeleted(Conflict):
    code, title = "NOT_DELETED", "It is not deleted, so there is nothing to restore"


class WorkflowDeleted(Conflict):
    code, title = "WORKFLOW_DELETED", "The workflow is deleted; restore it first"


class NoMarketData(StepError):
    code, title = "NO_MARKET_DATA", "The step needs the output of a market_data step before it"


class UnknownFigure(StepError):
    code, title = "UNKNOWN_FIGURE", "A rule names a figure that no step computed"
