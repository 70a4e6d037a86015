"""The shapes of goals and of what comes of them. Weights are fractions of equity, as decimal strings."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from portfolio.choices import OrderSide, RebalanceStatus
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


class RebalanceBodySerializer(StrictSerializer):
    """How to rebalance."""

    dry_run = serializers.BooleanField(
        default=True, help_text="Only say what would be ordered. Send false to order it."
    )
    min_trade = DecimalStringField(
        required=False,
        allow_null=True,
        default=None,
        minimum=Decimal(0),
        help_text="Trades of a smaller worth are left out; a thousandth of the equity unless told.",
    )
    sell_outside = serializers.BooleanField(
        default=False, help_text="Whether what is held and not named by the goal is closed; else it is left alone."
    )


class _VerdictSerializer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    code = serializers.CharField()
    detail = serializers.CharField()


class _CountsSerializer(serializers.Serializer[Any]):
    orders = serializers.IntegerField()
    refused = serializers.IntegerField(help_text="Denied by the desk, rejected by the broker, or given up before that.")
    waiting = serializers.IntegerField(help_text="Buys that wait for sells.")
    open = serializers.IntegerField()
    filled = serializers.IntegerField()


class _SkippedSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class RebalanceOrderSerializer(serializers.Serializer[Any]):
    """One order of a rebalance. `planned` in a dry run, `waiting` or `given_up` without an order, else its status."""

    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=OrderSide.choices)
    planned_quantity = DecimalStringField()
    quantity = DecimalStringField(help_text="What is ordered: of a buy, no more than the cash covers when it is sent.")
    reference_price = DecimalStringField()
    notional = DecimalStringField()
    fee = DecimalStringField(help_text="Expected; once it is filled, what it was.")
    status = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()
    verdict = _VerdictSerializer(allow_null=True, help_text="The gate's; null while the gate has not been asked.")
    client_order_id = serializers.CharField()
    order_id = serializers.UUIDField(allow_null=True)
    filled_quantity = DecimalStringField()
    average_price = DecimalStringField(allow_null=True)


class RebalanceSerializer(serializers.Serializer[Any]):
    """What a rebalance ordered, or would order."""

    id = serializers.UUIDField(allow_null=True, help_text="Null for a dry run.")
    goal_id = serializers.UUIDField()
    dry_run = serializers.BooleanField()
    status = serializers.ChoiceField(
        choices=["planned", *RebalanceStatus.values],
        help_text="Running while it has orders to send; planned: a dry run.",
    )
    as_of = UtcDateTimeField()
    completed_at = UtcDateTimeField(allow_null=True)
    equity = DecimalStringField()
    total_drift = DecimalStringField()
    expected_drift = DecimalStringField(help_text="With every order filled at its reference price.")
    min_trade = DecimalStringField()
    sell_outside = serializers.BooleanField()
    counts = _CountsSerializer()
    orders = RebalanceOrderSerializer(many=True)
    skipped = _SkippedSerializer(many=True)
