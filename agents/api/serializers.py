"""The shapes of agents in the API."""

from typing import Any, ClassVar

from rest_framework import serializers

from agents.choices import AgentKind, HealthStatus
from agents.models import Agent, AgentConversation
from tradingsite.common.api.serializers import StrictModelSerializer, StrictSerializer, UtcDateTimeField
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


class MessageSerializer(StrictModelSerializer):
    """One message between a run and an agent."""

    timestamp = UtcDateTimeField(read_only=True)
    agent_id = serializers.UUIDField(read_only=True, allow_null=True)

    class Meta:
        model = AgentConversation
        fields: ClassVar = [
            "id", "seq", "step_index", "agent_id", "agent_name", "message_type", "message_content", "truncated",
            "timestamp", "tokens_used", "latency_ms", "decisions", "error_code",
        ]  # fmt: skip
        read_only_fields = fields


class PerformanceSerializer(serializers.Serializer[Any]):
    """What an agent contributed."""

    agent_name = serializers.CharField()
    total_messages = serializers.IntegerField()
    average_tokens = serializers.FloatField(allow_null=True, help_text="Of the messages that say how many they took.")
    total_tokens = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="In which it was spoken with.")
    answers = serializers.IntegerField()
    failures = serializers.IntegerField(help_text="Errors of the agent; a cancelled run is none.")
    decisions_stated = serializers.IntegerField(help_text="That stood in its answers.")
    decisions_influenced = serializers.IntegerField(
        help_text="All decisions of the ended runs in which it answered at least once."
    )
    latency_p50_ms = serializers.FloatField(allow_null=True, help_text="Of its answers.")
    latency_p95_ms = serializers.FloatField(allow_null=True, help_text="Of its answers.")
    last_message_at = UtcDateTimeField(allow_null=True)
