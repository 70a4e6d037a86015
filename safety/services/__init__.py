"""Every change of state in safety: verdicts, limits, the kill switch, alerts, audit."""

from safety.services.alert_rules import (
    alert_rule_acknowledge,
    alert_rule_create,
    alert_rule_delete,
    alert_rule_restore,
    alert_rule_snooze,
    alert_rule_switch,
    alert_rule_update,
)
from safety.services.alerts import alert_acknowledge, alert_raise
from safety.services.audit_log import audit_row
from safety.services.breaker import (
    breaker_cash_moved,
    breaker_enforce,
    breaker_note,
    breaker_resume,
    breaker_sample,
)
from safety.services.drills import drill_forget, drill_record
from safety.services.killing import KillResult, halves_mend, kill, resume, scope_named
from safety.services.limits import limits_update, scoped_limits_remove, scoped_limits_set
from safety.services.orders import decision_outcome, order_check
from safety.services.reconciliation import (
    reconciliation_block,
    reconciliation_clear,
    reconciliation_clear_by_person,
)
from safety.services.sweeps import Remaining, sweep_report, sweep_take

__all__ = [
    "KillResult",
    "Remaining",
    "alert_acknowledge",
    "alert_raise",
    "alert_rule_acknowledge",
    "alert_rule_create",
    "alert_rule_delete",
    "alert_rule_restore",
    "alert_rule_snooze",
    "alert_rule_switch",
    "alert_rule_update",
    "audit_row",
    "breaker_cash_moved",
    "breaker_enforce",
    "breaker_note",
    "breaker_resume",
    "breaker_sample",
    "decision_outcome",
    "drill_forget",
    "drill_record",
    "halves_mend",
    "kill",
    "limits_update",
    "order_check",
    "reconciliation_block",
    "reconciliation_clear",
    "reconciliation_clear_by_person",
    "resume",
    "scope_named",
    "scoped_limits_remove",
    "scoped_limits_set",
    "sweep_report",
    "sweep_take",
]
