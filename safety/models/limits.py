"""The limits in force, and how much of the day's is used."""

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from safety.choices import SETTABLE_STATES, CounterName, TradingState
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import MoneyField

SETTINGS_ID = 1


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
