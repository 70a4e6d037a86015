"""The limits in force, and how much of the day's is used."""

from decimal import Decimal
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from safety.choices import SETTABLE_STATES, CounterName, LimitScope, TradingState
from tradingsite.common.bases import Entity
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField, MoneyField

SETTINGS_ID = 1
_SHARE = [MinValueValidator(Decimal("0.0001")), MaxValueValidator(Decimal(1))]
_FRACTION = [MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1))]


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
    open_wait_limit_s = models.PositiveIntegerField(
        default=345_600,
        validators=[MaxValueValidator(2_592_000)],
        help_text="Seconds that an order may wait for its exchange to open: 345600 waits over a long weekend, 0 takes "
        "orders only while it is open.",
    )
    data_max_age_s = models.PositiveIntegerField(
        default=93_600,
        validators=[MaxValueValidator(315_360_000)],
        help_text="Seconds of open market that the last price of an order may be old. 93600 is four sessions of a US "
        "exchange, or a day and two hours where it never closes.",
    )
    price_collar = ExactField(
        default=Decimal("0.1"),
        validators=_FRACTION,
        help_text="How far from the last price an order may fill, against the trader; 0.1 is ten percent.",
    )
    exposure_limit = MoneyField(
        default=Decimal(200_000),
        validators=[MinValueValidator(Decimal(0))],
        help_text="Highest sum of the absolute values of an account's positions, resting orders included.",
    )
    daily_loss_limit = MoneyField(
        default=Decimal(5_000),
        validators=[MinValueValidator(Decimal(0))],
        help_text="What an account may lose in a trading day, unrealised losses included; a positive amount.",
    )
    drawdown_limit = ExactField(
        default=Decimal("0.2"),
        validators=_FRACTION,
        help_text="How far an account's equity may be below its peak; 0.2 is twenty percent.",
    )
    order_rate_limit = models.PositiveIntegerField(
        default=600,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Orders that may pass the gate per account within sixty seconds; 0 allows none.",
    )
    breaker_warn_at = ExactField(
        default=Decimal("0.1"),
        validators=_SHARE,
        help_text="Drawdown of an account from which an alert is raised; 0.1 is ten percent.",
    )
    breaker_reduce_at = ExactField(
        default=Decimal("0.15"),
        validators=_SHARE,
        help_text="Drawdown from which an account only takes orders that make a position smaller, until resumed.",
    )
    breaker_kill_at = ExactField(
        default=Decimal("0.25"),
        validators=_SHARE,
        help_text="Drawdown of one account from which everything is stopped.",
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
            models.CheckConstraint(condition=Q(exposure_limit__gte=0), name="safety_settings_exposure_limit"),
            models.CheckConstraint(condition=Q(daily_loss_limit__gte=0), name="safety_settings_loss_limit"),
            models.CheckConstraint(
                condition=Q(price_collar__gte=0, price_collar__lte=1), name="safety_settings_price_collar"
            ),
            models.CheckConstraint(
                condition=Q(
                    breaker_warn_at__gt=0,
                    breaker_reduce_at__gte=F("breaker_warn_at"),
                    breaker_kill_at__gte=F("breaker_reduce_at"),
                ),
                name="safety_settings_breaker_rises",
            ),
            models.CheckConstraint(
                condition=Q(drawdown_limit__gte=0, drawdown_limit__lte=1), name="safety_settings_drawdown_limit"
            ),
        ]

    def __str__(self) -> str:
        return f"Safety settings, version {self.version}"

    def clean(self) -> None:
        """Refuse breaker levels that do not rise, naming both that do not."""
        for lower, upper in (("breaker_warn_at", "breaker_reduce_at"), ("breaker_reduce_at", "breaker_kill_at")):
            if getattr(self, lower) > getattr(self, upper):
                raise ValidationError({lower: f"Must be at most {upper}.", upper: f"Must be at least {lower}."})


def _narrowing(name: str) -> Any:
    """Return the field of the desk's limit as a narrower one has it: empty where it narrows nothing."""
    of_desk: Any = SafetySettings._meta.get_field(name)
    words = {"null": True, "blank": True, "validators": of_desk._validators, "help_text": of_desk.help_text}
    return type(of_desk)(**words)


class ScopedLimits(Entity):
    """Limits for the orders of one strategy, or of one instrument, beside the desk's: the strictest binds."""

    scope = models.CharField(max_length=10, choices=LimitScope.choices)
    key = models.CharField(max_length=36, help_text="The strategy's id, or the instrument's symbol.")
    open_wait_limit_s = _narrowing("open_wait_limit_s")
    data_max_age_s = _narrowing("data_max_age_s")
    price_collar = _narrowing("price_collar")
    order_notional_limit = _narrowing("order_notional_limit")
    position_limit = _narrowing("position_limit")
    exposure_limit = _narrowing("exposure_limit")
    daily_trade_limit = _narrowing("daily_trade_limit")
    daily_loss_limit = _narrowing("daily_loss_limit")
    drawdown_limit = _narrowing("drawdown_limit")
    order_rate_limit = _narrowing("order_rate_limit")
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.CharField(max_length=150, blank=True, default="", editable=False)

    class Meta:
        db_table = "safety_scoped_limits"
        verbose_name = verbose_name_plural = "scoped limits"
        ordering: ClassVar = ["scope", "key"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["scope", "key"], name="scoped_limits_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The scope in words, as verdicts and counters name it."""
        return f"{self.scope} {self.key}"


class DayCounter(models.Model):
    """How much of a daily limit an account has used. Only `safety.counters` writes it, atomically."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(help_text="The trading day, in the desk's own time zone.")
    account_id = models.UUIDField()
    name = models.CharField(max_length=20, choices=CounterName.choices)
    scope = models.CharField(
        max_length=48, blank=True, default="", help_text="Empty for the whole account, else whose orders in it."
    )
    value = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "safety_day_counter"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "account_id", "name", "scope"], name="day_counter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.account_id} on {self.day}: {self.value}"
