"""The shapes of agents in the API."""

from typing import Any, ClassVar

from rest_framework import serializers

from agents.choices import AgentKind, HealthStatus
from agents.models import Agent, AgentConversation
from safety.models import AuditLog
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    UtcDateTimeField,
)
from workflows.api.serializers import ObjectField

_ENDPOINT = (
    "http: the address that is called. llm: the base address of an OpenAI-compatible API, empty for the desk's own "
    "model. rule: the slug of a strategy type."
)
_HEALTH_URL = "http: what a probe asks; `/health` at the endpoint's host unless named."
_KEY = "The name of the variable that holds the key, never the key."


class AgentBodySerializer(StrictSerializer):
    """What creates or replaces an agent."""

    name = serializers.CharField(max_length=60)
    kind = serializers.ChoiceField(choices=AgentKind.choices)
    description = serializers.CharField(max_length=2000, allow_blank=True, default="")
    endpoint = serializers.CharField(max_length=500, allow_blank=True, default="", help_text=_ENDPOINT)
    health_url = serializers.CharField(max_length=500, allow_blank=True, default="", help_text=_HEALTH_URL)
    api_key_env = serializers.CharField(max_length=100, allow_blank=True, default="", help_text=_KEY)
    llm_config = ObjectField(default=dict)
    system_prompt = serializers.CharField(max_length=20_000, allow_blank=True, default="")
    tools = serializers.ListField(child=serializers.CharField(max_length=60), default=list, max_length=50)
    max_iterations = serializers.IntegerField(min_value=1, max_value=50, default=5)
    enabled = serializers.BooleanField(default=True)


class AgentChangeSerializer(StrictSerializer):
    """What changes an agent; what is left out stays."""

    name = serializers.CharField(max_length=60, required=False)
    kind = serializers.ChoiceField(choices=AgentKind.choices, required=False)
    description = serializers.CharField(max_length=2000, allow_blank=True, required=False)
    endpoint = serializers.CharField(max_length=500, allow_blank=True, required=False, help_text=_ENDPOINT)
    health_url = serializers.CharField(max_length=500, allow_blank=True, required=False, help_text=_HEALTH_URL)
    api_key_env = serializers.CharField(max_length=100, allow_blank=True, required=False, help_text=_KEY)
    llm_config = ObjectField(required=False)
    system_prompt = serializers.CharField(max_length=20_000, allow_blank=True, required=False)
    tools = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=50)
    max_iterations = serializers.IntegerField(min_value=1, max_value=50, required=False)
    enabled = serializers.BooleanField(required=False)


class HealthSerializer(serializers.Serializer[Any]):
    """What the last probe of an agent found."""

    status = serializers.ChoiceField(choices=HealthStatus.choices)
    checked_at = UtcDateTimeField(allow_null=True)
    latency_ms = serializers.FloatField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class AgentSerializer(StrictModelSerializer):
    """An agent of the registry."""

    llm_config = ObjectField(read_only=True)
    tools = serializers.ListField(child=serializers.CharField(), read_only=True)
    health = HealthSerializer(read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    updated_at = UtcDateTimeField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Agent
        fields: ClassVar = [
            "id", "name", "description", "kind", "endpoint", "health_url", "api_key_env", "llm_config",
            "system_prompt", "tools", "max_iterations", "enabled", "health", "created_at", "updated_at", "created_by",
        ]  # fmt: skip
        read_only_fields = fields


class VersionSerializer(serializers.Serializer[Any]):
    """One change of an agent, as the audit has it."""

    number = serializers.IntegerField(help_text="Counts the agent's changes from 1.")
    at = UtcDateTimeField()
    by = serializers.CharField(source="actor_name")
    action = serializers.CharField(help_text="agent.create, agent.update, agent.delete or agent.restore")
    changed = serializers.SerializerMethodField(help_text="The fields that are not as they were before.")
    content = serializers.SerializerMethodField(help_text="The agent after it; of a deletion, what was deleted.")

    def get_changed(self, row: AuditLog) -> list[str]:
        before, after = row.before or {}, row.after or {}
        return sorted(name for name in before.keys() & after.keys() if before[name] != after[name])

    def get_content(self, row: AuditLog) -> dict[str, Any]:
        return row.after or row.before or {}


class MessageSerializer(StrictModelSerializer):
    """One message between a run and an agent."""

    timestamp = UtcDateTimeField(read_only=True)
    agent_id = serializers.UUIDField(read_only=True, allow_null=True)
    cost = DecimalStringField(
        read_only=True, allow_null=True, help_text="US dollars; null when nobody knows the model's price."
    )

    class Meta:
        model = AgentConversation
        fields: ClassVar = [
            "id", "seq", "step_index", "attempt", "symbol", "agent_id", "agent_name", "message_type",
            "message_content", "truncated", "timestamp", "model", "tokens_used", "prompt_tokens", "completion_tokens",
            "cost", "latency_ms", "decisions", "error_code", "tool", "call_id", "cut_off",
        ]  # fmt: skip
        read_only_fields = fields


class LaterReturnSerializer(serializers.Serializer[Any]):
    """How recommendations to buy and to sell turned out after some bars: in at the next open, out at a close."""

    bars = serializers.IntegerField(help_text="How many bars after the decision's own.")
    judged = serializers.IntegerField(help_text="Recommendations to buy or sell whose bars have come.")
    mean_return = serializers.FloatField(allow_null=True, help_text="A fraction; that of a SELL with its sign turned.")
    hit_rate = serializers.FloatField(allow_null=True, help_text="The part of them that gained.")
    base_return = serializers.FloatField(
        allow_null=True, help_text="The mean return of as many BUYs and SELLs dealt by lot to all that it advised on."
    )
    base_hit_rate = serializers.FloatField(allow_null=True, help_text="The hit rate of the same by lot.")


class PerformanceSerializer(serializers.Serializer[Any]):
    """What an agent contributed."""

    agent_name = serializers.CharField()
    total_messages = serializers.IntegerField()
    average_tokens = serializers.FloatField(allow_null=True, help_text="Of the messages that say how many they took.")
    total_tokens = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="In which it was spoken with.")
    answers = serializers.IntegerField()
    failures = serializers.IntegerField(help_text="Errors of the agent; a cancelled run is none.")
    cost = DecimalStringField(allow_null=True, help_text="US dollars; null when the price of a message is unknown.")
    known_cost = DecimalStringField(help_text="US dollars of the messages whose price is known.")
    recommendations = serializers.IntegerField(help_text="Symbols of steps for which it stated an action.")
    decisions_influenced = serializers.IntegerField(help_text="Recommendations that were the decision.")
    agreement_rate = serializers.FloatField(
        allow_null=True, help_text="The part of the other members' recommendations that were as its own."
    )
    later_returns = LaterReturnSerializer(many=True)
    latency_p50_ms = serializers.FloatField(allow_null=True, help_text="Of its answers.")
    latency_p95_ms = serializers.FloatField(allow_null=True, help_text="Of its answers.")
    last_message_at = UtcDateTimeField(allow_null=True)


class AgentTemplateSerializer(serializers.Serializer[Any]):
    """A member that a team can be put together of."""

    name = serializers.CharField()
    description = serializers.CharField()
    default_prompt = serializers.CharField()
    recommended_model = serializers.CharField(help_text="desk-rules is the desk's own and needs no key.")
    required_tools = serializers.ListField(child=serializers.CharField())
