"""What an account should hold, and what is remembered of the way there."""

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from portfolio.choices import OrderSide, RebalanceStatus
from tradingsite.common.decimals import ExactField, MoneyField, PriceField, QuantityField
from tradingsite.common.models import Entity, SoftDeleted

ALIVE = Q(deleted_at__isnull=True)


class Goal(SoftDeleted, Entity):
    """Target weights of an account: fractions of its equity by symbol, above zero, at most one together.

    `version` counts the changes of the definition; what monitoring finds is written beside it, in the watch.
    """

    name = models.CharField(max_length=120)
    account = models.ForeignKey("portfolio.Account", on_delete=models.PROTECT, related_name="goals")
    # {symbol: weight as a decimal string}
    target_weights = models.JSONField()
    drift_threshold = ExactField(help_text="The total drift above which an alert is raised, a fraction of equity.")
    strategy_id = models.UUIDField(
        null=True,
        blank=True,
        help_text="In whose name its orders are placed: its kill switch and limits hold for them.",
    )
    enabled = models.BooleanField(default=True, help_text="Whether its drift is watched and it may be rebalanced.")
    created_by_id = models.IntegerField(null=True, blank=True, editable=False, db_index=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        db_table = "portfolio_goal"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], condition=ALIVE, name="portfolio_goal_name_alive"),
            models.CheckConstraint(
                condition=Q(drift_threshold__gt=0, drift_threshold__lte=1), name="portfolio_goal_threshold_fraction"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def targets(self) -> Mapping[str, Decimal]:
        """The target weights by symbol, as numbers."""
        return {symbol: Decimal(weight) for symbol, weight in self.target_weights.items()}


class GoalWatch(models.Model):
    """What monitoring remembers of a goal, so that a restart repeats no alert."""

    goal = models.OneToOneField(Goal, primary_key=True, on_delete=models.CASCADE, related_name="watch")
    over_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when its drift has been over the threshold and has not recovered."
    )
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was looked at last.")
    total_drift = ExactField(null=True, blank=True, help_text="What was found then; empty when it could not be told.")

    class Meta:
        db_table = "portfolio_goal_watch"
        verbose_name_plural = "goal watches"

    def __str__(self) -> str:
        return f"{self.goal_id} over since {self.over_since}" if self.over_since else f"{self.goal_id} within"


class Rebalance(Entity):
    """One go at bringing an account to a goal: its legs are written down before the first of them is sent."""

    goal = models.ForeignKey(Goal, on_delete=models.PROTECT, related_name="rebalances")
    account = models.ForeignKey("portfolio.Account", on_delete=models.PROTECT, related_name="+", db_index=False)
    # As the goal had it then: an order that is met again must not differ from itself.
    strategy_id = models.UUIDField(null=True, blank=True, editable=False)
    # Of who asked and with which Idempotency-Key, so that a request repeated after a crash finds it again.
    key = models.CharField(max_length=64, unique=True, editable=False)
    status = models.CharField(max_length=10, choices=RebalanceStatus.choices, default=RebalanceStatus.RUNNING)
    equity = MoneyField()
    total_drift = ExactField(help_text="When it was planned, a fraction of equity.")
    expected_drift = ExactField(help_text="With every leg filled at the price that it was planned by.")
    min_trade = MoneyField(help_text="Smaller trades were left out.")
    sell_outside = models.BooleanField(help_text="Whether what the goal does not name was to be sold.")
    # [{symbol, code, detail}]
    skipped = models.JSONField(default=list)
    actor_kind = models.CharField(max_length=10)
    actor_name = models.CharField(max_length=150)
    created_by_id = models.IntegerField(null=True, blank=True, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True, help_text="When its last leg was sent or given up.")

    class Meta:
        db_table = "portfolio_rebalance"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            # Two plans made from one state of the account would both trade what either of them needs.
            models.UniqueConstraint(
                fields=["account"], condition=Q(status=RebalanceStatus.RUNNING), name="portfolio_rebalance_one_runs"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["goal", "-created_at", "-id"], name="portfolio_rebalance_newest")]

    def __str__(self) -> str:
        return f"{self.goal_id} at {self.created_at:%Y-%m-%d %H:%M}"


class RebalanceLeg(models.Model):
    """One order of a rebalance: waiting, then sent, or given up with a code."""

    id = models.BigAutoField(primary_key=True)
    rebalance = models.ForeignKey(Rebalance, on_delete=models.CASCADE, related_name="legs", db_index=False)
    number = models.PositiveSmallIntegerField(help_text="They are sent in this order, sells first.")
    instrument = models.ForeignKey("market.Instrument", on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4, choices=OrderSide.choices)
    planned_quantity = QuantityField()
    quantity = QuantityField(
        null=True,
        blank=True,
        help_text="What its order is for: fixed before it is sent, for a buy by the cash there is.",
    )
    reference_price = PriceField()
    source = models.CharField(max_length=40)
    timeframe = models.CharField(max_length=8)
    adjustment = models.CharField(max_length=20)
    client_order_id = models.CharField(max_length=100, unique=True)
    order = models.ForeignKey("portfolio.Order", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    code = models.CharField(max_length=60, blank=True, default="", help_text="Why it was given up before it was sent.")
    detail = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        db_table = "portfolio_rebalance_leg"
        ordering: ClassVar = ["rebalance", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rebalance", "number"], name="portfolio_rebalance_leg_number"),
            models.CheckConstraint(condition=Q(planned_quantity__gt=0), name="portfolio_rebalance_leg_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.planned_quantity.normalize():f} ({self.client_order_id})"

    @property
    def waiting(self) -> bool:
        return self.order_id is None and not self.code
