"""How the autonomous agent is set, its runs, and what it proposes."""

from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from agents.autonomous.choices import Autonomy, ProposalStatus, RunStatus, RunTrigger
from executions.models import WorkflowExecution
from portfolio.models import Account, Order
from scheduler.models import Schedule
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import PriceField, QuantityField
from tradingsite.common.models import Entity

BUDGETS: dict[str, dict[str, Any]] = {
    "run": {"tokens": 500_000, "cost": None, "seconds": 900, "messages": 600},
    "day": {"tokens": 5_000_000, "cost": None, "orders": 20},
}
SIZING = {"method": "equity_fraction", "value": "0.1"}


def default_budgets() -> dict[str, Any]:
    return {name: dict(part) for name, part in BUDGETS.items()}


def default_sizing() -> dict[str, Any]:
    return dict(SIZING)


class AgentConfig(models.Model):
    """How the agent of one account is set; who has none has the defaults. `version` counts the changes.

    The cadence is the rule of `schedule` and stands nowhere else.
    """

    account = models.OneToOneField(Account, primary_key=True, on_delete=models.CASCADE, related_name="+")
    version = models.PositiveIntegerField(default=0)
    enabled = models.BooleanField(default=True)
    autonomy = models.CharField(max_length=8, choices=Autonomy.choices, default=Autonomy.OBSERVE)
    strategies = models.JSONField(default=list, blank=True)
    symbols = models.JSONField(default=list, blank=True)
    schedule = models.ForeignKey(Schedule, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    team_enabled = models.BooleanField(default=True)
    team = models.JSONField(null=True, blank=True, default=None)
    budgets = models.JSONField(default=default_budgets)
    quiet_hours = models.JSONField(null=True, blank=True, default=None)
    sizing = models.JSONField(default=default_sizing)
    proposal_lifetime_s = models.PositiveIntegerField(default=4 * 3600)
    price_bound_pct = models.DecimalField(max_digits=6, decimal_places=3, default=Decimal(2))
    created_at = models.DateTimeField(default=utcnow, editable=False)
    updated_at = models.DateTimeField(default=utcnow, editable=False)

    class Meta:
        db_table = "agent_config"
        verbose_name = "setting of the autonomous agent"
        verbose_name_plural = "settings of the autonomous agent"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(autonomy__in=Autonomy.values), name="agent_autonomy_known")
        ]

    def __str__(self) -> str:
        return f"agent of {self.account_id}"


class AgentRun(Entity):
    """One run of the autonomous agent: what it was set to then, and what came of it.

    `told` counts the messages that `/ws/agent` has had of it. A run that was skipped has no execution.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    execution = models.OneToOneField(
        WorkflowExecution, null=True, blank=True, on_delete=models.CASCADE, related_name="agent_run"
    )
    trigger = models.CharField(max_length=10, choices=RunTrigger.choices)
    autonomy = models.CharField(max_length=8, choices=Autonomy.choices)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.RUNNING)
    config = models.JSONField(default=dict)
    symbols = models.JSONField(default=list)
    # Why it goes less far than the setting says, in sentences.
    notes = models.JSONField(default=list)
    code = models.CharField(max_length=60, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    report = models.JSONField(null=True, blank=True)
    tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    told = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        db_table = "agent_runs"
        verbose_name = "run of the autonomous agent"
        verbose_name_plural = "runs of the autonomous agent"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(status=RunStatus.RUNNING), name="agent_run_one_unfinished"
            ),
            models.CheckConstraint(condition=models.Q(status__in=RunStatus.values), name="agent_run_status_known"),
            models.CheckConstraint(condition=models.Q(autonomy__in=Autonomy.values), name="agent_run_autonomy_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "-created_at"], name="agent_run_account"),
            models.Index(fields=["-created_at", "-id"], name="agent_run_created"),
        ]

    def __str__(self) -> str:
        return f"agent run {self.pk}"


class Proposal(Entity):
    """An order that the agent would place if a person said so. Its order takes the id that it would have had."""

    run = models.ForeignKey(AgentRun, on_delete=models.CASCADE, related_name="proposals")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    client_order_id = models.CharField(max_length=100, unique=True)
    strategy_id = models.UUIDField(null=True, blank=True)
    symbol = models.CharField(max_length=20)
    side = models.CharField(max_length=4)
    quantity = QuantityField()
    reference_price = PriceField()
    source = models.CharField(max_length=40)
    timeframe = models.CharField(max_length=10)
    adjustment = models.CharField(max_length=20)
    reduces = models.BooleanField(default=False)
    mode = models.CharField(max_length=8)
    confidence = models.FloatField(default=0)
    reason = models.TextField(blank=True, default="")
    price_bound_pct = models.DecimalField(max_digits=6, decimal_places=3)
    status = models.CharField(max_length=10, choices=ProposalStatus.choices, default=ProposalStatus.PENDING)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    decided_reason = models.CharField(max_length=500, blank=True, default="")
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta:
        db_table = "agent_proposals"
        verbose_name = "proposal of the autonomous agent"
        verbose_name_plural = "proposals of the autonomous agent"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(status__in=ProposalStatus.values), name="agent_proposal_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[ProposalStatus.PENDING, ProposalStatus.EXPIRED])
                | models.Q(decided_at__isnull=False),
                name="agent_proposal_decided_at",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="agent_proposal_created"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status=ProposalStatus.PENDING),
                name="agent_proposal_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.symbol}"
