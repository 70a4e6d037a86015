"""The two deciding step types: a signal, and conditions on it."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
from rest_framework import serializers

from market.bars import Bars
from market.indicators import compute
from market.selectors import bars_load
from portfolio.selectors import account_default, position_quantity
from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types
from tradingsite.common.decimals import PLACES
from tradingsite.common.errors import ValidationFailed
from workflows.conditions import Rule, check_rules
from workflows.decisions import Decision, Levels, decide
from workflows.errors import NoMarketData
from workflows.strategies import StrategyType, confidence, strategy_types, target_position

ATR_PERIOD = 14
# All the history that a series holds decides, as in a back-test over it; the bound is for minute bars of many years.
MOST_BARS = 20_000


def _as_errors(failure: ValidationFailed) -> serializers.ValidationError:
    """Return the failure as nested errors of a serializer, so that pointers such as `params/fast` survive."""
    nested: dict[str, Any] = {}
    for error in failure.errors:
        place = nested
        *parents, last = error.pointer.split("/")
        for parent in parents:
            place = place.setdefault(parent, {})
        place.setdefault(last, []).append(serializers.ErrorDetail(error.detail, code=error.code))
    return serializers.ValidationError(nested)


class SignalConfig(StepConfig):
    """How to decide, and where the decision says it was wrong (stop) or is done (target)."""

    strategy_type = serializers.CharField(max_length=40, help_text="Slug of a strategy type.")
    params = serializers.DictField(default=dict, help_text="The strategy type's parameters; defaults for the rest.")
    entry = serializers.ChoiceField(
        choices=["state", "event"],
        default="state",
        help_text="state: buy whenever the strategy wants to be long. event: only on the bar on which that began.",
    )
    stop_pct = serializers.FloatField(
        required=False, allow_null=True, min_value=0.01, max_value=99, help_text="Below the close, in %."
    )
    target_pct = serializers.FloatField(
        required=False, allow_null=True, min_value=0.01, max_value=1000, help_text="Above it, in %."
    )
    stop_atr = serializers.FloatField(
        required=False, allow_null=True, min_value=0.01, max_value=100, help_text="In average true ranges."
    )
    target_atr = serializers.FloatField(
        required=False, allow_null=True, min_value=0.01, max_value=100, help_text="In average true ranges."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # None says the same as nothing, so that a parameter can switch a stop off.
        for name in [name for name, value in attrs.items() if value is None]:
            del attrs[name]
        for name in ("stop", "target"):
            if f"{name}_pct" in attrs and f"{name}_atr" in attrs:
                raise serializers.ValidationError({f"{name}_atr": f"Give {name}_pct or {name}_atr, not both."})
        slug = attrs["strategy_type"]
        if slug not in strategy_types:
            names = ", ".join(item.slug for item in strategy_types.all())
            raise serializers.ValidationError({"strategy_type": f"There is no such strategy type. Known: {names}."})
        try:
            attrs["params"] = strategy_types.get(slug).clean(attrs["params"])
        except ValidationFailed as failure:
            raise _as_errors(failure) from failure
        return attrs


def pinned_bars(symbol: str, series: dict[str, Any], most: int = MOST_BARS) -> Bars:
    """Return the bars that the market_data step pinned: its version of the series, up to its decision bar."""
    end = parse_rfc3339(series["decision_time"])
    bars = bars_load(
        symbol=symbol,
        source=series["source"],
        timeframe=series["timeframe"],
        adjustment=series["adjustment"],
        version=series["version"],
        end=end,
        limit=most,
    )
    return bars.until(end)


def _atr(bars: Bars) -> float | None:
    value = float(compute("atr", bars, {"period": ATR_PERIOD})["value"][-1])
    return value if np.isfinite(value) else None


def _levels(price: Decimal, config: dict[str, Any], bars: Bars) -> Levels:
    """Return where the stop and the target lie around a buy at `price`; None where the config names none."""
    average = _atr(bars) if "stop_atr" in config or "target_atr" in config else None

    def away(name: str) -> Decimal | None:
        if f"{name}_pct" in config:
            return price * Decimal(str(config[f"{name}_pct"])) / 100
        if f"{name}_atr" in config and average is not None:
            return Decimal(str(config[f"{name}_atr"])) * Decimal(str(average))
        return None

    def level(distance: Decimal | None, sign: int) -> Decimal | None:
        if distance is None or price + sign * distance <= 0:
            return None
        return (price + sign * distance).quantize(Decimal(1).scaleb(-PLACES), rounding=ROUND_HALF_EVEN)

    return Levels(stop=level(away("stop"), -1), target=level(away("target"), 1))


def _decision(
    symbol: str, series: dict[str, Any], kind: StrategyType, config: dict[str, Any], held: Decimal
) -> Decision:
    price, time = Decimal(series["decision_close"]), series["decision_time"]
    bars, params, needed = pinned_bars(symbol, series), config["params"], kind.warmup(config["params"])
    if len(bars) < needed:
        reason = f"INSUFFICIENT_BARS: {kind.slug} needs {needed} bars to warm up, the series has {len(bars)}"
        return Decision.hold(symbol, reason, price=price, bar_time=time)
    study = kind.study(bars, params)
    target = target_position(study.signals)
    last = len(bars) - 1
    began = bool(target[-1] == 1 and (last == 0 or target[-2] == 0))
    figures = {name: float(values[-1]) for name, values in study.figures.items()}
    return decide(
        symbol=symbol,
        target=int(target[-1]),
        began=began,
        held=held,
        event_only=config["entry"] == "event",
        confidence=confidence(study, last, int(target[-1])),
        figures=figures,
        levels=_levels(price, config, bars),
        price=price,
        bar_time=time,
    )


@step_types.register
class Signal(StepType):
    """Decides for each symbol by a strategy type, from complete bars only, knowing what is held."""

    slug = "signal"
    title = "Signal"
    help = "Decides BUY, SELL or HOLD for each symbol by a strategy type."
    config_class = SignalConfig
    needs = frozenset({"series"})
    puts_out = frozenset({"decisions"})
    reads_only = True

    def run(self, context: StepContext) -> StepResult:
        series = context.merged("series")
        if not series:
            raise NoMarketData("No step before this one put out a series; add a market_data step, or look at its log.")
        config = dict(context.config)
        kind = strategy_types.get(config["strategy_type"])
        # Cleaned again: a config that went through JSON may hold 20 where the strategy wants 20.0.
        config["params"] = kind.clean(config.get("params", {}))
        config.setdefault("entry", "state")
        account = account_default()
        decisions: list[dict[str, Any]] = []
        for done, symbol in enumerate(sorted(series)):
            context.check()
            held = position_quantity(account, symbol)
            decision = _decision(symbol, series[symbol], kind, config, held)
            context.log(f"{symbol}: {decision.action}: {decision.reason}")
            decisions.append(decision.as_output())
            context.progress((done + 1) / len(series))
        counts = {word: sum(d["action"] == word for d in decisions) for word in ("BUY", "SELL", "HOLD")}
        summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return StepResult({"decisions": decisions}, summary)


class RuleConfig(StepConfig):
    """`left op right`, such as `rsi_14 < 30`."""

    left = serializers.CharField(max_length=100, help_text='An indicator output, or "close".')
    op = serializers.ChoiceField(choices=["<", "<=", ">", ">=", "crosses_above", "crosses_below"])
    right = serializers.JSONField(help_text="A number, an indicator output, or close.")

    def validate_right(self, value: object) -> float | str:
        if isinstance(value, str) and 0 < len(value) <= 100:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise serializers.ValidationError("Must be a number or the name of a figure.")
        return float(value)


class ConditionConfig(StepConfig):
    """Which rules must hold, and for which decisions."""

    rules = RuleConfig(many=True, allow_empty=False)
    match = serializers.ChoiceField(choices=["all", "any"], default="all")
    applies_to = serializers.ChoiceField(
        choices=["buy", "sell", "all"],
        default="buy",
        help_text="Which decisions turn to HOLD where the rules fail. A sale is held back only when you say so.",
    )

    def validate_rules(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(value) > 20:
            raise serializers.ValidationError("At most 20 rules.")
        return value


def _figures(context: StepContext, symbol: str, series: dict[str, Any], closes: bool) -> dict[str, dict[str, Any]]:
    """Return every figure of a symbol as {name: {value, previous}}, the close among them."""
    figures = {name: values[symbol] for name, values in context.merged("indicators").items() if symbol in values}
    close: dict[str, float | None] = {"value": float(series["decision_close"]), "previous": None}
    if closes:
        bars = pinned_bars(symbol, series, most=2)
        if len(bars) == 2 and np.isfinite(bars.close[0]):
            close["previous"] = float(bars.close[0])
    return {**figures, "close": close}


@step_types.register
class Condition(StepType):
    """Lets a decision pass only where its rules hold; without a signal before it, it just says which symbols pass."""

    slug = "condition"
    title = "Condition"
    help = "Checks rules on indicator values and turns decisions that fail them to HOLD."
    config_class = ConditionConfig
    needs = frozenset({"series"})
    reads_only = True

    def run(self, context: StepContext) -> StepResult:
        series = context.merged("series")
        if not series:
            raise NoMarketData("No step before this one put out a series; add a market_data step, or look at its log.")
        config = context.config
        rules = [Rule(rule["left"], rule["op"], rule["right"]) for rule in config["rules"]]
        closes = any(rule.crosses and "close" in (rule.left, rule.right) for rule in rules)
        results: dict[str, dict[str, Any]] = {}
        for symbol in sorted(series):
            context.check()
            figures = _figures(context, symbol, series[symbol], closes)
            passed, detail = check_rules(rules, figures, match_all=config.get("match", "all") == "all")
            results[symbol] = {"passed": passed, "detail": detail}
            context.log(f"{symbol}: {'passed' if passed else 'failed'}: {detail}")
        output: dict[str, Any] = {
            "conditions": results,
            "active_symbols": [symbol for symbol, result in results.items() if result["passed"]],
        }
        decisions = context.latest("decisions")
        if decisions is not None:
            applies_to = config.get("applies_to", "buy")
            output["decisions"] = [_filtered(decision, results, applies_to) for decision in decisions]
        summary = f"{len(output['active_symbols'])} of {len(results)} symbols pass"
        return StepResult(output, summary)


def _filtered(decision: dict[str, Any], results: dict[str, dict[str, Any]], applies_to: str) -> dict[str, Any]:
    result = results.get(decision["symbol"])
    concerned = decision["action"] != "HOLD" and applies_to in ("all", decision["action"].lower())
    if result is None or result["passed"] or not concerned:
        return decision
    reason = f"CONDITION_FAILED: {result['detail']} (it was {decision['action']}: {decision['reason']})"
    return {**decision, "action": "HOLD", "r_coefficient": None, "stop": None, "target": None, "reason": reason}
