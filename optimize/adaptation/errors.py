"""The coded errors of live adaptation."""

from tradingsite.common.errors import Conflict, NotFound


class AdaptationNotFound(NotFound):
    code, title = "ADAPTATION_NOT_FOUND", "There is no such adaptation"


class EventNotFound(NotFound):
    code, title = "ADAPTATION_EVENT_NOT_FOUND", "There is no such event"


class AlreadyAdapting(Conflict):
    code, title = "ALREADY_ADAPTING", "The strategy has an active adaptation"


class AdaptationStopped(Conflict):
    code, title = "ADAPTATION_STOPPED", "The adaptation was stopped"


class AdaptationFrozen(Conflict):
    """The kill switch is active, or an account's books differ from its broker's."""

    code, title = "ADAPTATION_FROZEN", "No parameter may be changed now"


class RoundUnderWay(Conflict):
    code, title = "ROUND_UNDER_WAY", "A round is under way"


class EventNotOpen(Conflict):
    """It is no proposal that waits, or somebody decided on it already."""

    code, title = "EVENT_NOT_OPEN", "There is nothing to decide"


class ParametersChanged(Conflict):
    """The strategy no longer decides by what the event started from, or led to."""

    code, title = "PARAMETERS_CHANGED", "The strategy's parameters were changed since"


class ChangeTooLarge(Conflict):
    """The last look before a change: what is to be written breaks the bound, whoever proposed it."""

    code, title = "ADAPTATION_CHANGE_TOO_LARGE", "A parameter would change by more than the adaptation allows"
