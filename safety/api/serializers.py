"""Shapes of safety: switch, limits, verdicts, alerts, audit."""

from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from safety.alerting.api.serializers import AlertEmailShown
from safety.choices import (
    SETTABLE_STATES,
    AlertKind,
    BreakerLevel,
    Door,
    GateCode,
    LimitScope,
    OutcomeKind,
    Severity,
    TradingState,
)
from safety.models import EVERYTHING, AlertEvent, AuditLog, GateDecision, KillSwitchEvent
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictModelSerializer,
    StrictSerializer,
    UtcDateTimeField,
)

_ZERO, _ONE, _LEAST = Decimal(0), Decimal(1), Decimal("0.0001")


class WholeNumberField(serializers.IntegerField):
    """A whole number as JSON has it: neither text nor a boolean, which Python would take for 0 or 1."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`, no word that stands for them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class KillRequest(StrictSerializer):
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    scope = serializers.CharField(
        max_length=36, required=False, default=EVERYTHING, help_text="`all`, or the id of one strategy."
    )
    flatten = StrictBooleanField(
        required=False,
        default=False,
        help_text="Close the positions as well, by market orders through the gate. A second kill may add it.",
    )


class ResumeRequest(StrictSerializer):
    reason = serializers.CharField(max_length=1000, help_text="Why it is safe to go on.")
    scope = serializers.CharField(
        max_length=36, required=False, default=EVERYTHING, help_text="`all`, or the id of one strategy."
    )


class KillSwitchState(StrictSerializer):
    active = serializers.BooleanField()
    reason = serializers.CharField()
    since = serializers.CharField(allow_null=True, help_text="RFC 3339.")
    by = serializers.CharField()
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="What halts: `database`, `file`, or either one unreadable."
    )


class RestingOrder(StrictSerializer):
    account_id = serializers.CharField()
    client_order_id = serializers.CharField()
    known = serializers.BooleanField(help_text="False for an order that the desk did not place.")
    asked_at = serializers.CharField(
        required=False, help_text="RFC 3339; when the cancel of one that is not known was first asked for."
    )
    tried_at = serializers.CharField(required=False, help_text="RFC 3339; and when last.")


class OpenPosition(StrictSerializer):
    account_id = serializers.CharField()
    symbol = serializers.CharField()
    quantity = serializers.CharField()
    code = serializers.CharField(help_text="Why it could not be closed yet; empty while its closing is on its way.")
    detail = serializers.CharField()


class Remaining(StrictSerializer):
    orders = RestingOrder(many=True)
    positions = OpenPosition(many=True)
    unreachable = serializers.ListField(
        child=serializers.CharField(), help_text="Accounts whose broker does not answer."
    )


class Sweep(StrictSerializer):
    """What a kill does beyond the latch, and how far it has come."""

    scope = serializers.CharField()
    flatten = serializers.BooleanField()
    by = serializers.CharField()
    killed_at = serializers.CharField(help_text="RFC 3339.")
    resumed_at = serializers.CharField(allow_null=True)
    latched_in_s = serializers.FloatField(
        allow_null=True, help_text="Seconds from the call until both halves of the switch were set."
    )
    rounds = serializers.IntegerField()
    clean_samples = serializers.IntegerField(help_text="Two in a row confirm it.")
    confirmed_at = serializers.CharField(allow_null=True)
    confirmed_in_s = serializers.FloatField(allow_null=True, help_text="Seconds from the kill to the second sample.")
    remaining = Remaining(help_text="What the newest round left.")


class Drill(StrictSerializer):
    """What the newest `manage.py kill_switch drill` measured."""

    at = serializers.CharField(help_text="RFC 3339.")
    by = serializers.CharField()
    processes = serializers.IntegerField()
    kills = serializers.IntegerField()
    orders = serializers.IntegerField()
    answered_in_s = serializers.FloatField(help_text="From the call to its answer, the longest.")
    from_call_p99_s = serializers.FloatField(
        help_text="How long after the call the last order of a process reached the broker."
    )
    last_order_p99_s = serializers.FloatField(
        help_text="How long after the answer the last order of a process reached the broker; 0 when none did."
    )
    last_order_max_s = serializers.FloatField()
    denied_in_s = serializers.FloatField(help_text="From the answer until the slowest process was denied an order.")
    cancelled = serializers.IntegerField()
    confirmed_in_s = serializers.FloatField(allow_null=True)
    passed = serializers.BooleanField()


class ScopeState(KillSwitchState):
    scope = serializers.CharField()
    sweep = Sweep(allow_null=True, help_text="Of the newest kill; null when the database could not be asked.")


class KillAnswer(ScopeState):
    changed = serializers.BooleanField(help_text="False when it was already set.")
    degraded = serializers.BooleanField(help_text="One of the two places could not be written; the other halts.")
    detail = serializers.CharField()


class KilledStrategy(KillSwitchState):
    strategy_id = serializers.CharField()


class Breaker(StrictSerializer):
    account_id = serializers.UUIDField()
    level = serializers.ChoiceField(choices=BreakerLevel.values)
    since = serializers.CharField(help_text="When the level was reached; RFC 3339.")
    drawdown = serializers.CharField(help_text="Below the peak, as a fraction: the smaller of raw and smoothed.")
    equity = serializers.CharField()
    peak = serializers.CharField(help_text="The highest equity since the beginning or the last resume.")
    sampled_at = serializers.CharField(help_text="RFC 3339.")


class BreakerResumeRequest(StrictSerializer):
    account_id = serializers.UUIDField()
    reason = serializers.CharField(max_length=1000, help_text="Why it is safe to go on.")


class Block(StrictSerializer):
    account_id = serializers.UUIDField()
    code = serializers.CharField(help_text="The kind of mismatch.")
    detail = serializers.CharField(allow_blank=True, help_text="What differed at last.")
    since = serializers.CharField(help_text="RFC 3339.")
    first_detail = serializers.CharField(allow_blank=True, help_text="What differed when it was blocked.")
    times = serializers.IntegerField(help_text="How many differences of this kind there have been since.")
    last_at = serializers.CharField(help_text="RFC 3339: when the last of them was found.")


class ReconciliationClearRequest(StrictSerializer):
    account_id = serializers.UUIDField()
    codes = serializers.ListField(
        child=serializers.CharField(max_length=60),
        allow_empty=False,
        max_length=20,
        help_text="What was looked at, as `reconciliation_blocks` of `GET /api/safety` names it.",
    )
    reason = serializers.CharField(max_length=1000, help_text="Who looked, and what it was.")


class ReconciliationCleared(StrictSerializer):
    account_id = serializers.UUIDField()
    reconciliation_blocks = Block(many=True, help_text="What still blocks the account; it trades again without any.")


class LimitUse(StrictSerializer):
    limit = serializers.JSONField(help_text="The limit's value.")
    used_today = serializers.JSONField(
        allow_null=True, help_text="The most of it that was used today, where it is used up."
    )
    code = serializers.ChoiceField(choices=GateCode.values)
    denied_today = serializers.IntegerField(help_text="Orders that this check denied today.")


class OrdersToday(StrictSerializer):
    """What became of the orders of today, without previews and drills. Each is counted once."""

    passed = serializers.IntegerField(help_text="The gate let them pass, and nothing below happened to them.")
    denied = serializers.IntegerField(help_text="The gate denied them.")
    refused = serializers.IntegerField(help_text="The gate let them pass, the desk refused them before they were sent.")
    stopped = serializers.IntegerField(help_text="The last look at the kill switch stopped them.")
    rejected = serializers.IntegerField(help_text="The broker rejected them.")


class Limits(StrictSerializer):
    """Every limit of the gate."""

    paper_mode = StrictBooleanField(help_text="While this is on, no live order leaves the desk.")
    daily_trade_limit = WholeNumberField(min_value=0, max_value=1_000_000)
    position_limit = DecimalStringField(minimum=_ZERO)
    order_notional_limit = DecimalStringField(minimum=_ZERO)
    duplicate_window_s = WholeNumberField(min_value=0, max_value=86_400)
    trading_state = serializers.ChoiceField(choices=[value for value, _ in SETTABLE_STATES])
    open_wait_limit_s = WholeNumberField(min_value=0, max_value=2_592_000)
    data_max_age_s = WholeNumberField(min_value=0, max_value=315_360_000)
    price_collar = DecimalStringField(minimum=_ZERO, maximum=_ONE)
    exposure_limit = DecimalStringField(minimum=_ZERO)
    daily_loss_limit = DecimalStringField(minimum=_ZERO)
    drawdown_limit = DecimalStringField(minimum=_ZERO, maximum=_ONE)
    order_rate_limit = WholeNumberField(min_value=0, max_value=1_000_000)
    breaker_warn_at = DecimalStringField(minimum=_LEAST, maximum=_ONE)
    breaker_reduce_at = DecimalStringField(minimum=_LEAST, maximum=_ONE)
    breaker_kill_at = DecimalStringField(minimum=_LEAST, maximum=_ONE)


class ScopedLimits(StrictSerializer):
    """Limits of one strategy or instrument: those that are named bind beside the desk's."""

    open_wait_limit_s = WholeNumberField(min_value=0, max_value=2_592_000, required=False)
    data_max_age_s = WholeNumberField(min_value=0, max_value=315_360_000, required=False)
    price_collar = DecimalStringField(minimum=_ZERO, maximum=_ONE, required=False)
    order_notional_limit = DecimalStringField(minimum=_ZERO, required=False)
    position_limit = DecimalStringField(minimum=_ZERO, required=False)
    exposure_limit = DecimalStringField(minimum=_ZERO, required=False)
    daily_trade_limit = WholeNumberField(min_value=0, max_value=1_000_000, required=False)
    daily_loss_limit = DecimalStringField(minimum=_ZERO, required=False)
    drawdown_limit = DecimalStringField(minimum=_ZERO, maximum=_ONE, required=False)
    order_rate_limit = WholeNumberField(min_value=0, max_value=1_000_000, required=False)


class ScopedLimitsShown(StrictSerializer):
    scope = serializers.ChoiceField(choices=LimitScope.values)
    key = serializers.CharField(help_text="The strategy's id, or the instrument's symbol.")
    limits = ScopedLimits()
    version = serializers.IntegerField()
    updated_at = UtcDateTimeField()
    updated_by = serializers.CharField(allow_blank=True)


class ScopedLimitsInForce(StrictSerializer):
    scope = serializers.ChoiceField(choices=LimitScope.values)
    key = serializers.CharField()
    limits = ScopedLimits()


class LimitsShown(Limits):
    version = serializers.IntegerField()
    updated_at = UtcDateTimeField()
    updated_by = serializers.CharField(allow_blank=True)


class Status(Limits):
    trading_state = serializers.CharField(  # type: ignore[assignment]  # one word more than can be set
        help_text=f"One of {', '.join(TradingState.values)}; the last while the kill switch is set."
    )
    trades_today = serializers.IntegerField(
        help_text="Orders that took a place in the day's count; one that was stopped or rejected later gives none back."
    )
    orders_today = OrdersToday()
    trading_day = serializers.DateField()
    kill_switch = KillSwitchState()
    scoped_limits = ScopedLimitsInForce(many=True, help_text="What narrows the limits for a strategy or instrument.")
    breakers = Breaker(many=True, help_text="How far the drawdown breaker has gone with each account that trades.")
    killed_strategies = KilledStrategy(many=True)
    reconciliation_blocks = Block(many=True, help_text="Accounts whose books differ from their broker's; they rest.")
    last_kill_drill = Drill(allow_null=True, help_text="Null while there was none.")
    kill_sweeps = Sweep(many=True, help_text="Of kills that stand or are not confirmed, else of the newest one.")
    limits = serializers.DictField(child=LimitUse())
    limits_version = serializers.IntegerField()


class Decision(StrictModelSerializer):
    became = serializers.ChoiceField(
        choices=["passed", "denied", "preview", *OutcomeKind.values],
        help_text="What became of the order; `allowed` is the gate's word alone.",
    )
    became_code = serializers.CharField(allow_blank=True, help_text="Why it was not sent, or rejected.")
    became_detail = serializers.CharField(allow_blank=True)
    became_at = UtcDateTimeField(source="outcome.at", default=None, allow_null=True)
    notional = DecimalStringField(allow_null=True)
    resulting_value = DecimalStringField(allow_null=True)
    resulting_exposure = DecimalStringField(allow_null=True)
    created_at = UtcDateTimeField()

    class Meta:
        model = GateDecision
        fields: ClassVar = [
            "id",
            "created_at",
            "allowed",
            "code",
            "detail",
            "preview",
            "drill",
            "became",
            "became_code",
            "became_detail",
            "became_at",
            "client_order_id",
            "account_id",
            "strategy_id",
            "execution_id",
            "symbol",
            "side",
            "order_type",
            "quantity",
            "limit_price",
            "reference_price",
            "mode",
            "notional",
            "resulting_value",
            "resulting_exposure",
            "data_age_s",
            "facts",
            "actor_name",
        ]


class Alert(StrictModelSerializer):
    kind = serializers.ChoiceField(choices=AlertKind.values)
    severity = serializers.ChoiceField(choices=Severity.values)
    value = DecimalStringField(allow_null=True)
    threshold = DecimalStringField(allow_null=True)
    triggered_at = UtcDateTimeField()
    acknowledged_at = UtcDateTimeField(allow_null=True)
    email = AlertEmailShown(read_only=True, allow_null=True, help_text="What became of its e-mail, if it has one.")

    class Meta:
        model = AlertEvent
        fields: ClassVar = [
            "id",
            "alert_id",
            "name",
            "kind",
            "severity",
            "symbol",
            "value",
            "threshold",
            "message",
            "triggered_at",
            "acknowledged_at",
            "acknowledged_by",
            "email",
        ]


class KillEvent(StrictModelSerializer):
    at = UtcDateTimeField()

    class Meta:
        model = KillSwitchEvent
        fields: ClassVar = ["id", "at", "scope", "action", "reason", "actor_kind", "actor_name", "request_id"]


class AuditRow(StrictModelSerializer):
    at = UtcDateTimeField()
    door = serializers.ChoiceField(choices=Door.values)

    class Meta:
        model = AuditLog
        fields: ClassVar = [
            "id",
            "at",
            "actor_kind",
            "actor_name",
            "actor_user_id",
            "actor_role",
            "door",
            "request_id",
            "action",
            "target_type",
            "target_id",
            "target_repr",
            "before",
            "after",
            "reason",
        ]
