"""The registry of agents, and what was said with them during runs."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from agents.autonomous.models import AgentConfig, AgentRun, Proposal
from agents.choices import Action, AgentKind, HealthStatus, MessageType
from executions.models import WorkflowExecution
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import MoneyField, PriceField
from tradingsite.common.ids import uuid7
from tradingsite.common.models import Entity, SoftDeleted

ALIVE = models.Q(deleted_at__isnull=True)


class Agent(SoftDeleted, Entity):
    """One agent that workflows may call by its name.

    `endpoint` is the address of a program, the base address of a model's API, or the slug of a rule. A secret is never
    here: `api_key_env` names the variable that holds it, and the settings say which host may be told it.
    """

    name = models.CharField(max_length=60)
    description = models.TextField(max_length=2000, blank=True, default="")
    kind = models.CharField(max_length=10, choices=AgentKind.choices)
    endpoint = models.CharField(max_length=500, blank=True, default="")
    health_url = models.CharField(max_length=500, blank=True, default="")
    api_key_env = models.CharField(max_length=100, blank=True, default="")
    llm_config = models.JSONField(default=dict, blank=True)
    system_prompt = models.TextField(max_length=20_000, blank=True, default="")
    tools = models.JSONField(default=list, blank=True)
    max_iterations = models.PositiveSmallIntegerField(default=5)
    enabled = models.BooleanField(default=True)

    # Written by probes with update(), so that a probe changes no ETag.
    health_status = models.CharField(
        max_length=10, choices=HealthStatus.choices, default=HealthStatus.UNKNOWN, editable=False
    )
    health_checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    health_latency_ms = models.FloatField(null=True, blank=True, editable=False)
    health_error = models.CharField(max_length=300, blank=True, default="", editable=False)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "agents"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], condition=ALIVE, name="agent_name_alive"),
            models.CheckConstraint(condition=models.Q(kind__in=AgentKind.values), name="agent_kind_known"),
            models.CheckConstraint(
                condition=models.Q(health_status__in=HealthStatus.values), name="agent_health_status_known"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["kind", "-created_at"], name="agent_kind_created")]

    def __str__(self) -> str:
        return self.name

    @property
    def health(self) -> dict[str, Any]:
        """What the last probe found."""
        return {
            "status": self.health_status,
            "checked_at": self.health_checked_at,
            "latency_ms": self.health_latency_ms,
            "error": self.health_error or None,
        }


class AgentConversation(models.Model):
    """One message between a run and an agent, as it was sent or received. Never changed.

    `seq` counts the messages of a run, and `timestamp` never goes back within it, so that both give the same order.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow_execution = models.ForeignKey(
        WorkflowExecution, on_delete=models.CASCADE, related_name="agent_messages", db_index=False
    )
    seq = models.PositiveIntegerField()
    step_index = models.PositiveSmallIntegerField()
    # As it was called then; the registry may have renamed it since.
    agent_name = models.CharField(max_length=60)
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="messages", db_index=False
    )
    message_type = models.CharField(max_length=12, choices=MessageType.choices)
    # Which attempt of the step it belongs to; a step that is tried again begins the conversation anew.
    attempt = models.PositiveSmallIntegerField(default=1)
    # What a team spoke about; empty when a message is about the whole run.
    symbol = models.CharField(max_length=15, blank=True, default="")
    message_content = models.TextField()
    truncated = models.BooleanField(default=False)
    timestamp = models.DateTimeField(default=utcnow)
    # Empty for what no model said.
    model = models.CharField(max_length=100, blank=True, default="")
    tokens_used = models.PositiveIntegerField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    # In US dollars; None when nobody knows the model's price.
    cost = MoneyField(null=True, blank=True)
    # Of answers and errors: how long the agent took.
    latency_ms = models.FloatField(null=True, blank=True)
    # Of answers: how many decisions it stated.
    decisions = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True, default="")
    # Of tool calls and their results.
    tool = models.CharField(max_length=60, blank=True, default="")
    call_id = models.CharField(max_length=100, blank=True, default="")
    # The model ran into its limit in the middle of the answer.
    cut_off = models.BooleanField(default=False)

    class Meta:
        db_table = "agent_conversations"
        verbose_name = "message of an agent"
        verbose_name_plural = "messages of agents"
        ordering: ClassVar = ["workflow_execution", "seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow_execution", "seq"], name="agent_message_seq"),
            models.CheckConstraint(
                condition=models.Q(message_type__in=MessageType.values), name="agent_message_type_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["agent_name", "timestamp"], name="agent_message_name"),
            models.Index(fields=["agent", "timestamp"], name="agent_message_agent"),
            # What everybody said in a time, and what is too old to be kept.
            models.Index(fields=["timestamp"], name="agent_message_time"),
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.seq} of {self.agent_name}"


class AgentRecommendation(models.Model):
    """What one agent advised about one symbol in a step, beside what was decided there. One row for each of the three.

    Later returns are those of a long position: in at the open of the first bar after `bar_time`, out at the close of
    the 1st, 5th or 20th one. None until those bars are there.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow_execution = models.ForeignKey(
        WorkflowExecution, on_delete=models.CASCADE, related_name="agent_recommendations", db_index=False
    )
    step_index = models.PositiveSmallIntegerField()
    symbol = models.CharField(max_length=15)
    # As it was called then.
    agent_name = models.CharField(max_length=60)
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="recommendations", db_index=False
    )
    action = models.CharField(max_length=4, choices=Action.choices)
    confidence = models.FloatField(null=True, blank=True)
    final_action = models.CharField(max_length=4, choices=Action.choices)
    # Why nobody's advice was taken and the team held; empty for a decision of its own.
    outcome_code = models.CharField(max_length=60, blank=True, default="")
    is_decider = models.BooleanField(default=False)
    # The decision is what it advised, and came of the team's own will.
    followed = models.BooleanField(default=False)
    # How many others advised on it, and how many of them the same.
    others = models.PositiveSmallIntegerField(default=0)
    agreed = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=utcnow)

    price = PriceField()
    bar_time = models.DateTimeField()
    # The series of the price; an empty source when nobody knows it, and then nothing is ever judged.
    source = models.CharField(max_length=40, blank=True, default="")
    timeframe = models.CharField(max_length=3, blank=True, default="")
    adjustment = models.CharField(max_length=14, blank=True, default="")
    return_1 = models.FloatField(null=True, blank=True)
    return_5 = models.FloatField(null=True, blank=True)
    return_20 = models.FloatField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "agent_recommendations"
        verbose_name = "recommendation of an agent"
        verbose_name_plural = "recommendations of agents"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workflow_execution", "step_index", "symbol", "agent_name"], name="agent_recommendation_one"
            ),
            models.CheckConstraint(
                condition=models.Q(action__in=Action.values, final_action__in=Action.values),
                name="agent_recommendation_actions_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["created_at"], name="agent_recommendation_time"),
            models.Index(fields=["agent", "created_at"], name="agent_recommendation_agent"),
            # Few at a time: what has all its returns is never looked for again.
            models.Index(
                fields=["looked_at"],
                condition=models.Q(return_20__isnull=True) & ~models.Q(source=""),
                name="agent_recommendation_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.symbol} by {self.agent_name}"


__all__ = ["Agent", "AgentConfig", "AgentConversation", "AgentRecommendation", "AgentRun", "Proposal"]
