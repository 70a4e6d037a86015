"""The registry of agents, and what was said with them during runs."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from agents.choices import AgentKind, HealthStatus, MessageType
from executions.models import WorkflowExecution
from tradingsite.common.clock import utcnow
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
    message_content = models.TextField()
    truncated = models.BooleanField(default=False)
    timestamp = models.DateTimeField(default=utcnow)
    tokens_used = models.PositiveIntegerField(null=True, blank=True)
    # Of answers and errors: how long the agent took.
    latency_ms = models.FloatField(null=True, blank=True)
    # Of answers: how many decisions it stated.
    decisions = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True, default="")

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
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.seq} of {self.agent_name}"
