"""Shapes of alert rules."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from safety.choices import RULE_KINDS, AlertChannel, AlertStatus, EmailStatus, Severity
from safety.models.alert_rules import AlertEmail, AlertRule, state_of, status_of
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    SymbolField,
    UtcDateTimeField,
)

KIND_SLUGS = [value for value, _ in RULE_KINDS]


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ConfigField(serializers.JSONField):
    """A rule's config, shaped by its kind."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.", code="invalid")
        return super().to_internal_value(data)


class AlertRuleBody(StrictSerializer):
    """A rule. `GET /api/alerts/kinds` tells which kinds have a symbol, a threshold and what config."""

    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=KIND_SLUGS)
    symbol = SymbolField(required=False, allow_blank=True, help_text="What it is about, where its kind wants one.")
    threshold = DecimalStringField(required=False, allow_null=True)
    config = ConfigField(required=False)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False, help_text="warning when left out.")
    cooldown_s = serializers.IntegerField(required=False, help_text="It raises no second alert for so many seconds.")
    channels = serializers.ListField(
        child=serializers.ChoiceField(choices=AlertChannel.choices),
        required=False,
        min_length=1,
        max_length=len(AlertChannel),
        help_text="How it is told; in_app when left out. The history has every alert.",
    )
    enabled = serializers.BooleanField(required=False)


class AlertRuleChange(AlertRuleBody):
    """Any of the fields; what is left out stays."""

    name = serializers.CharField(max_length=120, required=False)
    kind = serializers.ChoiceField(choices=KIND_SLUGS, required=False)


class AlertStateShown(StrictSerializer):
    """What the last look at a rule said."""

    status = serializers.ChoiceField(choices=AlertStatus.choices)
    code = serializers.CharField(allow_blank=True, help_text="Why it cannot be evaluated, while that is so.")
    detail = serializers.CharField(allow_blank=True)
    value = DecimalStringField(allow_null=True, help_text="What was seen when it last changed.")
    observed_at = UtcDateTimeField(allow_null=True)
    since = UtcDateTimeField(allow_null=True, help_text="When it came to be so.")
    last_triggered_at = UtcDateTimeField(allow_null=True)
    triggered_count = serializers.IntegerField()
    suppressed_count = serializers.IntegerField(help_text="Not raised: cooling down, or snoozed.")


class AlertRuleShown(StrictModelSerializer):
    kind = serializers.ChoiceField(choices=KIND_SLUGS)
    threshold = DecimalStringField(allow_null=True)
    severity = serializers.ChoiceField(choices=Severity.choices)
    channels = serializers.ListField(child=serializers.ChoiceField(choices=AlertChannel.choices))
    snoozed_until = UtcDateTimeField(allow_null=True)
    owner = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    state = serializers.SerializerMethodField()
    created_at = UtcDateTimeField()
    updated_at = UtcDateTimeField()

    class Meta:
        model = AlertRule
        fields: ClassVar = [
            "id", "name", "kind", "symbol", "threshold", "config", "severity", "cooldown_s", "channels", "enabled",
            "snoozed_until", "owner", "state", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(AlertStateShown)
    def get_state(self, row: AlertRule) -> dict[str, Any]:
        state = state_of(row)
        shown = {"status": status_of(row, state).value, "code": "", "detail": "", "value": None, "observed_at": None,
                 "since": None, "last_triggered_at": None, "triggered_count": 0, "suppressed_count": 0}  # fmt: skip
        if state is not None:
            names = ("detail", "value", "observed_at", "since", "last_triggered_at", "triggered_count")
            shown |= {name: getattr(state, name) for name in (*names, "suppressed_count")}
            shown["code"] = state.problem
        return dict(AlertStateShown(shown).data)


class SnoozeBody(StrictSerializer):
    """Until when, or for how long; one of the two."""

    until = UtcDateTimeField(required=False)
    for_s = serializers.IntegerField(required=False, min_value=1, max_value=366 * 86_400)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("until" in attrs) == ("for_s" in attrs):
            raise serializers.ValidationError({"until": "Say either until or for_s."})
        return attrs


class Acknowledged(StrictSerializer):
    acknowledged = serializers.IntegerField(help_text="How many alerts nobody had seen yet.")


class AlertKindShown(StrictSerializer):
    kind = serializers.ChoiceField(choices=KIND_SLUGS)
    help = serializers.CharField()
    symbol = serializers.ChoiceField(choices=["required", "optional", "none"])
    threshold = serializers.ChoiceField(choices=["required", "optional", "none"])
    config_schema = serializers.DictField(help_text="JSON Schema of the config.")
    figures = serializers.DictField(child=serializers.CharField(), help_text="The names that an expression may use.")


class AlertEmailShown(StrictModelSerializer):
    """What became of the e-mail of an alert."""

    to = serializers.CharField(source="user.username", help_text="Whose it is: the rule's owner.")
    status = serializers.ChoiceField(choices=EmailStatus.choices)
    sent_at = UtcDateTimeField(allow_null=True)
    next_attempt_at = UtcDateTimeField(allow_null=True)

    class Meta:
        model = AlertEmail
        fields: ClassVar = ["to", "status", "attempts", "sent_at", "next_attempt_at", "last_error"]
        read_only_fields = fields


class RoundShown(StrictSerializer):
    """The evaluator's last round."""

    began_at = UtcDateTimeField(allow_null=True)
    finished_at = UtcDateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField()
    rules = serializers.IntegerField()
    changed = serializers.IntegerField()
    triggered = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="Rules that could not be evaluated; each says why in its state.")
