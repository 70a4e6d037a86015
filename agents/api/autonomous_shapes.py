"""The shapes of the autonomous agent in the API."""

from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.autonomous.choices import Autonomy, ProposalStatus, RunStatus, RunTrigger
from agents.autonomous.models import AgentRun, Proposal
from agents.autonomous.quiet import WEEKDAYS, known_zone
from portfolio.steps import SizingConfig
from scheduler.api.serializers import RuleField
from tradingsite.common.api.config_schema import json_able
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    SymbolField,
    UtcDateTimeField,
)
from workflows.agent_section import AgentsConfig

_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d\Z"


class RunBudgetSerializer(StrictSerializer):
    """What one run may use; null is without bound. Cost is in US dollars by the desk's price table."""

    tokens = serializers.IntegerField(min_value=1, max_value=10**9, allow_null=True, default=None)
    cost = DecimalStringField(minimum=Decimal(0), allow_null=True, default=None)
    seconds = serializers.FloatField(min_value=1, max_value=7000, default=900.0)
    messages = serializers.IntegerField(min_value=1, max_value=100_000, default=600)


class DayBudgetSerializer(StrictSerializer):
    """What the runs of one trading day may use together; null is without bound."""

    tokens = serializers.IntegerField(min_value=1, max_value=10**10, allow_null=True, default=None)
    cost = DecimalStringField(minimum=Decimal(0), allow_null=True, default=None)
    orders = serializers.IntegerField(min_value=1, max_value=1000, allow_null=True, default=20)


class BudgetsSerializer(StrictSerializer):
    run = RunBudgetSerializer(required=False)
    day = DayBudgetSerializer(required=False)


class QuietWindowSerializer(StrictSerializer):
    """`from` to `to`, wall time; one that ends at or before its beginning goes on into the next day."""

    weekdays = serializers.ListField(child=serializers.ChoiceField(WEEKDAYS), min_length=1, max_length=7)

    def get_fields(self) -> dict[str, Any]:
        clock = serializers.RegexField(_CLOCK, help_text="Such as 22:30.")
        # One of the names is a word of the language.
        return {**super().get_fields(), "from": clock, "to": serializers.RegexField(_CLOCK, help_text="Such as 06:00.")}


class QuietHoursSerializer(StrictSerializer):
    timezone = serializers.CharField(max_length=64, help_text="IANA name, such as America/New_York.")
    windows = QuietWindowSerializer(many=True, allow_empty=False)

    def validate_timezone(self, value: str) -> str:
        if not known_zone(value):
            raise serializers.ValidationError(
                f"{value!r} is no time zone of the IANA database.", code="unknown_timezone"
            )
        return value

    def validate_windows(self, value: list[Any]) -> list[Any]:
        if len(value) > 20:
            raise serializers.ValidationError("At most 20 windows.")
        return value


class CadenceSerializer(StrictSerializer):
    """When the clock starts a run, in the scheduler's words."""

    schedule = RuleField()
    timezone = serializers.CharField(max_length=64, default="UTC")


_AUTONOMY = "observe: says what it would do. propose: proposes orders. act: places orders through the gate."
_TEAM = "The team that is asked beside the strategies; null is the desk's own five, offline."


class AgentConfigBody(StrictSerializer):
    """How the agent is to be set; what is left out has the default."""

    enabled = serializers.BooleanField(default=True)
    autonomy = serializers.ChoiceField(Autonomy.choices, default=Autonomy.OBSERVE.value, help_text=_AUTONOMY)
    strategies = serializers.ListField(child=serializers.UUIDField(), default=list, max_length=50)
    symbols = serializers.ListField(
        child=SymbolField(), default=list, max_length=100, help_text="Those of the strategies when empty."
    )
    cadence = CadenceSerializer(allow_null=True, default=None)
    team_enabled = serializers.BooleanField(default=True)
    team = AgentsConfig(allow_null=True, default=None, help_text=_TEAM)
    budgets = BudgetsSerializer(default=dict)
    quiet_hours = QuietHoursSerializer(allow_null=True, default=None)
    sizing = SizingConfig(default=lambda: {"method": "equity_fraction", "value": "0.1"})
    proposal_lifetime_s = serializers.IntegerField(min_value=60, max_value=7 * 86_400, default=4 * 3600)
    price_bound_pct = DecimalStringField(minimum=Decimal("0.001"), maximum=Decimal(100), default=Decimal(2))


class AgentConfigChange(AgentConfigBody):
    """Any of the fields; what is left out stays. Each is replaced as a whole."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.default, field.required = serializers.empty, False
        return fields


def config_changes(body: dict[str, Any]) -> dict[str, Any]:
    """Return a validated body as the service takes it: JSON values, except the bound of the price."""
    changes: dict[str, Any] = {name: json_able(value) for name, value in body.items() if name != "price_bound_pct"}
    if "price_bound_pct" in body:
        changes["price_bound_pct"] = body["price_bound_pct"]
    if "budgets" in changes:
        # What a part leaves out has its own defaults, which an absent part has too.
        parts = {"run": RunBudgetSerializer, "day": DayBudgetSerializer}
        given = changes["budgets"]
        changes["budgets"] = {name: given.get(name) or _defaults(part) for name, part in parts.items()}
    return changes


def _defaults(part: type[StrictSerializer]) -> dict[str, Any]:
    serializer = part(data={})
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class HindranceSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    only_limits = serializers.BooleanField(source="soft", help_text="A run by hand may go as far as proposing.")


class DayUseSerializer(serializers.Serializer[Any]):
    runs = serializers.IntegerField()
    tokens = serializers.IntegerField()
    cost = DecimalStringField()
    orders = serializers.IntegerField()


class AgentRunRow(StrictModelSerializer):
    """One line of the agent's runs."""

    trigger = serializers.ChoiceField(RunTrigger.choices, read_only=True)
    status = serializers.ChoiceField(RunStatus.choices, read_only=True)
    execution_id = serializers.UUIDField(read_only=True, allow_null=True)
    started_at = UtcDateTimeField(source="created_at", read_only=True)
    finished_at = UtcDateTimeField(read_only=True, allow_null=True)
    symbols = serializers.ListField(child=serializers.CharField(), read_only=True)
    notes = serializers.ListField(child=serializers.CharField(), read_only=True)
    tokens_used = serializers.IntegerField(source="tokens", read_only=True)
    cost = DecimalStringField(read_only=True, allow_null=True)
    error_code = serializers.CharField(source="code", read_only=True)
    error_message = serializers.CharField(source="reason", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = AgentRun
        fields: ClassVar = [
            "id", "execution_id", "trigger", "autonomy", "status", "symbols", "notes", "started_at", "finished_at",
            "tokens_used", "cost", "error_code", "error_message", "created_by",
        ]  # fmt: skip
        read_only_fields = fields


@extend_schema_field({"type": "object", "additionalProperties": {}})
class FreeObjectField(serializers.JSONField):
    """A JSON object that the desk wrote."""


class AgentReport(serializers.Serializer[Any]):
    """What a run came to."""

    id = serializers.UUIDField()
    execution_id = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(RunStatus.choices)
    trigger = serializers.ChoiceField(RunTrigger.choices)
    autonomy = serializers.ChoiceField(Autonomy.choices)
    summary = serializers.CharField()
    started_at = serializers.CharField()
    finished_at = serializers.CharField(allow_null=True)
    notes = serializers.ListField(child=serializers.CharField())
    observations = serializers.ListField(child=FreeObjectField())
    decisions = serializers.ListField(child=FreeObjectField())
    orders = serializers.ListField(child=FreeObjectField())
    proposals = serializers.ListField(child=FreeObjectField())
    would_order = serializers.ListField(child=FreeObjectField())
    earlier_advice = serializers.ListField(child=FreeObjectField())
    tokens_used = serializers.IntegerField()
    cost = serializers.CharField(allow_null=True)
    error = FreeObjectField(allow_null=True)
    phases = serializers.ListField(child=FreeObjectField())


class AgentRunDetail(AgentRunRow):
    """A run with what it was set to, and its report once it has ended."""

    config = FreeObjectField(read_only=True)
    report = AgentReport(read_only=True, allow_null=True)

    class Meta(AgentRunRow.Meta):
        fields: ClassVar = [*AgentRunRow.Meta.fields, "config", "report"]
        read_only_fields = fields


class AgentRunBody(StrictSerializer):
    symbols = serializers.ListField(
        child=SymbolField(), default=list, max_length=100, help_text="Instead of those of the setting."
    )
    autonomy = serializers.ChoiceField(
        Autonomy.choices, required=False, allow_null=True, default=None, help_text="Less than the setting allows."
    )


class AgentRunAccepted(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    status = serializers.ChoiceField(RunStatus.choices)
    links = FreeObjectField()


class ReasonBody(StrictSerializer):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class AgentStatus(serializers.Serializer[Any]):
    """How the agent is set and how it stands."""

    account_id = serializers.UUIDField(source="config.account_id", allow_null=True)
    enabled = serializers.BooleanField(source="config.enabled")
    autonomy = serializers.ChoiceField(Autonomy.choices, source="config.autonomy")
    strategies = serializers.ListField(child=serializers.UUIDField(), source="config.strategies")
    symbols = serializers.ListField(child=serializers.CharField(), source="config.symbols")
    cadence = FreeObjectField(allow_null=True)
    team_enabled = serializers.BooleanField(source="config.team_enabled")
    team = FreeObjectField(source="config.team", allow_null=True)
    budgets = FreeObjectField(source="config.budgets")
    quiet_hours = FreeObjectField(source="config.quiet_hours", allow_null=True)
    sizing = FreeObjectField(source="config.sizing")
    proposal_lifetime_s = serializers.IntegerField(source="config.proposal_lifetime_s")
    price_bound_pct = DecimalStringField(source="config.price_bound_pct")
    version = serializers.IntegerField(source="config.version")
    status = serializers.ChoiceField(["running", "idle", "disabled", "halted"])
    effective_symbols = serializers.ListField(child=serializers.CharField(), help_text="What a run would look at now.")
    last_run = AgentRunRow(allow_null=True)
    running_run = AgentRunRow(allow_null=True)
    next_run_time = UtcDateTimeField(allow_null=True)
    schedule_id = serializers.UUIDField(source="config.schedule_id", allow_null=True)
    today = DayUseSerializer()
    would_not_run = HindranceSerializer(many=True)
    proposals_pending = serializers.IntegerField()


class PhaseLine(serializers.Serializer[Any]):
    """One phase of one run."""

    run_id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    phase = serializers.CharField(source="name")
    status = serializers.CharField()
    attempts = serializers.IntegerField()
    summary = serializers.CharField()
    lines = serializers.ListField(child=FreeObjectField(), source="logs")
    error_code = serializers.CharField()
    error_message = serializers.CharField()
    started_at = UtcDateTimeField(allow_null=True)
    completed_at = UtcDateTimeField(allow_null=True)


class ProposalSerializer(StrictModelSerializer):
    """An order that the agent proposes."""

    run_id = serializers.UUIDField(read_only=True)
    status = serializers.ChoiceField(ProposalStatus.choices, read_only=True)
    quantity = DecimalStringField(read_only=True)
    reference_price = DecimalStringField(read_only=True)
    price_bound_pct = DecimalStringField(read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    expires_at = UtcDateTimeField(read_only=True)
    decided_at = UtcDateTimeField(read_only=True, allow_null=True)
    decided_by = serializers.CharField(source="decided_by.username", read_only=True, allow_null=True, default=None)
    order_id = serializers.UUIDField(read_only=True, allow_null=True)
    order_status = serializers.CharField(source="order.status", read_only=True, allow_null=True, default=None)
    order_code = serializers.CharField(source="order.code", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Proposal
        fields: ClassVar = [
            "id", "run_id", "symbol", "side", "quantity", "reference_price", "price_bound_pct", "reduces", "mode",
            "confidence", "reason", "status", "created_at", "expires_at", "decided_at", "decided_by",
            "decided_reason", "client_order_id", "order_id", "order_status", "order_code",
        ]  # fmt: skip
        read_only_fields = fields
