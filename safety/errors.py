"""The coded errors of safety."""

from tradingsite.common.errors import Conflict, NotFound, PermissionDenied, Unavailable


class KillSwitchActive(Conflict):
    """No order leaves and no step begins. Resume with a reason, by a person with the right."""

    code, title = "KILL_SWITCH_ACTIVE", "The kill switch is set"


class KillSwitchNotActive(Conflict):
    code, title = "KILL_SWITCH_NOT_ACTIVE", "The kill switch is not set, so there is nothing to resume"


class KillSwitchUnwritable(Unavailable):
    """Neither the file nor the database took the kill: trading may go on. Stop the processes by hand."""

    code, title = "KILL_SWITCH_UNWRITABLE", "The kill switch could not be written"


class KillSwitchStuck(Unavailable):
    """The switch could not be cleared everywhere, so it stays set."""

    code, title = "KILL_SWITCH_STUCK", "The kill switch could not be cleared"


class ResumeNeedsPerson(PermissionDenied):
    code, title = "RESUME_NEEDS_PERSON", "Only a person with the right may resume"


class LedgerReadOnly(Conflict):
    """A line of history is written once."""

    code, title = "LEDGER_READ_ONLY", "History is never changed"


class ScopedLimitsNotFound(NotFound):
    code, title = "SCOPED_LIMITS_NOT_FOUND", "This strategy or instrument has no limits of its own"


class ReconciliationNotBlocked(Conflict):
    code, title = "RECONCILIATION_NOT_BLOCKED", "The account is not blocked for this reason"


class ReconciliationStillDiffers(Conflict):
    """Nothing was cleared. Look at what differs now, and clear again."""

    code, title = "RECONCILIATION_STILL_DIFFERS", "The account's books still differ from its broker's"


class ReconciliationNotCompared(Unavailable):
    """Nothing was cleared, for nobody knows whether the books agree. Try again when the broker answers."""

    code, title = "RECONCILIATION_NOT_COMPARED", "The account could not be held against its broker"


class BreakerUnknown(NotFound):
    code, title = "BREAKER_UNKNOWN", "The account has not been watched yet"


class BreakerNotTripped(Conflict):
    code, title = "BREAKER_NOT_TRIPPED", "The breaker has not tripped, so there is nothing to resume"


class AlertNotFound(NotFound):
    code, title = "ALERT_NOT_FOUND", "There is no such alert"


class AlertRuleNotFound(NotFound):
    code, title = "ALERT_RULE_NOT_FOUND", "There is no such alert rule"


class AlertRuleNotDeleted(Conflict):
    code, title = "ALERT_RULE_NOT_DELETED", "The alert rule is not deleted"
