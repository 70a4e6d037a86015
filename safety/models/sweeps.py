"""What a kill does beyond the latch, and the orders that it lets pass."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from safety.models.base import Ledger
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import QuantityField
from tradingsite.common.ids import uuid7


class KillSweep(models.Model):
    """What a kill does beyond the latch: cancel all that rests, close what is held where that was asked, prove both.

    One per scope from the kill to the resume. An unproven one is worked on after the resume as well, for the orders of
    before it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    scope = models.CharField(max_length=36, help_text="`all`, or the id of one strategy.")
    flatten = models.BooleanField(default=False, help_text="Positions are to be closed as well.")
    by = models.CharField(max_length=150)
    killed_at = models.DateTimeField(default=utcnow)
    latched_in_s = models.FloatField(
        null=True, blank=True, help_text="Seconds from the call until both halves of the switch were set."
    )
    resumed_at = models.DateTimeField(null=True, blank=True)
    rounds = models.PositiveIntegerField(default=0)
    last_round_at = models.DateTimeField(null=True, blank=True)
    clean_samples = models.PositiveSmallIntegerField(default=0)
    sampled_at = models.DateTimeField(null=True, blank=True, help_text="When the newest clean sample was taken.")
    confirmed_at = models.DateTimeField(null=True, blank=True, help_text="When two samples in a row were clean.")
    remaining = models.JSONField(default=dict, help_text="What the newest round left: orders, positions, brokers.")

    class Meta:
        db_table = "kill_sweep"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["scope"], condition=Q(resumed_at__isnull=True), name="kill_sweep_one_per_halt"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["scope", "-id"], name="kill_sweep_scope"),
            # What is still to be done is asked for every second.
            models.Index(
                fields=["last_round_at"],
                condition=Q(confirmed_at__isnull=True) | Q(resumed_at__isnull=True),
                name="kill_sweep_open",
            ),
        ]

    def __str__(self) -> str:
        return f"Sweep of {self.scope}: {'confirmed' if self.confirmed_at else 'not confirmed'}"


class FlattenPermit(Ledger):
    """Leave for one order to pass a set kill switch, because it closes a position on the kill's own behalf."""

    sweep = models.ForeignKey(KillSweep, on_delete=models.PROTECT, related_name="permits")
    number = models.PositiveIntegerField(help_text="The how-manieth order of this sweep for this position.")
    client_order_id = models.CharField(max_length=100, unique=True)
    account_id = models.UUIDField()
    strategy_id = models.UUIDField(null=True, blank=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    quantity = QuantityField(help_text="The most that the order may close.")
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "flatten_permit"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sweep", "account_id", "symbol", "number"], name="flatten_permit_once"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity.normalize():f} {self.symbol} ({self.client_order_id})"


class KillDrill(Ledger):
    """What a drill measured; times in seconds. See `portfolio.drill.DrillReport`."""

    at = models.DateTimeField(default=utcnow)
    by = models.CharField(max_length=150)
    processes = models.PositiveSmallIntegerField()
    kills = models.PositiveSmallIntegerField()
    orders = models.PositiveIntegerField()
    answered_in_s = models.FloatField(help_text="From the call to its answer, the longest.")
    from_call_p99_s = models.FloatField(help_text="How long after the call the last order of a process left.")
    last_order_p99_s = models.FloatField(help_text="How long after the answer the last order of a process left.")
    last_order_max_s = models.FloatField()
    denied_in_s = models.FloatField(help_text="From the answer until the slowest process was denied an order.")
    cancelled = models.PositiveIntegerField(help_text="Resting orders that the kills cancelled.")
    confirmed_in_s = models.FloatField(null=True, blank=True, help_text="Until two samples found nothing that rests.")
    passed = models.BooleanField()

    class Meta:
        db_table = "kill_drill"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"Drill by {self.by}: {'passed' if self.passed else 'failed'}"
