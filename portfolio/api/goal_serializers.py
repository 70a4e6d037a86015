"""The shapes of goals and of what comes of them. Weights are fractions of equity, as decimal strings."""

from typing import Any

from rest_framework import serializers

from tradingsite.common.api.serializers import DecimalStringField, StrictSerializer, UtcDateTimeField


class GoalBodySerializer(StrictSerializer):
    """What creates or replaces a goal. The numbers are judged by the service, which names each wrong one."""

    name = serializers.CharField(max_length=120)
    target_weights = serializers.DictField(
        child=DecimalStringField(),
        help_text="By symbol, above 0 and together at most 1; the rest is cash.",
    )
    drift_threshold = DecimalStringField(
        help_text="Above 0, at most 1: the total drift above which an alert is raised."
    )
    strategy_id = serializers.UUIDField(
        required=False,
        allow_null=True,
        default=None,
        help_text="In whose name the goal's orders are placed: its kill switch and its limits hold for them.",
    )
    enabled = serializers.BooleanField(default=True, help_text="Whether its drift is watched and it may be rebalanced.")


class GoalChangeSerializer(StrictSerializer):
    """What changes some fields of a goal; `target_weights` as a whole."""

    name = serializers.CharField(max_length=120, required=False)
    target_weights = serializers.DictField(child=DecimalStringField(), required=False)
    drift_threshold = DecimalStringField(required=False)
    strategy_id = serializers.UUIDField(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False)


class GoalSerializer(serializers.Serializer[Any]):
    """A goal, and what monitoring found when it looked last."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    account_id = serializers.UUIDField()
    target_weights = serializers.DictField(child=serializers.CharField())
    drift_threshold = DecimalStringField()
    strategy_id = serializers.UUIDField(allow_null=True)
    enabled = serializers.BooleanField()
    version = serializers.IntegerField()
    created_at = UtcDateTimeField()
    updated_at = UtcDateTimeField()
    total_drift = DecimalStringField(
        source="watch.total_drift", allow_null=True, help_text="At the last look; null when it could not be told."
    )
    breached_since = UtcDateTimeField(source="watch.over_since", allow_null=True)
    checked_at = UtcDateTimeField(source="watch.checked_at", allow_null=True)


class _PartSerializer(serializers.Serializer[Any]):
    target_weight = DecimalStringField()
    current_weight = DecimalStringField()
    drift = DecimalStringField(help_text="Current minus target weight: above zero, there is too much of it.")
    drift_pct = serializers.FloatField(help_text="The drift in percent of the equity.")
    value = DecimalStringField()


class CashPartSerializer(_PartSerializer):
    """The cash beside the rest that the weights leave."""


class AllocationSerializer(_PartSerializer):
    """One symbol beside its target. `outside`: it is held, and the goal does not name it, so that its target is 0."""

    symbol = serializers.CharField()
    quantity = DecimalStringField()
    outside = serializers.BooleanField()


class DriftSerializer(serializers.Serializer[Any]):
    """How far the account is from the goal now."""

    goal_id = serializers.UUIDField()
    as_of = UtcDateTimeField()
    equity = DecimalStringField()
    drift_threshold = DecimalStringField()
    recovers_at = DecimalStringField(help_text="The total drift at which a goal over its threshold has recovered.")
    total_drift = DecimalStringField(
        help_text="Half the sum of all absolute drifts, of cash too: the part of the equity that is not where it belongs."
    )
    total_drift_pct = serializers.FloatField()
    breached = serializers.BooleanField(help_text="Over the threshold, and not recovered since.")
    breached_since = UtcDateTimeField(allow_null=True)
    checked_at = UtcDateTimeField(allow_null=True, help_text="When monitoring looked last.")
    valued = serializers.BooleanField(
        help_text="Whether every position has a price; else `breached` is not decided anew."
    )
    unpriced = serializers.ListField(child=serializers.CharField())
    cash = CashPartSerializer()
    allocations = AllocationSerializer(many=True)
