"""From decisions to intents: what to order, how much, and what the gate would say. Places nothing, counts nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from market import selectors as market
from portfolio.choices import OrderSide, OrderType, SizingMethod
from portfolio.equity import Valuation, valuation
from portfolio.facts import cash_needed, cash_reserved, exposure_of, series_facts, with_planned
from portfolio.intents import order_refusal
from portfolio.ledger import ZERO, amount
from portfolio.models import Account
from portfolio.sizing import order_quantity
from safety.gate import OrderIntent, reduces_risk
from safety.services import order_check
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import decimal_string


@dataclass(frozen=True)
class Plan:
    """How decisions become orders.

    Attributes:
        max_orders: how many intents one run may make; None for no bound of its own.
        close_on_sell: whether a SELL closes what is held; without it, sells do nothing.
    """

    method: SizingMethod
    value: Decimal | None
    max_orders: int | None
    close_on_sell: bool


@dataclass(frozen=True)
class Planned:
    """JSON-able intents, and why the other decisions led to none, by symbol."""

    intents: Sequence[Mapping[str, Any]]
    skipped: Mapping[str, str]


@dataclass
class _Desk:
    account: Account
    worth: Valuation
    reserved: Decimal
    actor: Actor
    strategy_id: UUID | None
    execution_id: UUID
    mode: str
    wall: datetime
    planned: Decimal = ZERO
    planned_orders: int = 0
    intents: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def intents_plan(
    *,
    actor: Actor,
    account: Account,
    decisions: Iterable[Mapping[str, Any]],
    series: Mapping[str, Mapping[str, Any]],
    plan: Plan,
    strategy_id: UUID | None,
    execution_id: UUID,
    mode: str,
    wall: datetime,
) -> Planned:
    """Return the intents that `decisions` lead to, sells first, then buys by confidence, each with the gate's preview.

    One position per symbol, no pyramiding, no short selling: a BUY opens when the account is flat and nothing rests,
    a SELL closes the whole of what is held. Sizes and limits rest on the decision's price. A preview judges by the
    price that the order itself will be judged by, and holds back the cash and the trades of those before it.

    Args:
        series: by symbol, the series that the decision rests on, as the `market_data` step names it.

    Raises:
        InstrumentUnknown: for a decision on a symbol that the desk does not know.
    """
    worth = valuation(account=account, wall=wall)
    desk = _Desk(account, worth, cash_reserved(account=account), actor, strategy_id, execution_id, mode, wall)
    acting = [decision for decision in decisions if decision["action"] in ("BUY", "SELL")]
    acting.sort(key=lambda decision: (decision["action"] == "BUY", -float(decision["confidence"]), decision["symbol"]))
    for decision in acting:
        symbol = decision["symbol"]
        if plan.max_orders is not None and len(desk.intents) >= plan.max_orders:
            desk.skipped[symbol] = f"the run may make {plan.max_orders} orders at most"
            continue
        with transaction.atomic():
            reason = _plan_one(desk, decision, series.get(symbol), plan)
        if reason:
            desk.skipped[symbol] = reason
    return Planned(desk.intents, desk.skipped)


def _plan_one(desk: _Desk, decision: Mapping[str, Any], series: Mapping[str, Any] | None, plan: Plan) -> str:
    """Add the decision's intent, or return why there is none."""
    symbol, price = decision["symbol"], Decimal(str(decision["price"]))
    side = OrderSide.BUY if decision["action"] == "BUY" else OrderSide.SELL
    if series is None:
        return "no price series was loaded for it"
    instrument = market.instrument_get(symbol)
    quantity_held = next(
        (h.position.quantity for h in desk.worth.holdings if h.position.instrument_id == instrument.pk), ZERO
    )
    probe = exposure_of(
        account=desk.account,
        instrument=instrument,
        side=side,
        quantity=ZERO,
        strategy_id=desk.strategy_id,
        wall=desk.wall,
        facts=None,
        worth=desk.worth,
    )
    if side is OrderSide.SELL:
        if not plan.close_on_sell:
            return "sells are off in this step"
        quantity = quantity_held - (probe.open_sell_quantity or ZERO)
        if quantity <= 0:
            return "nothing is held" if quantity_held <= 0 else "it is being sold already"
    else:
        if quantity_held > 0:
            return "it is held already"
        if quantity_held < 0:
            quantity = -quantity_held - (probe.open_buy_quantity or ZERO)
            if quantity <= 0:
                return "it is being bought back already"
        elif probe.open_buy_quantity:
            return "a buy rests already"
        else:
            quantity = order_quantity(
                plan.method,
                plan.value,
                equity=desk.worth.equity,
                cash=max(desk.account.cash - desk.reserved - desk.planned, ZERO),
                price=price,
                fee_rate=desk.account.fee_rate,
                slippage=desk.account.slippage,
                quantity_precision=instrument.quantity_precision,
                lot_size=instrument.lot_size,
            )
            if quantity <= 0:
                return "the size comes to less than one lot"
    facts = series_facts(
        instrument=instrument,
        source=series["source"],
        timeframe=series["timeframe"],
        adjustment=series["adjustment"],
        wall=desk.wall,
    )
    intent = OrderIntent(
        client_order_id=f"{desk.execution_id}-preview-{symbol}",
        account_id=desk.account.pk,
        strategy_id=desk.strategy_id,
        execution_id=desk.execution_id,
        symbol=symbol,
        side=side.value,
        quantity=quantity,
        order_type=OrderType.MARKET.value,
        limit_price=None,
        reference_price=facts.reference_price,
        mode=desk.mode,
        quantity_precision=instrument.quantity_precision,
        lot_size=instrument.lot_size,
    )
    exposure = with_planned(
        exposure_of(
            account=desk.account,
            instrument=instrument,
            side=side,
            quantity=quantity,
            strategy_id=desk.strategy_id,
            wall=desk.wall,
            facts=facts,
            worth=desk.worth,
        ),
        desk.planned,
    )
    verdict = order_check(
        intent=intent, exposure=exposure, actor=desk.actor, consume=False, trades_ahead=desk.planned_orders
    )
    if verdict.allowed:
        refusal = order_refusal(account=desk.account, instrument=instrument, mode=desk.mode, facts=facts)
        if refusal is not None:
            verdict = replace(verdict, allowed=False, code=refusal[0], detail=refusal[1])
    if verdict.allowed:
        desk.planned_orders += 1
        if side is OrderSide.BUY:
            desk.planned += cash_needed(desk.account, quantity, limit=None, reference=facts.reference_price)
    desk.intents.append(
        {
            "account_id": str(desk.account.pk),
            "symbol": symbol,
            "side": side.value,
            "quantity": decimal_string(quantity),
            "order_type": OrderType.MARKET.value,
            "reference_price": decimal_string(price),
            "notional": decimal_string(amount(quantity, price)),
            "reduces": reduces_risk(intent, exposure),
            "source": series["source"],
            "timeframe": series["timeframe"],
            "adjustment": series["adjustment"],
            "market_now": series["market_now"],
            "verdict": {"allowed": verdict.allowed, "code": verdict.code, "detail": verdict.detail},
        }
    )
    return ""
