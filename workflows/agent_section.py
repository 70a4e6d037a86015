"""The `agents` section of a definition and of a strategy's `autogen_config`, before any team is installed."""

from typing import Any

from rest_framework import serializers

from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.steps import StepConfig

SECRET_KEYS = frozenset({"api_key", "apikey", "key", "secret", "token", "password"})


class AgentSpecSerializer(StrictSerializer):
    """One member of the team."""

    agent_name = serializers.RegexField(r"^[A-Za-z][A-Za-z0-9_]{0,59}$")
    enabled = serializers.BooleanField(default=True)
    system_prompt = serializers.CharField(max_length=20_000)
    llm_config = serializers.DictField(default=dict)
    max_iterations = serializers.IntegerField(min_value=1, max_value=50, default=5)

    def validate_llm_config(self, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key.lower() in SECRET_KEYS:
                # Definitions are versioned, shown and cloned; a secret in one could never be taken back.
                raise serializers.ValidationError("Name the variable that holds the secret in `api_key_env` instead.")
        return value


class AgentsConfig(StepConfig):
    """The config of an `agents` step: the team, and how often it may go round."""

    agents = AgentSpecSerializer(many=True, allow_empty=False)
    max_rounds = serializers.IntegerField(min_value=1, max_value=100, default=10)

    def validate_agents(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(value) > 20:
            raise serializers.ValidationError("A team has at most 20 agents.")
        names = [agent["agent_name"] for agent in value]
        if len(set(names)) != len(names):
            raise serializers.ValidationError("Agent names must be unique.")
        if not any(agent["enabled"] for agent in value):
            raise serializers.ValidationError("At least one agent must be enabled.")
        return value
