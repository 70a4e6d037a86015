"""Limits, the kill switch, what is held against accounts, and the ledgers: verdicts, alerts, audit."""

from safety.models.accounts import DrawdownBreaker, ReconciliationBlock
from safety.models.alert_rules import (
    AlertCursor,
    AlertEmail,
    AlertRound,
    AlertRule,
    AlertSighting,
    AlertState,
)
from safety.models.alerts import AlertEvent
from safety.models.ledgers import AuditLog, DecisionOutcome, GateDecision
from safety.models.limits import SETTINGS_ID, DayCounter, SafetySettings, ScopedLimits
from safety.models.sweeps import FlattenPermit, KillDrill, KillSweep
from safety.models.switch import EVERYTHING, KillSwitch, KillSwitchEvent

__all__ = [
    "EVERYTHING",
    "SETTINGS_ID",
    "AlertCursor",
    "AlertEmail",
    "AlertEvent",
    "AlertRound",
    "AlertRule",
    "AlertSighting",
    "AlertState",
    "AuditLog",
    "DayCounter",
    "DecisionOutcome",
    "DrawdownBreaker",
    "FlattenPermit",
    "GateDecision",
    "KillDrill",
    "KillSweep",
    "KillSwitch",
    "KillSwitchEvent",
    "ReconciliationBlock",
    "SafetySettings",
    "ScopedLimits",
]
