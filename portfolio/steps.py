"""The two steps by which a workflow trades: `risk_check` decides how much, `order` sends."""

from collections import Counter
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers

from market import selectors as market
from portfolio import selectors, services
from portfolio.choices import OrderPurpose, OrderSide, OrderType, SizingMethod, TimeInForce
from portfolio.fills import order_facts
from portfolio.ledger import multiply
from portfolio.planning import Plan, intents_plan
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import (
    StepConfig,
    StepContext,
    StepError,
    StepResult,
    StepRetryable,
    StepType,
    step_types,
)
from tradingsite.common.errors import AppError, Unavailable

_HUNDRED = Decimal(100)


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
            raise _step_error(error) from error
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

    def run(self, context: StepContext) -> StepResult:
        """Place every intent. One that the preview denied goes to the gate as well, so that its denial is on record."""
        intents = context.latest("intents")
        if intents is None:
            raise StepError("No step before this one made intents: put a risk_check step first.", code="NO_INTENTS")
        order_type = OrderType(context.config.get("order_type", OrderType.MARKET))
        offset = Decimal(str(context.config.get("limit_offset_pct", 0)))
        legs: Counter[str] = Counter()
        orders: list[Mapping[str, Any]] = []
        try:
            for done, intent in enumerate(intents):
                context.check()
                symbol = intent["symbol"]
                order = services.order_place(
                    actor=context.actor,
                    # The account that was planned for, whichever is the default one by now.
                    account=selectors.account_get(UUID(intent["account_id"])),
                    symbol=symbol,
                    side=intent["side"],
                    quantity=Decimal(intent["quantity"]),
                    order_type=order_type,
                    limit_price=_limit_price(intent, offset) if order_type is OrderType.LIMIT else None,
                    time_in_force=context.config.get("time_in_force", TimeInForce.GTC),
                    client_order_id=f"{context.execution_id}-{context.step_index}-{symbol}-{legs[symbol]}",
                    strategy_id=context.strategy_id,
                    execution_id=context.execution_id,
                    mode=context.mode,
                    source=intent["source"],
                    timeframe=intent["timeframe"],
                    adjustment=intent["adjustment"],
                    purpose=OrderPurpose.CLOSE if intent["reduces"] else OrderPurpose.OPEN,
                    before_send=context.check,
                )
                legs[symbol] += 1
                facts = order_facts(order)
                orders.append(facts)
                context.log(_line(facts))
                context.progress((done + 1) / len(intents))
        except AppError as error:
            raise _step_error(error) from error
        counts = Counter(order["status"] for order in orders)
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return StepResult(output={"orders": orders}, summary=said or "nothing to order")


def _limit_price(intent: Mapping[str, Any], offset_pct: Decimal) -> Decimal:
    """The reference price moved by the offset in the trader's favour, rounded to the instrument's price away from it."""
    side = OrderSide(intent["side"])
    tick = Decimal(1).scaleb(-market.instrument_get(intent["symbol"]).price_precision)
    price = multiply(Decimal(intent["reference_price"]), 1 - side.sign * offset_pct / _HUNDRED)
    return price.quantize(tick, rounding=ROUND_FLOOR if side is OrderSide.BUY else ROUND_CEILING)


def _line(order: Mapping[str, Any]) -> str:
    line = f"{order['symbol']}: {order['side']} {order['quantity']} {order['status']}"
    if order["average_price"] is not None:
        line += f", {order['filled_quantity']} at {order['average_price']}"
    return f"{line}, {order['code']}: {order['detail']}" if order["code"] else line


def _step_error(error: AppError) -> StepError:
    """A refusal is final; a dependency that is down for now is worth another attempt."""
    if isinstance(error, StepError):
        return error
    kind = StepRetryable if isinstance(error, Unavailable) else StepError
    return kind(error.detail, code=error.code)
