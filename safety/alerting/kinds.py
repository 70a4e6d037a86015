"""The kinds of alert rules: what each watches, and what its config may say.

Numbers that decide are the rule's `threshold`, an exact decimal; the rest is in `config`, which is checked by the kind's
serializer and stored complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from market.choices import Adjustment, Timeframe
from market.errors import IndicatorParamsInvalid
from market.indicators import INDICATORS, indicator_get
from safety.alerting.expressions import MOST_CHARACTERS, ExpressionInvalid, parse
from safety.choices import AlertKind, KillAction
from tradingsite.common.api.config_schema import json_able
from tradingsite.common.api.serializers import (
    DecimalStringField,
    StrictSerializer,
    validated,
)
from tradingsite.common.errors import FieldError, ValidationFailed

UP, DOWN, BOTH = "up", "down", "both"
MONTH_S = 31 * 86_400
PRICE = "price"
# An on-balance volume counts from the first bar of a series: its level says nothing that a threshold could be held to.
WATCHABLE = tuple(name for name in INDICATORS if name != "obv")
OPERATORS = ("above", "below", "crosses_above", "crosses_below", "crosses")
MARKET_FIELDS: Mapping[str, str] = {
    "price": "the newest price known",
    "open": "of the newest complete bar",
    "high": "of the newest complete bar",
    "low": "of the newest complete bar",
    "close": "of the newest complete bar",
    "volume": "of the newest complete bar",
    "previous_close": "of the complete bar before it",
    "change_percent": "from the close of the newest complete bar to the price; once that is its own close, from the one before",
    "age_s": "seconds of open market since the price was made",
}
ACCOUNT_FIELDS: Mapping[str, str] = {
    "equity": "what the account is worth",
    "cash": "its cash",
    "exposure": "the value of all its positions, without their signs",
    "day_pnl": "its profit since the trading day began",
    "drawdown": "how far it is below its highest equity, as a fraction",
    "daily_loss": "its loss since the trading day began, 0 in profit",
    "daily_loss_fraction": "that, as a fraction of what the day began with",
}


class SeriesConfig(StrictSerializer):
    """Which prices are looked at."""

    source = serializers.CharField(  # type: ignore[assignment]  # a field; DRF keeps it apart from its own of this name
        max_length=40, required=False, allow_null=True, default=None, help_text="The instrument's own when left out."
    )
    timeframe = serializers.ChoiceField(choices=Timeframe.choices, required=False, default=Timeframe.D1.value)
    adjustment = serializers.ChoiceField(
        choices=Adjustment.choices,
        required=False,
        allow_null=True,
        default=None,
        help_text="The most adjusted, if any.",
    )


class MarketConfig(SeriesConfig):
    max_age_s = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=MONTH_S,
        help_text="An older price, in seconds of open market, is no basis: the rule is then unknown with DATA_STALE.",
    )


class CrossesConfig(MarketConfig):
    direction = serializers.ChoiceField(choices=[UP, DOWN, BOTH], required=False, default=BOTH)


class PercentMoveConfig(MarketConfig):
    direction = serializers.ChoiceField(choices=[UP, DOWN, BOTH], required=False, default=BOTH)
    bars = serializers.IntegerField(
        required=False, default=1, min_value=1, max_value=1000, help_text="Against the close so many bars before."
    )


class OperandConfig(StrictSerializer):
    """An indicator, or the close itself."""

    indicator = serializers.ChoiceField(choices=[PRICE, *WATCHABLE], help_text=f"`{PRICE}` is the close of the bar.")
    params = serializers.DictField(required=False, default=dict, help_text="Its parameters; defaults for the rest.")
    output = serializers.CharField(
        max_length=40, required=False, allow_null=True, default=None, help_text="Its first output when left out."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["indicator"] == PRICE:
            if attrs["params"] or attrs["output"] is not None:
                raise serializers.ValidationError({"indicator": f"{PRICE} has neither params nor outputs."})
            return attrs
        indicator = indicator_get(attrs["indicator"])
        try:
            attrs["params"] = indicator.validate(attrs["params"])
        except IndicatorParamsInvalid as error:
            found = {
                e.pointer.removeprefix("params/"): [serializers.ErrorDetail(e.detail, code=e.code)]
                for e in error.errors
            }
            raise serializers.ValidationError({"params": found}) from None
        attrs["output"] = attrs["output"] or indicator.outputs[0]
        if attrs["output"] not in indicator.outputs:
            known = ", ".join(indicator.outputs)
            raise serializers.ValidationError(
                {"output": serializers.ErrorDetail(f"Must be one of {known}.", code="invalid_choice")}
            )
        return attrs


class IndicatorConfig(OperandConfig, MarketConfig):
    operator = serializers.ChoiceField(choices=OPERATORS)
    against = OperandConfig(
        required=False, allow_null=True, default=None, help_text="Another indicator instead of a threshold."
    )


class StaleConfig(SeriesConfig):
    max_age_s = serializers.IntegerField(
        min_value=1,
        max_value=MONTH_S,
        help_text="Seconds of open market; time when the exchange is shut does not count.",
    )


class AccountConfig(StrictSerializer):
    account_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="The desk's default account when left out."
    )


class DailyLossConfig(AccountConfig):
    unit = serializers.ChoiceField(
        choices=["money", "fraction"],
        required=False,
        default="money",
        help_text="What the threshold is: money, or a fraction of what the day began with.",
    )


class DriftConfig(StrictSerializer):
    goal_id = serializers.UUIDField(help_text="A portfolio goal. With a symbol its own drift counts, else the total.")


class ExpressionConfig(MarketConfig, AccountConfig):
    expression = serializers.CharField(
        max_length=MOST_CHARACTERS, help_text="Comparisons of named figures, such as `price > 100 and drawdown > 0.1`."
    )

    def validate_expression(self, text: str) -> str:
        try:
            named = parse(text, known={**MARKET_FIELDS, **ACCOUNT_FIELDS}.keys()).names
        except ExpressionInvalid as error:
            raise serializers.ValidationError(str(error), code="invalid_expression") from None
        if not named:
            raise serializers.ValidationError("It names no figure, so it would never change.", code="constant")
        return text


class ExecutionFailedConfig(StrictSerializer):
    workflow_id = serializers.UUIDField(required=False, allow_null=True, default=None, help_text="Of this one alone.")
    strategy_id = serializers.UUIDField(required=False, allow_null=True, default=None, help_text="Of this one alone.")


class AgentDecisionConfig(ExecutionFailedConfig):
    actions = serializers.ListField(
        child=serializers.ChoiceField(choices=["BUY", "SELL", "HOLD"]),
        required=False,
        default=["BUY", "SELL"],
        min_length=1,
        max_length=3,
    )
    min_confidence = DecimalStringField(
        required=False, default=Decimal(0), minimum=Decimal(0), maximum=Decimal(1), help_text="0 to 1."
    )


class KillSwitchConfig(StrictSerializer):
    scope = serializers.CharField(
        max_length=36, required=False, allow_null=True, default=None, help_text="`all` or the id of a strategy; any."
    )
    on = serializers.ListField(
        child=serializers.ChoiceField(choices=KillAction.choices),
        required=False,
        default=[KillAction.KILLED.value, KillAction.RESUMED.value],
        min_length=1,
        max_length=2,
    )


REQUIRED, OPTIONAL, NONE = "required", "optional", "none"


@dataclass(frozen=True)
class Kind:
    """One kind of rule.

    Attributes:
        symbol, threshold: `required`, `optional` or `none`.
        least, most: bounds of the threshold, both allowed; None is unbounded.
    """

    kind: AlertKind
    help: str
    config_class: type[StrictSerializer]
    symbol: str
    threshold: str
    least: Decimal | None = None
    most: Decimal | None = None


_STEP = Decimal("0.0000000001")
KINDS: Mapping[str, Kind] = {
    kind.kind.value: kind
    for kind in (
        Kind(AlertKind.PRICE_ABOVE, "The price rises above the threshold.", MarketConfig, REQUIRED, REQUIRED, _STEP),
        Kind(AlertKind.PRICE_BELOW, "The price falls below the threshold.", MarketConfig, REQUIRED, REQUIRED, _STEP),
        Kind(
            AlertKind.PRICE_CROSSES,
            "The price goes from one side of the threshold to the other; reaching it is no crossing.",
            CrossesConfig, REQUIRED, REQUIRED, _STEP,
        ),
        Kind(
            AlertKind.PERCENT_MOVE,
            "The price moves by the threshold or more, in percent, against an earlier close.",
            PercentMoveConfig, REQUIRED, REQUIRED, _STEP,
        ),
        Kind(
            AlertKind.INDICATOR,
            "An indicator is above or below the threshold or another indicator, or crosses it.",
            IndicatorConfig, REQUIRED, OPTIONAL,
        ),
        Kind(
            AlertKind.DRIFT, "A portfolio goal's weights drift by the threshold or more, a fraction.", DriftConfig,
            OPTIONAL, REQUIRED, _STEP, Decimal(2),
        ),
        Kind(
            AlertKind.DRAWDOWN, "An account falls below its highest equity by the threshold or more, a fraction.",
            AccountConfig, NONE, REQUIRED, _STEP, Decimal(1),
        ),
        Kind(
            AlertKind.DAILY_LOSS, "An account loses the threshold or more since its trading day began.",
            DailyLossConfig, NONE, REQUIRED, _STEP,
        ),
        Kind(
            AlertKind.DATA_STALE, "The newest price of a symbol grows older than max_age_s, or there is none.",
            StaleConfig, REQUIRED, NONE,
        ),
        Kind(
            AlertKind.EXPRESSION, "An expression of prices and of an account's figures comes to hold.",
            ExpressionConfig, OPTIONAL, NONE,
        ),
        Kind(AlertKind.EXECUTION_FAILED, "A run fails.", ExecutionFailedConfig, NONE, NONE),
        Kind(AlertKind.AGENT_DECISION, "A run decides to buy or to sell.", AgentDecisionConfig, OPTIONAL, NONE),
        Kind(AlertKind.KILL_SWITCH, "The kill switch is set, or cleared.", KillSwitchConfig, NONE, NONE),
    )
}  # fmt: skip


def config_checked(kind: str, *, symbol: str, threshold: Decimal | None, config: object) -> dict[str, Any]:
    """Return the complete, JSON-able config of a rule of `kind`, symbol and threshold being what its kind wants.

    Raises:
        ValidationFailed: naming `symbol`, `threshold` and `config/…`, every one that is wrong.
    """
    known = KINDS[kind]
    errors = [*_symbol_errors(known, symbol), *_threshold_errors(known, threshold)]
    complete: dict[str, Any] = {}
    try:
        complete = validated(known.config_class, config)
    except ValidationFailed as failure:
        errors += [FieldError(f"config/{e.pointer}".rstrip("/"), e.code, e.detail) for e in failure.errors]
    else:
        errors += _together(kind, symbol, threshold, complete)
    if errors:
        raise ValidationFailed("The alert rule is not valid.", errors=errors)
    stored: dict[str, Any] = json_able(complete)
    return stored


def _symbol_errors(known: Kind, symbol: str) -> list[FieldError]:
    if known.symbol == REQUIRED and not symbol:
        return [FieldError("symbol", "required", f"A rule of the kind {known.kind.value} names a symbol.")]
    if known.symbol == NONE and symbol:
        return [FieldError("symbol", "not_allowed", f"A rule of the kind {known.kind.value} is about no symbol.")]
    return []


def _threshold_errors(known: Kind, threshold: Decimal | None) -> list[FieldError]:
    if threshold is None:
        if known.threshold != REQUIRED:
            return []
        return [FieldError("threshold", "required", f"A rule of the kind {known.kind.value} has a threshold.")]
    if known.threshold == NONE:
        return [FieldError("threshold", "not_allowed", f"A rule of the kind {known.kind.value} has no threshold.")]
    if known.least is not None and threshold < known.least:
        return [FieldError("threshold", "out_of_range", "Must be above 0.")]
    if known.most is not None and threshold > known.most:
        return [FieldError("threshold", "out_of_range", f"Must be at most {known.most:f}: it is a fraction.")]
    return []


def _together(kind: str, symbol: str, threshold: Decimal | None, config: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with fields that are each right alone."""
    if kind == AlertKind.INDICATOR:
        if (threshold is None) == (config["against"] is None):
            detail = "Say either a threshold or config/against, what the indicator is held against."
            return [FieldError("threshold", "invalid", detail)]
    elif kind == AlertKind.EXPRESSION:
        named = parse(config["expression"], known={**MARKET_FIELDS, **ACCOUNT_FIELDS}.keys()).names
        of_market = sorted(named & MARKET_FIELDS.keys())
        if of_market and not symbol:
            return [
                FieldError("symbol", "required", f"The expression names {', '.join(of_market)}: say of which symbol.")
            ]
        if symbol and not of_market:
            return [FieldError("symbol", "not_allowed", "The expression names no figure of a symbol.")]
    elif kind == AlertKind.DAILY_LOSS and config["unit"] == "fraction" and threshold is not None and threshold > 1:
        return [FieldError("threshold", "out_of_range", "Must be at most 1: it is a fraction.")]
    return []
