"""What an account should hold, and what is remembered of the way there."""

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from tradingsite.common.decimals import ExactField
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
