"""The shapes of the portfolio's API. Money, prices and quantities are decimal strings; statistics are numbers."""

from typing import Any

from rest_framework import serializers

from portfolio.choices import OrderOrigin, OrderSide, OrderStatus, OrderType, TimeInForce, TradingMode
from tradingsite.common.api.serializers import DecimalStringField, StrictSerializer, SymbolField, UtcDateTimeField


class OrderPlaceSerializer(StrictSerializer):
    """An order placed by hand."""

    symbol = SymbolField()
    side = serializers.ChoiceField(choices=OrderSide.choices)
    quantity = DecimalStringField(help_text="Above zero; whole lots of the instrument.")
    type = serializers.ChoiceField(choices=OrderType.choices, default=OrderType.MARKET)
    limit_price = DecimalStringField(required=False, allow_null=True, default=None)
    stop_price = DecimalStringField(
        required=False,
        allow_null=True,
        default=None,
        help_text="For a stop order: it becomes a market order once the market trades there or beyond.",
    )
    time_in_force = serializers.ChoiceField(
        choices=TimeInForce.choices,
        default=TimeInForce.GTC,
        help_text="`day` expires with the session that runs, or with the next one; `gtc` rests until cancelled.",
    )
    mode = serializers.ChoiceField(choices=TradingMode.choices, default=TradingMode.PAPER)
    strategy_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    source = serializers.RegexField(  # type: ignore[assignment]  # a DRF field has an attribute of this name
        r"^[a-z][a-z0-9_-]{0,39}\Z",
        required=False,
        allow_null=True,
        default=None,
        help_text="The data source that prices it; the instrument's default when left out.",
    )
    timeframe = serializers.ChoiceField(choices=["1m", "5m", "15m", "1h", "1d"], default="1d")
    adjustment = serializers.ChoiceField(
        choices=["none", "split", "split_dividend"], required=False, allow_null=True, default=None
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["quantity"] <= 0:
            raise serializers.ValidationError({"quantity": "Must be above zero."}, code="min_value")
        for name, owner in (("limit_price", OrderType.LIMIT), ("stop_price", OrderType.STOP)):
            price, word = attrs[name], name.replace("_", " ")
            if attrs["type"] == owner and price is None:
                raise serializers.ValidationError({name: f"A {owner} order needs its {word}."}, code="required")
            if attrs["type"] != owner and price is not None:
                raise serializers.ValidationError({name: f"A {attrs['type']} order has no {word}."}, code="invalid")
            if price is not None and price <= 0:
                raise serializers.ValidationError({name: "Must be above zero."}, code="min_value")
        return attrs


class OrderCancelSerializer(StrictSerializer):
    """Why an order is cancelled."""

    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class FillSerializer(serializers.Serializer[Any]):
    """One fill of an order."""

    id = serializers.IntegerField()
    order_id = serializers.UUIDField()
    venue_fill_id = serializers.CharField()
    symbol = serializers.CharField(source="instrument.symbol")
    side = serializers.ChoiceField(choices=OrderSide.choices)
    quantity = DecimalStringField()
    price = DecimalStringField()
    fee = DecimalStringField()
    occurred_at = UtcDateTimeField(help_text="The market's time.")
    recorded_at = UtcDateTimeField()


class OrderSerializer(serializers.Serializer[Any]):
    """An order. `denied` is the desk's answer, `rejected` the broker's; both carry a stable `code`."""

    id = serializers.UUIDField()
    client_order_id = serializers.CharField()
    account_id = serializers.UUIDField()
    strategy_id = serializers.UUIDField(allow_null=True)
    execution_id = serializers.UUIDField(allow_null=True)
    symbol = serializers.CharField(source="instrument.symbol")
    side = serializers.ChoiceField(choices=OrderSide.choices)
    type = serializers.ChoiceField(choices=OrderType.choices)
    mode = serializers.ChoiceField(choices=TradingMode.choices)
    quantity = DecimalStringField()
    limit_price = DecimalStringField(allow_null=True)
    stop_price = DecimalStringField(allow_null=True)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.choices)
    origin = serializers.ChoiceField(
        choices=OrderOrigin.choices, help_text="`broker`: made outside the desk and taken over from the broker's book."
    )
    reference_price = DecimalStringField(allow_null=True)
    source = serializers.CharField()  # type: ignore[assignment]  # as above
    timeframe = serializers.CharField()
    adjustment = serializers.CharField()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    code = serializers.CharField()
    detail = serializers.CharField()
    decision_id = serializers.UUIDField(allow_null=True)
    venue_order_id = serializers.CharField()
    filled_quantity = DecimalStringField()
    average_price = DecimalStringField(allow_null=True)
    fees = DecimalStringField()
    submitted_market_time = UtcDateTimeField(allow_null=True)
    created_at = UtcDateTimeField()
    sent_at = UtcDateTimeField(allow_null=True)
    closed_at = UtcDateTimeField(allow_null=True)
    cancel_requested_at = UtcDateTimeField(allow_null=True)


class OrderDetailSerializer(OrderSerializer):
    """An order with its fills."""

    fills = FillSerializer(many=True)


class PositionSerializer(serializers.Serializer[Any]):
    """A position at its mark. `generated` marks invented prices; `historical` a market that stands still."""

    symbol = serializers.CharField()
    name = serializers.CharField()
    quantity = DecimalStringField()
    average_price = DecimalStringField()
    cost = DecimalStringField()
    mark_price = DecimalStringField(allow_null=True)
    mark_time = UtcDateTimeField(allow_null=True)
    value = DecimalStringField()
    weight = serializers.FloatField(allow_null=True)
    unrealized_pnl = DecimalStringField()
    realized_pnl = DecimalStringField()
    fees = DecimalStringField()
    source = serializers.CharField()  # type: ignore[assignment]  # as above
    source_title = serializers.CharField()
    timeframe = serializers.CharField()
    adjustment = serializers.CharField()
    generated = serializers.BooleanField()
    historical = serializers.BooleanField()


class EquityPointSerializer(serializers.Serializer[Any]):
    """A point of the equity curve."""

    at = UtcDateTimeField()
    cash = DecimalStringField()
    positions_value = DecimalStringField()
    equity = DecimalStringField()


class PortfolioSerializer(serializers.Serializer[Any]):
    """What the account is worth now."""

    account_id = serializers.UUIDField()
    name = serializers.CharField()
    currency = serializers.CharField()
    mode = serializers.ChoiceField(choices=TradingMode.choices)
    as_of = UtcDateTimeField()
    starting_cash = DecimalStringField()
    cash = DecimalStringField()
    cash_reserved = DecimalStringField()
    equity = DecimalStringField()
    positions_value = DecimalStringField()
    gross_exposure = DecimalStringField(help_text="The sum of the absolute values of all positions.")
    realized_pnl = DecimalStringField()
    unrealized_pnl = DecimalStringField()
    fees = DecimalStringField()
    day_pnl = DecimalStringField(help_text="Against the last point of the curve before midnight, site time.")
    total_pnl = DecimalStringField(help_text="Against the starting cash and what was paid in or out since.")
    total_return = serializers.FloatField(allow_null=True, help_text="Null when nothing is left that was paid in.")
    drawdown = serializers.FloatField(
        allow_null=True, help_text="From the highest equity, as a positive fraction; null when that is not above zero."
    )
    valued = serializers.BooleanField(help_text="Whether every position has a price.")
    positions = PositionSerializer(many=True)
    equity_curve = EquityPointSerializer(many=True)
