"""Shapes of back-tests and analyses."""

from typing import Any

from rest_framework import serializers

from market.choices import Adjustment, Timeframe
from optimize.api.fields import NumberField, PeriodField, SourceField, WholeField
from optimize.api.serializers import AnyJsonField, CostsSerializer, ObjectField
from optimize.walkforward.asking import SYMBOLS_MAX
from tradingsite.common.api.serializers import StrictSerializer, SymbolField, UtcDateTimeField


class BacktestSerializer(StrictSerializer):
    """A period, and what differs from the strategy's own definition."""

    start = PeriodField(help_text="A date, or an RFC 3339 time. Bars before it warm the indicators.")
    end = PeriodField(ends=True, help_text="A date, itself included, or an RFC 3339 time.")
    symbols = serializers.ListField(
        child=SymbolField(), min_length=1, max_length=SYMBOLS_MAX, required=False, help_text="Else the strategy's own."
    )
    step = serializers.CharField(
        max_length=60, required=False, help_text="Name of the signal step; the first one when left out."
    )
    params = AnyJsonField(required=False, help_text="Parameters of the strategy type that differ from the step's.")
    timeframe = serializers.ChoiceField(
        choices=Timeframe.choices, required=False, allow_null=True, help_text="Else that of the market data step."
    )
    source = SourceField("The data source; else that of the market data step, else each instrument's default.")  # type: ignore[assignment]  # a DRF field has an attribute of this name
    adjustment = serializers.ChoiceField(choices=Adjustment.choices, required=False, allow_null=True)
    costs = CostsSerializer(default=lambda: {"fee": 0.0, "slippage": 0.0})
    initial_cash = NumberField(min_value=1, max_value=1e12, default=10_000.0, help_text="Of each symbol's account.")
    direction = serializers.ChoiceField(choices=["long_only", "long_short"], default="long_only")
    stop_loss = NumberField(
        min_value=0.0001, max_value=0.9999, required=False, allow_null=True,
        help_text="A fraction; else the signal step's stop_pct. null for none.",
    )  # fmt: skip
    take_profit = NumberField(
        min_value=0.0001, max_value=1000, required=False, allow_null=True,
        help_text="A fraction; else the signal step's target_pct. null for none.",
    )  # fmt: skip

    def validate_params(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise serializers.ValidationError("Must be an object of parameters.", code="invalid")
        return value


class CurvePoint(StrictSerializer):
    time = UtcDateTimeField()
    equity = serializers.FloatField(help_text="At the close of the bar that opened then.")
    benchmark = serializers.FloatField(help_text="The same cash, bought at the second bar's open and held.")


class BacktestDrawdown(StrictSerializer):
    peak_at = UtcDateTimeField()
    trough_at = UtcDateTimeField()
    recovered_at = UtcDateTimeField(allow_null=True)
    depth = serializers.FloatField(help_text="Fraction of the peak.")
    bars = serializers.IntegerField(help_text="From the peak to the recovery, or to the end.")


class BacktestTrade(StrictSerializer):
    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=["long", "short"])
    entry_at = UtcDateTimeField()
    entry_price = serializers.FloatField()
    exit_at = UtcDateTimeField(allow_null=True)
    exit_price = serializers.FloatField(allow_null=True)
    quantity = serializers.FloatField()
    bars = serializers.IntegerField()
    fees = serializers.FloatField()
    slippage = serializers.FloatField()
    profit = serializers.FloatField(help_text="After costs; of an open trade, at the last close.")
    open = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=["signal", "stop", "target", "ruin"], allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        # `return` is no name that a class body can hold.
        told = serializers.FloatField(help_text="Profit as a fraction of the entry's notional.")
        return {**super().get_fields(), "return": told}


class BacktestResult(StrictSerializer):
    """What the strategy would have done. A figure that cannot be told is null."""

    strategy_id = serializers.UUIDField()
    strategy_type = serializers.CharField()
    params = ObjectField()
    step = serializers.CharField()
    start = UtcDateTimeField()
    end = UtcDateTimeField()
    settings = ObjectField(help_text="How it was traded.")
    data = serializers.ListField(  # type: ignore[assignment]  # a serializer has an attribute of this name
        child=ObjectField(), help_text="The series it read, with version and fingerprint."
    )
    statistics = ObjectField(help_text="total_return, sharpe, sortino, max_drawdown, calmar, trades, win_rate, ...")
    benchmark = ObjectField(help_text="The same of buying and holding.")
    equity = CurvePoint(many=True, help_text="At most 5,000 points, evenly taken.")
    drawdowns = BacktestDrawdown(many=True, help_text="The ten deepest.")
    costs = ObjectField(help_text="fills, fees, slippage, and both as a share of the cash.")
    trades = BacktestTrade(many=True, help_text="At most 2,000.")
    trades_left_out = serializers.IntegerField()
    symbols = serializers.ListField(
        child=ObjectField(),
        help_text="Each symbol by itself: statistics, bars, bars_skipped (a price was missing), orders_without_price.",
    )
    notes = serializers.ListField(child=serializers.CharField(), help_text="What the definition does and this did not.")


class AnalysisSerializer(StrictSerializer):
    """Which strategies to look at, on which bars."""

    strategy_type = serializers.CharField(max_length=40, help_text="A slug of /api/strategy-types.")
    symbols = serializers.ListField(child=SymbolField(), min_length=1, max_length=SYMBOLS_MAX)
    start = PeriodField(help_text="A date, or an RFC 3339 time.")
    end = PeriodField(ends=True, help_text="A date, itself included, or an RFC 3339 time.")
    timeframe = serializers.ChoiceField(choices=Timeframe.choices, default="1d")
    source = SourceField()  # type: ignore[assignment]  # as above
    adjustment = serializers.ChoiceField(choices=Adjustment.choices, required=False, allow_null=True, default=None)
    param_grid = AnyJsonField(
        required=False, allow_null=True, default=None, help_text="Parameter to list of values; else the type's grid."
    )


class LookaheadSerializer(AnalysisSerializer):
    """Look for signals that change when later bars are hidden."""

    max_cuts = WholeField(
        min_value=10,
        max_value=2_000,
        default=500,
        help_text="Of each combination and symbol, at changes of the signal.",
    )


class RecursiveSerializer(AnalysisSerializer):
    """Look how many bars the figures need before they no longer depend on where the history begins."""

    starts = WholeField(min_value=1, max_value=50, default=10, help_text="How many starts, spread over the period.")
    horizon = WholeField(min_value=50, max_value=20_000, default=5_000, help_text="Bars looked at from each start.")
    tolerance = NumberField(min_value=1e-12, max_value=0.1, default=1e-6, help_text="Relative.")


class ParitySerializer(StrictSerializer):
    """Compare what a strategy's runs decided in a period with a back-test over the same bars."""

    strategy_id = serializers.UUIDField()
    start = PeriodField(help_text="Of the runs: a date, or an RFC 3339 time.")
    end = PeriodField(ends=True, help_text="A date, itself included, or an RFC 3339 time.")
    symbols = serializers.ListField(child=SymbolField(), min_length=1, max_length=SYMBOLS_MAX, required=False)
