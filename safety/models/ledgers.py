"""What the gate said, and who changed what."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from safety.choices import Door, GateCode, OutcomeKind
from safety.models.base import Ledger
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import MoneyField


class GateDecision(Ledger):
    """One verdict of the gate with the facts that it saw, whether the order passed or not."""

    allowed = models.BooleanField()
    code = models.CharField(max_length=40, choices=GateCode.choices, blank=True, default="")
    detail = models.TextField(blank=True, default="")
    preview = models.BooleanField(default=False, help_text="Asked what would happen; nothing was counted or sent.")
    drill = models.BooleanField(
        default=False, help_text="Of a drill of the kill switch; counted in none of the desk's figures."
    )
    client_order_id = models.CharField(max_length=128)
    account_id = models.UUIDField()
    strategy_id = models.UUIDField(null=True, blank=True)
    execution_id = models.UUIDField(null=True, blank=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=10)
    order_type = models.CharField(max_length=20)
    # Text, because a quantity or price that no column could hold is exactly what the gate must be able to record.
    quantity = models.CharField(max_length=80)
    limit_price = models.CharField(max_length=80, blank=True, default="")
    reference_price = models.CharField(max_length=80, blank=True, default="")
    mode = models.CharField(max_length=10)
    notional = MoneyField(null=True, blank=True, help_text="Quantity times price; empty where that has no sense.")
    resulting_value = MoneyField(
        null=True, blank=True, help_text="What the position would be worth; empty where that has no sense."
    )
    resulting_exposure = MoneyField(
        null=True, blank=True, help_text="What all positions would be worth; empty where that has no sense."
    )
    data_age_s = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Seconds of open market since the last price known; empty without a price."
    )
    facts = models.JSONField(default=dict)
    actor_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "gate_decision"
        indexes: ClassVar = [
            models.Index(fields=["symbol", "-id"], name="gate_decision_symbol"),
            models.Index(fields=["strategy_id", "-id"], name="gate_decision_strategy"),
            models.Index(fields=["execution_id", "-id"], name="gate_decision_execution"),
            models.Index(fields=["client_order_id"], name="gate_decision_client_order"),
            models.Index(fields=["created_at"], name="gate_decision_created"),
            models.Index(fields=["-id"], condition=Q(allowed=False), name="gate_decision_denied"),
            # The order rate is counted from the ledger itself, before every order.
            models.Index(
                fields=["account_id", "created_at"],
                condition=Q(allowed=True, preview=False),
                name="gate_decision_passed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.symbol}: {'allowed' if self.allowed else self.code}"

    @property
    def became(self) -> str:
        """Say in a word what became of the order: `preview`, `denied` by the gate, an `OutcomeKind`, else `passed`."""
        if self.preview:
            return "preview"
        if not self.allowed:
            return "denied"
        outcome = getattr(self, "outcome", None)
        return "passed" if outcome is None else str(outcome.kind)

    @property
    def became_code(self) -> str:
        """Say why it was not sent, or rejected; empty where the verdict itself says all."""
        outcome = getattr(self, "outcome", None)
        return "" if outcome is None else str(outcome.code)

    @property
    def became_detail(self) -> str:
        outcome = getattr(self, "outcome", None)
        return "" if outcome is None else str(outcome.detail)


class DecisionOutcome(Ledger):
    """What became of an order that the gate let pass and that did not go its way; one line, for the first such thing."""

    decision = models.OneToOneField(GateDecision, on_delete=models.PROTECT, related_name="outcome")
    kind = models.CharField(max_length=10, choices=OutcomeKind.choices)
    code = models.CharField(max_length=60, blank=True, default="")
    detail = models.TextField(blank=True, default="")
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "gate_decision_outcome"
        indexes: ClassVar = [models.Index(fields=["kind", "-id"], name="gate_outcome_kind")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.code})"


class AuditLog(Ledger):
    """One change of state: who did what to which row, through which door, and why."""

    at = models.DateTimeField(default=utcnow)
    actor_kind = models.CharField(max_length=10)
    actor_name = models.CharField(max_length=150)
    actor_user_id = models.BigIntegerField(null=True, blank=True)
    actor_role = models.CharField(max_length=10, blank=True, default="")
    door = models.CharField(max_length=10, choices=Door.choices)
    request_id = models.CharField(max_length=64, blank=True, default="")
    action = models.CharField(max_length=80)
    target_type = models.CharField(max_length=80)
    target_id = models.CharField(max_length=64)
    target_repr = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    reason = models.TextField(blank=True, default="")

    class Meta:
        db_table = "audit_logs"
        indexes: ClassVar = [
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_target"),
            models.Index(fields=["actor_user_id", "-id"], name="audit_actor"),
            models.Index(fields=["action", "-id"], name="audit_action"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["-at", "-id"], name="audit_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.target_type} {self.target_id}"
