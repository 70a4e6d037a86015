"""From a run's intents to its orders: the one way by which steps trade."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any
from uuid import UUID

from market import selectors as market
from portfolio import selectors, services
from portfolio.choices import OrderPurpose, OrderSide, OrderType, TimeInForce
from portfolio.fills import order_facts
from portfolio.ledger import multiply
from tradingsite.common.contracts.steps import StepContext, StepError, StepRetryable
from tradingsite.common.errors import AppError, Unavailable

_HUNDRED = Decimal(100)


def leg_id(execution_id: UUID, step_index: int, symbol: str, leg: int) -> str:
    """Return the client order id of a run's order: from its place, never from its content."""
    return f"{execution_id}-{step_index}-{symbol}-{leg}"


def intents_place(
    context: StepContext,
    intents: Sequence[Mapping[str, Any]],
    *,
    order_type: str = OrderType.MARKET,
    time_in_force: str = TimeInForce.GTC,
    limit_offset_pct: Decimal | str | float = 0,
) -> list[Mapping[str, Any]]:
    """Put each intent of a `risk_check` through the gate and to the broker, and return the orders' facts.

    One that the preview denied goes to the gate as well, so that its denial is on record. Done again by another worker,
    it finds the orders that are there already.

    Raises:
        StepError, StepRetryable: in the words of a step, for what the order service raises.
        StepInterrupted: the run must stop; what was placed stays.
    """
    offset = Decimal(str(limit_offset_pct))
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
                limit_price=_limit_price(intent, offset) if order_type == OrderType.LIMIT else None,
                time_in_force=time_in_force,
                client_order_id=leg_id(context.execution_id, context.step_index, symbol, legs[symbol]),
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
        raise step_error(error) from error
    return orders


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


def step_error(error: AppError) -> StepError:
    """Return an error in the words of a step: a refusal is final; a dependency that is down for now is worth another attempt."""
    if isinstance(error, StepError):
        return error
    kind = StepRetryable if isinstance(error, Unavailable) else StepError
    return kind(error.detail, code=error.code)
