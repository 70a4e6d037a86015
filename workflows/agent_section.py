"""The config of an `agents` step, and the part of it that a strategy may set for itself: its `autogen_config`."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import serializers

from tradingsite.common.api.serializers import DecimalStringField, StrictSerializer
from tradingsite.common.contracts.steps import StepConfig

SECRET_KEYS = frozenset({"api_key", "apikey", "key", "secret", "token", "password"})
ARRANGEMENTS = ("round_robin", "selector", "debate")
ROLES = ("analyst", "bull", "bear", "risk", "decision")
PROVIDERS = ("offline", "openai", "replay")
# The names under which the desk itself speaks in a conversation.
RESERVED_NAMES = frozenset({"user", "selector", "desk"})
ISO_DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z"
MAX_MEMBERS = 20
MAX_TOOLS = 20


class ModelConfigSerializer(StrictSerializer):
    """Which model a member thinks with. Without a provider: the desk's own rules, unless a model is named."""

    provider = serializers.ChoiceField(PROVIDERS, required=False)
    model = serializers.CharField(max_length=200, required=False)
    base_url = serializers.CharField(max_length=500, required=False)
    api_key_env = serializers.RegexField(r"^[A-Z][A-Z0-9_]{0,99}\Z", required=False)
    agent = serializers.CharField(max_length=60, required=False, help_text="A registered agent of kind llm.")
    temperature = serializers.FloatField(min_value=0, max_value=2, required=False)
    max_tokens = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    top_p = serializers.FloatField(min_value=0, max_value=1, required=False)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    timeout_s = serializers.FloatField(min_value=0.1, max_value=600, required=False, help_text="For one answer.")
    stream = serializers.BooleanField(required=False)
    training_cutoff = serializers.RegexField(
        ISO_DAY, required=False, help_text="The last day that the model may have read of, such as 2025-06-30."
    )
    replay_of = serializers.UUIDField(required=False, help_text="The run whose answers are given again.")

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and any(str(key).lower() in SECRET_KEYS for key in data):
            # Definitions are versioned, shown and cloned; a secret in one could never be taken back.
            raise serializers.ValidationError("Name the variable that holds the secret in `api_key_env` instead.")
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        provider = provider_of(attrs)
        if provider == "openai":
            _refuse(attrs, ("replay_of",), "Only the provider replay has it.")
            if "agent" in attrs:
                _refuse(attrs, ("model", "base_url", "api_key_env", "training_cutoff"), "The registered agent says it.")
            elif "model" not in attrs:
                raise serializers.ValidationError({"model": "Name the model, or a registered agent in `agent`."})
        else:
            _refuse(
                attrs,
                ("base_url", "api_key_env", "agent", "training_cutoff"),
                f"The provider {provider} is at no address.",
            )
            if provider == "replay" and "replay_of" not in attrs:
                raise serializers.ValidationError({"replay_of": "Name the run whose answers are given again."})
            if provider == "offline":
                _refuse(attrs, ("replay_of",), "Only the provider replay has it.")
        return attrs


def provider_of(config: Mapping[str, Any]) -> str:
    """Return which kind of model a config means."""
    if "provider" in config:
        return str(config["provider"])
    if "replay_of" in config:
        return "replay"
    return "openai" if {"model", "base_url", "agent"} & set(config) else "offline"


def _refuse(attrs: Mapping[str, Any], names: Iterable[str], detail: str) -> None:
    for name in names:
        if name in attrs:
            raise serializers.ValidationError({name: detail})


class AgentSpecSerializer(StrictSerializer):
    """One member of the team."""

    agent_name = serializers.RegexField(r"^[A-Za-z][A-Za-z0-9_]{0,59}\Z")
    enabled = serializers.BooleanField(default=True)
    system_prompt = serializers.CharField(max_length=20_000)
    llm_config = ModelConfigSerializer(default=dict)
    max_iterations = serializers.IntegerField(
        min_value=1, max_value=50, default=5, help_text="Rounds of tool calls in one turn."
    )
    role = serializers.ChoiceField(ROLES, required=False, help_text="The last member decides where none has the role.")
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    tools = serializers.ListField(
        child=serializers.RegexField(r"^[a-z][a-z0-9_]{0,59}\Z"), max_length=MAX_TOOLS, required=False
    )

    def validate_agent_name(self, value: str) -> str:
        if value.lower() in RESERVED_NAMES:
            raise serializers.ValidationError("The desk itself speaks under this name.")
        return value

    def validate_tools(self, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise serializers.ValidationError("Each tool is named once.")
        return value


class BudgetSerializer(StrictSerializer):
    """Where the conversation about one symbol ends, decided or not."""

    tokens = serializers.IntegerField(min_value=1, max_value=100_000_000, required=False, allow_null=True)
    cost = DecimalStringField(required=False, allow_null=True, help_text="In US dollars.")
    seconds = serializers.FloatField(min_value=1, max_value=3600, required=False)
    messages = serializers.IntegerField(min_value=1, max_value=1000, required=False)

    def validate_cost(self, value: Any) -> Any:
        if value is not None and value <= 0:
            raise serializers.ValidationError("Must be above zero.")
        return value


class AgentsConfig(StepConfig):
    """The config of an `agents` step: the team, who speaks after whom, and where it ends."""

    agents = AgentSpecSerializer(many=True, allow_empty=False)
    arrangement = serializers.ChoiceField(ARRANGEMENTS, default="round_robin", help_text="Who speaks after whom.")
    max_rounds = serializers.IntegerField(min_value=1, max_value=100, default=10)
    budget = BudgetSerializer(default=dict, help_text="Of the conversation about one symbol, over all members.")
    concurrency = serializers.IntegerField(
        min_value=1, max_value=8, default=4, help_text="How many symbols are talked about at once."
    )

    def validate_agents(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(value) > MAX_MEMBERS:
            raise serializers.ValidationError(f"A team has at most {MAX_MEMBERS} agents.")
        names = [agent["agent_name"] for agent in value]
        if len(set(names)) != len(names):
            raise serializers.ValidationError("Agent names must be unique.")
        enabled = [agent for agent in value if agent["enabled"]]
        if not enabled:
            raise serializers.ValidationError("At least one agent must be enabled.")
        if sum(agent.get("role") == "decision" for agent in enabled) > 1:
            raise serializers.ValidationError("Only one agent decides.")
        return value


def overlaid(config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an `agents` step with a strategy's `autogen_config` laid over it.

    A member of the same name is replaced, but keeps its role, description and tools where the strategy names none;
    others join at the end. What the strategy says beside its members stands instead of the step's. Both must be valid.
    """
    members = {member["agent_name"]: dict(member) for member in config["agents"]}
    for member in own["agents"]:
        kept = members.get(member["agent_name"], {})
        replaced = {"enabled": True, "llm_config": {}, "max_iterations": 5, **member}
        members[member["agent_name"]] = {
            **{name: kept[name] for name in ("role", "description", "tools") if name in kept},
            **replaced,
        }
    return {**config, **own, "agents": list(members.values())}
