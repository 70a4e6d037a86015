"""The two steps by which a workflow trades: `risk_check` decides how much, `order` sends."""

from collections import Counter
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from portfolio import selectors
from portfolio.choices import OrderType, SizingMethod, TimeInForce
from portfolio.placing import intents_place, step_error
from portfolio.planning import Plan, intents_plan
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import (
    StepConfig,
    StepContext,
    StepError,
    StepResult,
    StepType,
    step_types,
)
from tradingsite.common.errors import AppError


class SizingConfig(StepConfig):
    method = serializers.ChoiceField(choices=SizingMethod.choices)
    value = serializers.DecimalField(
        max_digits=28,
        decimal_places=10,
        min_value=Decimal("0.0000000001"),
        required=False,
        allow_null=True,
        help_text="A fraction of equity, an amount of money, a quantity, or for all_in the fraction of the free cash.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        method, value = attrs["method"], attrs.get("value")
        if value is None and method != SizingMethod.ALL_IN:
            raise serializers.ValidationError({"value": f"Sizing by {method} needs a value."})
        if value is not None and value > 1 and method in (SizingMethod.ALL_IN, SizingMethod.EQUITY_FRACTION):
            raise serializers.ValidationError({"value": "A fraction is at most 1."})
        return attrs


class RiskCheckConfig(StepConfig):
    sizing = SizingConfig(help_text="How large an entry is.")
    max_orders = serializers.IntegerField(min_value=1, max_value=1000, required=False, allow_null=True)
    close_on_sell = serializers.ChoiceField(
        choices=["all", "none"], default="all", help_text="Whether a SELL closes the whole position."
    )


class OrderConfig(StepConfig):
    order_type = serializers.ChoiceField(choices=[OrderType.MARKET, OrderType.LIMIT], default=OrderType.MARKET)
    time_in_force = serializers.ChoiceField(
        choices=TimeInForce.choices,
        default=TimeInForce.GTC,
        help_text="Whether what is not filled ends with the session of the exchange, or rests until cancelled.",
    )
    limit_offset_pct = serializers.DecimalField(
        max_digits=6,
        decimal_places=4,
        min_value=Decimal(0),
        max_value=Decimal(50),
        default=Decimal(0),
        help_text="For limit orders: percent below the reference price for a buy, above it for a sell.",
    )


@step_types.register
class RiskCheckStep(StepType):
    slug: ClassVar[str] = "risk_check"
    title: ClassVar[str] = "Risk check"
    help: ClassVar[str] = "Sizes the decisions into order intents and asks the gate what it would say."
    config_class: ClassVar[type[StepConfig]] = RiskCheckConfig
    needs: ClassVar[frozenset[str]] = frozenset({"decisions"})
    puts_out: ClassVar[frozenset[str]] = frozenset({"intents"})

    def run(self, context: StepContext) -> StepResult:
        decisions = context.latest("decisions")
        if decisions is None:
            raise StepError("No step before this one made decisions: put a signal step first.", code="NO_DECISIONS")
        sizing = context.config["sizing"]
        value, most = sizing.get("value"), context.config.get("max_orders")
        plan = Plan(
            method=SizingMethod(sizing["method"]),
            value=None if value is None else Decimal(str(value)),
            max_orders=None if most is None else int(most),
            close_on_sell=context.config.get("close_on_sell", "all") == "all",
        )
        context.check()
        try:
            planned = intents_plan(
                actor=context.actor,
                account=selectors.account_default(),
                decisions=decisions,
                series=context.merged("series"),
                plan=plan,
                strategy_id=context.strategy_id,
                execution_id=context.execution_id,
                mode=context.mode,
                wall=utcnow(),
            )
        except AppError as error:
            raise step_error(error) from error
        for symbol, reason in planned.skipped.items():
            context.log(f"{symbol}: no order, {reason}")
        denied = sum(not intent["verdict"]["allowed"] for intent in planned.intents)
        for intent in planned.intents:
            verdict = intent["verdict"]
            said = "allowed" if verdict["allowed"] else f"denied, {verdict['code']}: {verdict['detail']}"
            context.log(f"{intent['symbol']}: {intent['side']} {intent['quantity']}, {said}")
        context.progress(1.0)
        return StepResult(
            output={"intents": list(planned.intents), "skipped": dict(planned.skipped)},
            summary=f"{len(planned.intents)} intents, {denied} of them denied by the gate; "
            f"{len(planned.skipped)} decisions without an order",
        )


@step_types.register
class OrderStep(StepType):
    slug: ClassVar[str] = "order"
    title: ClassVar[str] = "Order"
    help: ClassVar[str] = "Puts the intents through the gate and sends those that pass to the broker."
    config_class: ClassVar[type[StepConfig]] = OrderConfig
    needs: ClassVar[frozenset[str]] = frozenset({"intents"})

    def run(self, context: StepContext) -> StepResult:
        """Place every intent. One that the preview denied goes to the gate as well, so that its denial is on record."""
        intents = context.latest("intents")
        if intents is None:
            raise StepError("No step before this one made intents: put a risk_check step first.", code="NO_INTENTS")
        orders = intents_place(context, intents, **context.config)
        counts = Counter(order["status"] for order in orders)
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return StepResult(output={"orders": orders}, summary=said or "nothing to order")
