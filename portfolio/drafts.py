"""What a rebalance would order, and what the gate would say to it. Sends nothing, counts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from market.models import Instrument
from market.selectors import instruments_by_symbol
from portfolio import rebalancing
from portfolio.choices import OPEN, OrderSide, OrderType
from portfolio.drift import Held, measure
from portfolio.equity import Valuation, valuation
from portfolio.errors import EquityNotPositive, PricesMissing
from portfolio.facts import SeriesFacts, cash_needed, cash_reserved, exposure_of, series_facts, with_planned
from portfolio.intents import intent_of, order_refusal
from portfolio.ledger import ZERO, amount
from portfolio.models import Goal, Order
from portfolio.rebalancing import Line, Plan, Rates, Trade
from safety.facts import Verdict
from safety.services import order_check
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string

MIN_TRADE_FRACTION = Decimal("0.001")
"""Of the equity: trades below this part of it are left out unless told, as they cost more attention than they move."""


@dataclass(frozen=True)
class Draft:
    """What a rebalance would do to an account at a moment.

    Attributes:
        expected_drift: with every trade filled at the price that it was planned by.
        series: by symbol, what prices it.
    """

    as_of: datetime
    equity: Decimal
    total_drift: Decimal
    expected_drift: Decimal
    min_trade: Decimal
    plan: Plan
    series: Mapping[str, SeriesFacts]
    instruments: Mapping[str, Instrument]


@dataclass(frozen=True)
class Previewed:
    """A draft and what the gate would say to each of its trades, in their order."""

    draft: Draft
    verdicts: tuple[Verdict, ...]


def rebalance_preview(
    *, actor: Actor, goal: Goal, min_trade: Decimal | None = None, sell_outside: bool = False
) -> Previewed:
    """Return what a rebalance would order now, with the gate's verdicts; nothing is sent, counted or kept but those.

    Args:
        min_trade: trades of a smaller notional are left out; a thousandth of the equity unless told.
        sell_outside: whether what the goal does not name is sold.

    Raises:
        EquityNotPositive, PricesMissing
    """
    wall = utcnow()
    worth = valuation(account=goal.account, wall=wall)
    draft = rebalance_draft(goal, worth, wall=wall, min_trade=min_trade, sell_outside=sell_outside)
    rates = Rates(goal.account.fee_rate, goal.account.slippage)
    verdicts: list[Verdict] = []
    cash, sold, spent, passed = ZERO, ZERO, ZERO, 0
    for number, trade in enumerate(draft.plan.trades):
        with transaction.atomic():
            verdict = _judged(
                actor, goal, draft, trade, worth, number=number, cash=cash, sold=sold, spent=spent, ahead=passed
            )
        verdicts.append(verdict)
        if verdict.allowed:
            passed += 1
            if trade.side is OrderSide.SELL:
                cash += rebalancing.proceeds(trade, rates)
                sold += trade.notional
            else:
                spent += cash_needed(goal.account, trade.quantity, limit=None, reference=trade.price)
    return Previewed(draft, tuple(verdicts))


def rebalance_draft(
    goal: Goal, worth: Valuation, *, wall: datetime, min_trade: Decimal | None, sell_outside: bool
) -> Draft:
    """Return what a rebalance would order at this valuation of the goal's account.

    Raises:
        EquityNotPositive, PricesMissing
    """
    unpriced = sorted(holding.position.instrument.symbol for holding in worth.holdings if holding.mark is None)
    if unpriced:
        raise PricesMissing(
            f"There is no price for {', '.join(unpriced)}: import bars, so that the weights are no guesses."
        )
    held = {h.position.instrument.symbol: h for h in worth.holdings}
    valued = {symbol: Held(h.position.quantity, h.value) for symbol, h in held.items()}
    before = measure(goal.targets, valued, cash=worth.cash)
    if before is None:
        raise EquityNotPositive(f"The equity is {decimal_string(worth.equity)}: nothing is a part of it.")
    instruments = instruments_by_symbol(sorted({*goal.targets, *held}))
    series = {
        symbol: series_facts(
            instrument=instrument,
            # What is held is traded at the prices that it was bought at: those of another series are another thing.
            source=held[symbol].position.source if symbol in held else None,
            timeframe=held[symbol].position.timeframe if symbol in held else "1d",
            adjustment=held[symbol].position.adjustment if symbol in held else None,
            wall=wall,
        )
        for symbol, instrument in instruments.items()
    }
    account = goal.account
    open_orders = list(Order.objects.filter(account=account, status__in=OPEN))
    if min_trade is None:
        min_trade = amount(worth.equity, MIN_TRADE_FRACTION)
    rates = Rates(account.fee_rate, account.slippage)
    plan = rebalancing.plan(
        [
            Line(
                symbol=symbol,
                target_weight=goal.targets.get(symbol, ZERO),
                quantity=held[symbol].position.quantity if symbol in held else ZERO,
                open_buys=_open_units(open_orders, instrument, OrderSide.BUY),
                open_sells=_open_units(open_orders, instrument, OrderSide.SELL),
                price=series[symbol].reference_price,
                lot_size=instrument.lot_size,
                quantity_precision=instrument.quantity_precision,
                outside=symbol not in goal.targets,
            )
            for symbol, instrument in instruments.items()
        ],
        equity=worth.equity,
        cash=worth.cash - cash_reserved(account=account, orders=open_orders),
        rates=rates,
        min_trade=min_trade,
        sell_outside=sell_outside,
    )
    return Draft(
        as_of=wall,
        equity=worth.equity,
        total_drift=before.total,
        expected_drift=_expected(goal, valued, worth.cash, plan, rates),
        min_trade=min_trade,
        plan=plan,
        series=series,
        instruments=instruments,
    )


def _open_units(orders: list[Order], instrument: Instrument, side: OrderSide) -> Decimal:
    return sum((each.remaining for each in orders if each.instrument_id == instrument.pk and each.side == side), ZERO)


def _expected(goal: Goal, valued: Mapping[str, Held], cash: Decimal, plan: Plan, rates: Rates) -> Decimal:
    """Return the total drift with every trade filled at its price, slippage and fee included."""
    after = dict(valued)
    for trade in plan.trades:
        had = after.get(trade.symbol, Held(ZERO, ZERO))
        sign = trade.side.sign
        after[trade.symbol] = Held(had.quantity + sign * trade.quantity, had.value + sign * trade.notional)
        if trade.side is OrderSide.SELL:
            cash += rebalancing.proceeds(trade, rates)
        else:
            cash -= rebalancing.cost(trade.quantity, trade.price, rates)
    found = measure(goal.targets, after, cash=cash)
    return ZERO if found is None else found.total


def _judged(
    actor: Actor,
    goal: Goal,
    draft: Draft,
    trade: Trade,
    worth: Valuation,
    *,
    number: int,
    cash: Decimal,
    sold: Decimal,
    spent: Decimal,
    ahead: int,
) -> Verdict:
    """Return what the gate says to one trade of a draft, `ahead` others having passed.

    Args:
        cash, sold: what the sells among those brought, and what positions they made smaller by.
        spent: what the buys among those hold back.
    """
    instrument, facts = draft.instruments[trade.symbol], draft.series[trade.symbol]
    order = Order(
        client_order_id=f"rebalance-preview-{goal.pk}-{number}-{trade.symbol}",
        account=goal.account,
        instrument=instrument,
        strategy_id=goal.strategy_id,
        mode=goal.account.mode,
        side=trade.side,
        type=OrderType.MARKET,
        quantity=trade.quantity,
        reference_price=facts.reference_price,
    )
    exposure = exposure_of(
        account=goal.account,
        instrument=instrument,
        side=trade.side,
        quantity=trade.quantity,
        strategy_id=goal.strategy_id,
        wall=draft.as_of,
        facts=facts,
        worth=worth,
    )
    gross = None if exposure.gross_exposure is None else exposure.gross_exposure - sold
    exposure = with_planned(replace(exposure, cash=goal.account.cash + cash, gross_exposure=gross), spent)
    verdict = order_check(
        intent=intent_of(order, instrument), exposure=exposure, actor=actor, consume=False, trades_ahead=ahead
    )
    refusal = order_refusal(account=goal.account, instrument=instrument, mode=goal.account.mode, facts=facts)
    if verdict.allowed and refusal is not None:
        return replace(verdict, allowed=False, code=refusal[0], detail=refusal[1])
    return verdict
