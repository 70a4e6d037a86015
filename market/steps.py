"""The market's step types: `market_data` pins what a run sees, `indicator` computes on exactly that."""

import math
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from market import selectors, services
from market.bars import Bars, FloatArray
from market.choices import Adjustment, Timeframe
from market.errors import IndicatorParamsInvalid
from market.indicators import INDICATORS, Price, indicator_get
from market.prices import price_decimal
from market.sources import demo
from tradingsite.common.clock import rfc3339
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepError, StepResult, StepType, step_types
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import FieldError, NotFound, ValidationFailed

MOST_BARS = 100_000


class MarketDataConfig(StepConfig):
    timeframe = serializers.ChoiceField(Timeframe.choices, default=Timeframe.D1.value, help_text="Length of a bar.")
    source = serializers.RegexField(  # type: ignore[assignment]  # a field of that name
        r"^[a-z][a-z0-9_-]{0,39}\Z",
        required=False,
        allow_null=True,
        default=None,
        help_text="Data source; the instrument's default when left out. `demo` is a generated market.",
    )
    adjustment = serializers.ChoiceField(
        Adjustment.choices,
        required=False,
        allow_null=True,
        default=None,
        help_text="What prices are adjusted for; the most adjusted series there is when left out.",
    )
    lookback = serializers.IntegerField(
        min_value=2, max_value=MOST_BARS, default=400, help_text="How many complete bars the next steps see."
    )
    min_bars = serializers.IntegerField(
        min_value=1, max_value=MOST_BARS, default=2, help_text="A symbol with fewer complete bars is skipped."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["min_bars"] > attrs["lookback"]:
            raise serializers.ValidationError({"min_bars": "Must not be more than lookback."})
        return attrs


@step_types.register
class MarketDataStep(StepType):
    slug = "market_data"
    title = "Market data"
    help = "Finds the bars of each symbol and pins their version, so that every later step sees the same."
    config_class = MarketDataConfig
    puts_out = frozenset({"series"})
    reads_only = True

    def run(self, context: StepContext) -> StepResult:
        if not context.symbols:
            raise StepError("The run has no symbols: name some in the strategy or when starting it.", code="NO_SYMBOLS")
        series: dict[str, Any] = {}
        skipped: dict[str, str] = {}
        for index, symbol in enumerate(context.symbols):
            context.check()
            try:
                series[symbol] = self._pin(context, symbol)
            except (NotFound, ValidationFailed) as error:
                skipped[symbol] = str(error)
                context.log(f"{symbol} is skipped: {error.detail}")
            context.progress((index + 1) / len(context.symbols))
        if not series:
            raise StepError(
                "None of the symbols has market data: " + "; ".join(f"{s}: {why}" for s, why in skipped.items()),
                code="NO_MARKET_DATA",
            )
        summary = f"{len(series)} of {len(context.symbols)} symbols have data"
        return StepResult(output={"series": series, "skipped": skipped}, summary=summary)

    def _pin(self, context: StepContext, symbol: str) -> dict[str, Any]:
        config = context.config
        if config["source"] == demo.SLUG:
            services.demo_series_ensure(actor=context.actor, symbol=symbol, timeframe=config["timeframe"])
        selectors.instrument_get(symbol)
        row = selectors.series_get(
            symbol=symbol, source=config["source"], timeframe=config["timeframe"], adjustment=config["adjustment"]
        )
        bars = selectors.series_complete(series=row, wall=context.as_of, limit=config["lookback"])
        if len(bars) < config["min_bars"]:
            raise NotFound(f"{len(bars)} complete bars, {config['min_bars']} are needed.", code="TOO_FEW_BARS")
        note = ", generated prices" if row.source.generated else ""
        context.log(f"{symbol}: {len(bars)} bars from {bars.source} to {rfc3339(bars.opened_at(-1))}{note}")
        return {
            "series_id": str(bars.series_id) if bars.series_id else None,
            "source": bars.source,
            "timeframe": bars.timeframe,
            "adjustment": bars.adjustment,
            "version": bars.version,
            "bars": len(bars),
            "decision_time": rfc3339(bars.opened_at(-1)),
            "decision_close": decimal_string(price_decimal(float(bars.close[-1]))),
            "market_now": rfc3339(selectors.market_now(series=row, wall=context.as_of)),
            "generated": row.source.generated,
        }


class IndicatorConfig(StepConfig):
    indicator = serializers.ChoiceField(sorted(INDICATORS), help_text="Which indicator; see market/indicators.")
    params = serializers.DictField(required=False, default=dict, help_text="Its parameters; defaults for the rest.")
    name = serializers.RegexField(
        r"^[a-z][a-z0-9_]{0,39}\Z",
        required=False,
        allow_null=True,
        default=None,
        help_text="What the result is called; such as rsi_14 when left out.",
    )
    on = serializers.ChoiceField(
        [price.value for price in Price],
        required=False,
        allow_null=True,
        default=None,
        help_text="The price that it is computed on, for indicators of one price.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        params = dict(attrs["params"])
        if attrs["on"] is not None:
            if params.get("on", attrs["on"]) != attrs["on"]:
                raise serializers.ValidationError({"on": "Contradicts params/on."})
            params["on"] = attrs["on"]
        try:
            attrs["params"] = indicator_get(attrs["indicator"]).validate(params)
        except IndicatorParamsInvalid as error:
            raise serializers.ValidationError({"params": _by_name(error.errors)}) from None
        return attrs


def _by_name(errors: tuple[FieldError, ...]) -> dict[str, list[serializers.ErrorDetail]]:
    return {e.pointer.removeprefix("params/"): [serializers.ErrorDetail(e.detail, code=e.code)] for e in errors}


@step_types.register
class IndicatorStep(StepType):
    slug = "indicator"
    title = "Indicator"
    help = "Computes one technical indicator for every symbol, on the bars that market_data has pinned."
    config_class = IndicatorConfig
    needs = frozenset({"series"})
    reads_only = True

    def run(self, context: StepContext) -> StepResult:
        pinned = context.merged("series")
        if not pinned:
            raise StepError("No market data: put a market_data step before this one.", code="NO_MARKET_DATA")
        config = context.config
        indicator = indicator_get(config["indicator"])
        name = config["name"] or default_name(config["indicator"], config["params"])
        result: dict[str, dict[str, Any]] = {}
        for index, (symbol, pin) in enumerate(pinned.items()):
            context.check()
            outputs = indicator.compute(pinned_bars(context, symbol, pin), config["params"])
            for position, (output, array) in enumerate(outputs.items()):
                if position == 0:
                    result.setdefault(name, {})[symbol] = _newest(array)
                if len(outputs) > 1:
                    result.setdefault(f"{name}_{output}", {})[symbol] = _newest(array)
            context.progress((index + 1) / len(pinned))
        values = ", ".join(f"{symbol} {_shown(value['value'])}" for symbol, value in result[name].items())
        return StepResult(output={"indicators": result}, summary=f"{name}: {values}"[:500])


def default_name(indicator: str, params: Mapping[str, Any]) -> str:
    """Return what an indicator's result is called when nobody says: `rsi_14`, `macd_12_26_9`, `obv`."""
    numbers = [str(value).replace(".", "_") for value in params.values() if not isinstance(value, str)]
    return "_".join([indicator, *numbers])


def pinned_bars(context: StepContext, symbol: str, pin: Mapping[str, Any]) -> Bars:
    """Return the very bars that a market_data step has pinned, also when newer ones have come since.

    Raises:
        SeriesUnknown, SeriesEmpty, SeriesFileMissing: when they are no longer there.
    """
    return selectors.complete_bars(
        symbol=symbol,
        source=pin["source"],
        timeframe=pin["timeframe"],
        adjustment=pin["adjustment"],
        wall=context.as_of,
        limit=pin["bars"],
        version=pin["version"],
    )


def _newest(array: FloatArray) -> dict[str, float | None]:
    return {
        "value": _json(array[-1]) if len(array) else None,
        "previous": _json(array[-2]) if len(array) > 1 else None,
    }


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"
