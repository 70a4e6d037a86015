"""What safety holds against single accounts. They stand on a floor above, so they are named by their plain id."""

from decimal import Decimal
from typing import ClassVar

from django.db import models

from safety.choices import BreakerLevel
from safety.drawdown import Watch
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField, MoneyField


class ReconciliationBlock(models.Model):
    """Why an account may not trade before its books agree with its broker's. One row per reason; gone when cleared.

    The audit log keeps who set and who cleared it.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    code = models.CharField(max_length=60, help_text="The kind of mismatch.")
    detail = models.TextField(blank=True, default="", help_text="What differed at last.")
    since = models.DateTimeField(default=utcnow)
    first_detail = models.TextField(blank=True, default="", help_text="What differed when it was blocked.")
    times = models.PositiveIntegerField(default=1, help_text="How many differences of this kind there have been.")
    last_at = models.DateTimeField(default=utcnow, help_text="When the last of them was found.")

    class Meta:
        db_table = "reconciliation_block"
        ordering: ClassVar = ["since", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account_id", "code"], name="reconciliation_block_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.account_id}"

    @property
    def story(self) -> str:
        """What differed, for people: the last difference, and the first one where there were several."""
        if self.times == 1:
            return self.detail
        return f"{self.detail} (the last of {self.times}; the first: {self.first_detail})"


class DrawdownBreaker(models.Model):
    """What the graduated breaker remembers of an account between two samples. Only its services write it."""

    account_id = models.UUIDField(primary_key=True)
    level = models.CharField(max_length=10, choices=BreakerLevel.choices, default=BreakerLevel.NORMAL)
    seen = models.CharField(
        max_length=10, choices=BreakerLevel.choices, default=BreakerLevel.NORMAL, help_text="By the last sample alone."
    )
    since = models.DateTimeField(default=utcnow, help_text="When the level was reached.")
    sampled_at = models.DateTimeField()
    equity = MoneyField()
    smoothed = MoneyField()
    peak = MoneyField()
    smoothed_peak = MoneyField()
    fall = ExactField(help_text="Below the peak, as a fraction of it: the smaller of raw and smoothed.")
    day_pnl = MoneyField(default=Decimal(0), help_text="Won or lost today at the last sample.")
    killed_at = models.DateTimeField(null=True, blank=True, help_text="When the kill switch took the last level.")

    class Meta:
        db_table = "drawdown_breaker"
        ordering: ClassVar = ["account_id"]

    def __str__(self) -> str:
        return f"{self.get_level_display()}: account {self.account_id}"

    @property
    def watch(self) -> Watch:
        return Watch(
            at=self.sampled_at,
            equity=self.equity,
            smoothed=self.smoothed,
            peak=self.peak,
            smoothed_peak=self.smoothed_peak,
            fall=self.fall,
            level=BreakerLevel(self.level),
            seen=BreakerLevel(self.seen),
        )

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self.sampled_at, self.equity, self.smoothed = watch.at, watch.equity, watch.smoothed
        self.peak, self.smoothed_peak, self.fall = watch.peak, watch.smoothed_peak, watch.fall
        self.level, self.seen = watch.level, watch.seen
