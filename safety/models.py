"""Limits, the kill switch, day counters, and the ledgers: verdicts, alerts, audit."""

from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from safety.choices import (
    SETTABLE_STATES,
    AlertKind,
    CounterName,
    Door,
    GateCode,
    KillAction,
    Severity,
    TradingState,
)
from safety.errors import LedgerReadOnly
from tradingsite.common.bases import Entity
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import MoneyField
from tradingsite.common.ids import uuid7

SETTINGS_ID = 1
EVERYTHING = "all"


class LedgerQuerySet(models.QuerySet[Any]):
    """Rows that are only ever added."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly(f"{self.model._meta.verbose_name_plural} are never changed.")

    def delete(self) -> NoReturn:
        raise LedgerReadOnly(f"{self.model._meta.verbose_name_plural} are never removed.")


class Ledger(models.Model):
    """A line of history: written once, never changed, never removed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    objects: ClassVar[Any] = LedgerQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise LedgerReadOnly(f"{self._meta.verbose_name} {self.pk} is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly(f"{self._meta.verbose_name} {self.pk} is never removed.")


class SafetySettings(models.Model):
    """The limits in force: one row. Every field below is a limit that the gate enforces."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=SETTINGS_ID, editable=False)
    paper_mode = models.BooleanField(default=True, help_text="While this is on, no live order leaves the desk.")
    daily_trade_limit = models.PositiveIntegerField(
        default=20,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Orders that may pass the gate per account and trading day; 0 allows none.",
    )
    position_limit = MoneyField(
        default=Decimal(50_000),
        validators=[MinValueValidator(Decimal(0))],
        help_text="Highest absolute value of one position, resting orders included.",
    )
    order_notional_limit = MoneyField(
        default=Decimal(25_000),
        validators=[MinValueValidator(Decimal(0))],
        help_text="Highest quantity times price of one order.",
    )
    duplicate_window_s = models.PositiveIntegerField(
        default=60,
        validators=[MaxValueValidator(86_400)],
        help_text="Seconds within which the same order of the same strategy counts as a duplicate.",
    )
    trading_state = models.CharField(
        max_length=10,
        choices=SETTABLE_STATES,
        default=TradingState.ACTIVE.value,
        help_text="Reducing takes only orders that make a position smaller. To halt, use the kill switch.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(default=utcnow, editable=False)
    updated_by = models.CharField(max_length=150, blank=True, default="", editable=False)

    class Meta:
        db_table = "safety_settings"
        verbose_name = verbose_name_plural = "safety settings"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(id=SETTINGS_ID), name="safety_settings_one_row"),
            models.CheckConstraint(condition=Q(position_limit__gte=0), name="safety_settings_position_limit"),
            models.CheckConstraint(condition=Q(order_notional_limit__gte=0), name="safety_settings_notional_limit"),
        ]

    def __str__(self) -> str:
        return f"Safety settings, version {self.version}"


class KillSwitch(models.Model):
    """One scope's switch in the database; its sentinel file is the other half. Rows stay when it is cleared."""

    scope = models.CharField(primary_key=True, max_length=36, help_text="`all`, or the id of one strategy.")
    active = models.BooleanField(default=False)
    reason = models.TextField(blank=True, default="")
    since = models.DateTimeField(null=True, blank=True)
    by = models.CharField(max_length=150, blank=True, default="")
    by_user_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        db_table = "kill_switch"
        verbose_name_plural = "kill switches"

    def __str__(self) -> str:
        return f"Kill switch of {self.scope}: {'set' if self.active else 'clear'}"


class KillSwitchEvent(Ledger):
    """One change of a kill switch."""

    scope = models.CharField(max_length=36)
    action = models.CharField(max_length=10, choices=KillAction.choices)
    reason = models.TextField(blank=True, default="")
    actor_kind = models.CharField(max_length=10)
    actor_name = models.CharField(max_length=150)
    actor_user_id = models.BigIntegerField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True, default="")
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "kill_switch_event"
        indexes: ClassVar = [models.Index(fields=["scope", "-at"], name="kill_event_scope_at")]

    def __str__(self) -> str:
        return f"{self.scope} {self.action} by {self.actor_name}"


class DayCounter(models.Model):
    """How much of a daily limit an account has used. Only `safety.counters` writes it, atomically."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(help_text="The trading day, in the desk's own time zone.")
    account_id = models.UUIDField()
    name = models.CharField(max_length=20, choices=CounterName.choices)
    value = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "safety_day_counter"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "account_id", "name"], name="day_counter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.account_id} on {self.day}: {self.value}"


class GateDecision(Ledger):
    """One verdict of the gate with the facts that it saw, whether the order passed or not."""

    allowed = models.BooleanField()
    code = models.CharField(max_length=40, choices=GateCode.choices, blank=True, default="")
    detail = models.TextField(blank=True, default="")
    preview = models.BooleanField(default=False, help_text="Asked what would happen; nothing was counted or sent.")
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
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.symbol}: {'allowed' if self.allowed else self.code}"


class AlertEvent(Entity):
    """An alert that was raised. Only its acknowledgement is written later."""

    alert_id = models.UUIDField(null=True, blank=True, help_text="The rule that raised it; none for the desk's own.")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    symbol = models.CharField(max_length=32, blank=True, default="")
    value = models.DecimalField(max_digits=28, decimal_places=10, null=True, blank=True)
    threshold = models.DecimalField(max_digits=28, decimal_places=10, null=True, blank=True)
    message = models.TextField()
    triggered_at = models.DateTimeField(default=utcnow)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        db_table = "alert_event"
        indexes: ClassVar = [
            models.Index(fields=["-triggered_at", "-id"], name="alert_event_recent"),
            models.Index(fields=["-triggered_at"], condition=Q(acknowledged_at=None), name="alert_event_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.severity} {self.name}: {self.message[:60]}"


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


__all__ = [
    "EVERYTHING",
    "SETTINGS_ID",
    "AlertEvent",
    "AuditLog",
    "DayCounter",
    "GateDecision",
    "KillSwitch",
    "KillSwitchEvent",
    "SafetySettings",
]
