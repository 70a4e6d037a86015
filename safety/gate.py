"""The gate: may this order leave? Plain data in, a verdict out; no database, no clock, no exception.

Every check says no unless it can prove yes: a fact that is None, NaN or of the wrong kind denies with the code of the
check that needed it. The checks run in the order of `GateCode`, and the first that denies names the verdict.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Context, Decimal, localcontext
from typing import Any

from safety.choices import BreakerLevel, GateCode, TradingState
from safety.drawdown import LATCHED
from safety.facts import Exposure, Limits, NarrowerLimits, OrderIntent, SafetyState, Verdict
from safety.gate_bounds import Bound, counted, strictest
from safety.gate_terms import (
    Denied,
    MissingFact,
    known_count,
    known_flag,
    known_number,
    known_price,
    plain,
    within,
)

__all__ = [
    "CHECKS",
    "Exposure",
    "Limits",
    "NarrowerLimits",
    "OrderIntent",
    "SafetyState",
    "Verdict",
    "evaluate",
    "reduces_risk",
]

# Wide enough that no product of two stored numbers is rounded, and without traps: an overflow becomes an infinity or
# a NaN, which denies, where an exception would leave the caller to decide.
_ARITHMETIC = Context(prec=80, traps=[])


@dataclass(frozen=True)
class _Case:
    intent: OrderIntent
    exposure: Exposure
    limits: Limits
    state: SafetyState
    narrower: tuple[NarrowerLimits, ...]


def _strictest(case: _Case, name: str) -> Bound:
    return strictest(case.limits, case.narrower, name)


def _counted(case: _Case, name: str, used: str) -> Iterator[Bound]:
    return counted(case.limits, case.narrower, case.state, name, used)


def _quantity(intent: OrderIntent) -> Decimal:
    quantity = known_number(intent.quantity, "quantity", negative=True)
    if intent.side not in ("buy", "sell"):
        raise MissingFact(f"side {intent.side!r} is neither buy nor sell")
    return quantity


# ------------------------------------------------------------------------------------------------ the one definition


def reduces_risk(intent: OrderIntent, exposure: Exposure) -> bool:
    """Say whether the order can only make the position smaller.

    It goes against the position, and together with what already rests on its side it is no larger than the position.
    An order whose facts are missing reduces nothing.
    """
    with localcontext(_ARITHMETIC):
        try:
            quantity = _quantity(intent)
            position = known_number(exposure.position_quantity, "position_quantity", negative=True)
            if intent.side == "sell":
                resting = known_number(exposure.open_sell_quantity, "open_sell_quantity")
            else:
                resting = known_number(exposure.open_buy_quantity, "open_buy_quantity")
        except MissingFact:
            return False
        against = position > 0 if intent.side == "sell" else position < 0
        return quantity > 0 and against and within(quantity + resting, abs(position))


def order_price(intent: OrderIntent) -> Decimal:
    """Return the highest price at which the order could reasonably fill, currency per unit.

    A limit buy never pays more than its limit; a limit sell may well get more than its limit, up to the market. A stop
    buy fills from its stop upwards, or at the market where that is beyond the stop already; a stop sell at its stop or
    below.
    """
    if intent.order_type == "market":
        return known_price(intent.reference_price, "reference_price")
    if intent.order_type == "limit":
        limit = known_price(intent.limit_price, "limit_price")
        if intent.side == "buy":
            return limit
        return max(limit, known_price(intent.reference_price, "reference_price"))
    if intent.order_type == "stop":
        stop = known_price(intent.stop_price, "stop_price")
        reference = known_price(intent.reference_price, "reference_price")
        return max(stop, reference) if intent.side == "buy" else stop
    raise MissingFact(f"order_type {intent.order_type!r} is neither market, limit nor stop")


# -------------------------------------------------------------------------------------------------------- the checks


def _kill_switch(case: _Case) -> None:
    if known_flag(case.state.kill_switch_active, "the state of the kill switch") and not _closes_for_the_kill(case):
        raise Denied(case.state.kill_switch_detail or "The kill switch is set.")
    if case.limits.trading_state == TradingState.HALTED:
        raise Denied("Trading is halted.")


def _closes_for_the_kill(case: _Case) -> bool:
    return case.state.flatten_permitted is True and reduces_risk(case.intent, case.exposure)


def _trading_state(case: _Case) -> None:
    if case.limits.trading_state not in (TradingState.ACTIVE, TradingState.REDUCING):
        raise MissingFact("the trading state is not known")
    if case.state.breaker_level not in BreakerLevel.values:
        raise MissingFact("the level of the drawdown breaker is not known")
    if reduces_risk(case.intent, case.exposure):
        return
    if case.limits.trading_state == TradingState.REDUCING:
        raise Denied("The desk only takes orders that reduce a position; this one does not.")
    if case.state.breaker_level in LATCHED:
        raise Denied(
            f"The account's drawdown breaker stands at {case.state.breaker_level}: until a person resumes it, the account "
            "only takes orders that reduce a position; this one does not."
        )


def _mode(case: _Case) -> None:
    if case.intent.mode not in ("paper", "live"):
        raise MissingFact(f"mode {case.intent.mode!r} is neither paper nor live")
    if known_flag(case.limits.paper_mode, "paper_mode") and case.intent.mode == "live":
        raise Denied("Paper mode is on: no live order leaves the desk.")


def _reconciliation(case: _Case) -> None:
    if known_flag(case.state.reconciliation_pending, "whether the account's books agree with its broker's"):
        raise Denied(case.state.reconciliation_detail or "The account's books differ from its broker's.")


def _instrument(case: _Case) -> None:
    if not known_flag(case.exposure.instrument_enabled, "whether the instrument is enabled"):
        raise Denied(f"{case.intent.symbol} is not enabled for trading.")


def _market_open(case: _Case) -> None:
    wait = known_count(case.exposure.opens_in_s, "when the market is open")
    bound = _strictest(case, "open_wait_limit_s")
    if wait > bound.value:
        raise bound.denied(
            f"The market of {case.intent.symbol} is closed and opens in {wait} s, longer than an order may wait; {bound}."
        )


def _data_fresh(case: _Case) -> None:
    age = known_count(case.exposure.data_age_s, "how old the newest price is")
    bound = _strictest(case, "data_max_age_s")
    if age > bound.value:
        raise bound.denied(f"The newest price of {case.intent.symbol} is {age} s old; {bound}.")


def price_deviation(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return how far from the last price, against the trader and as a fraction of it, the order may fill.

    A limit bounds that itself; what it gives away when it is better than the market is negative. Any other order fills
    at the market of its moment, give or take the slippage.
    """
    reference = known_price(intent.reference_price, "reference_price")
    if intent.order_type != "limit":
        return known_number(exposure.slippage, "slippage")
    limit = known_price(intent.limit_price, "limit_price")
    return (limit - reference if intent.side == "buy" else reference - limit) / reference


def _collar(case: _Case) -> None:
    bound = _strictest(case, "price_collar")
    deviation = price_deviation(case.intent, case.exposure)
    if not within(deviation, bound.value):
        raise bound.denied(
            f"The order may fill {plain(deviation)} of the last price {plain(case.intent.reference_price or Decimal(0))}"
            f" away from it; {bound}."
        )


def _quantity_fits(case: _Case) -> None:
    quantity = _quantity(case.intent)
    if quantity <= 0:
        raise Denied(f"The quantity must be above zero, not {plain(quantity)}.")
    precision = known_count(case.intent.quantity_precision, "quantity_precision")
    exponent = quantity.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > precision:
        raise Denied(f"{plain(quantity)} has more than {precision} digits after the point.")
    lot = known_price(case.intent.lot_size, "lot_size")
    if quantity % lot != 0:  # NaN, from a quantity beyond all sense, differs from zero as well
        raise Denied(f"{plain(quantity)} is not a multiple of the lot size {plain(lot)}.")


def _notional_of(intent: OrderIntent, exposure: Exposure) -> Decimal:
    return _quantity(intent) * order_price(intent)


def _notional(case: _Case) -> None:
    bound = _strictest(case, "order_notional_limit")
    notional = _notional_of(case.intent, case.exposure)
    if not within(notional, bound.value):
        raise bound.denied(f"The order is worth {plain(notional)}; {bound}.")


def resulting_value(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return the absolute value of the position that may result, in the account's currency.

    The worst on the order's side: everything that rests there fills, and nothing on the other side does.
    """
    quantity = _quantity(intent)
    position = known_number(exposure.position_quantity, "position_quantity", negative=True)
    buys = known_number(exposure.open_buy_quantity, "open_buy_quantity")
    sells = known_number(exposure.open_sell_quantity, "open_sell_quantity")
    price = max(order_price(intent), known_price(intent.reference_price, "reference_price"))
    result = position + buys + quantity if intent.side == "buy" else position - sells - quantity
    return abs(result) * price


def _position(case: _Case) -> None:
    bound = _strictest(case, "position_limit")
    value = resulting_value(case.intent, case.exposure)
    if reduces_risk(case.intent, case.exposure):
        # It takes nothing over the limit: denying it would lock in a position that has outgrown its limit.
        return
    if not within(value, bound.value):
        raise bound.denied(f"The position would be worth {plain(value)}, resting orders included; {bound}.")


def resulting_exposure(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return the gross exposure that may result: every position's absolute value, in the account's currency.

    The worst of this symbol, as `resulting_value` has it, beside the other positions and what may rest on them.
    """
    others = known_number(exposure.gross_exposure, "gross_exposure") - known_number(
        exposure.position_value, "position_value"
    )
    resting = known_number(exposure.other_open_value, "other_open_value")
    return others + resting + resulting_value(intent, exposure)


def _gross_exposure(case: _Case) -> None:
    bound = _strictest(case, "exposure_limit")
    if reduces_risk(case.intent, case.exposure):
        # As with a position: an account that has outgrown the limit must be able to come back, whatever else is held.
        return
    value = resulting_exposure(case.intent, case.exposure)
    if not within(value, bound.value):
        raise bound.denied(f"All positions together would be worth {plain(value)}, resting orders included; {bound}.")


def _daily_trades(case: _Case) -> None:
    for bound in _counted(case, "daily_trade_limit", "trades_today"):
        if bound.used >= bound.value and not reduces_risk(case.intent, case.exposure):
            raise bound.denied(f"{bound.used} of {plain(bound.value)} trades{bound.of} are used today.")


def _daily_loss(case: _Case) -> None:
    bound = _strictest(case, "daily_loss_limit")
    if reduces_risk(case.intent, case.exposure):
        return
    # A loss is what the limit is held against; a gain of any size is none.
    loss = -known_number(case.exposure.day_pnl, "today's profit or loss", negative=True)
    if not within(loss, bound.value):
        raise bound.denied(f"The account has lost {plain(loss)} today; {bound}.")


def drawdown(exposure: Exposure, state: SafetyState) -> Decimal:
    """Return how far the account's equity, unrealised losses included, is below its peak, as a fraction of the peak."""
    equity = known_number(exposure.equity, "equity", negative=True)
    peak = max(known_price(state.equity_peak, "equity_peak"), equity)
    return (peak - equity) / peak


def _drawdown(case: _Case) -> None:
    bound = _strictest(case, "drawdown_limit")
    if reduces_risk(case.intent, case.exposure):
        return
    fall = drawdown(case.exposure, case.state)
    if not within(fall, bound.value):
        raise bound.denied(f"The account is {fall:.2%} below its highest equity; {bound}.")


def _order_rate(case: _Case) -> None:
    for bound in _counted(case, "order_rate_limit", "orders_last_minute"):
        if bound.used >= bound.value and not reduces_risk(case.intent, case.exposure):
            raise bound.denied(f"{bound.used} of {plain(bound.value)} orders{bound.of} in a minute are used.")


def _duplicate(case: _Case) -> None:
    window_s = known_count(case.limits.duplicate_window_s, "duplicate_window_s")
    if known_flag(case.exposure.same_order_recent, "whether the same order was placed lately"):
        raise Denied(f"The same order was placed within the last {window_s} s.")


def cash_required(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return the cash that must be there before the order leaves, in the account's currency.

    A buy needs its price with slippage (a limit is already the worst price) and its fee. A sale of what is held needs
    nothing, since the proceeds pay the fee. What a sale sells short must be covered in full.
    """
    quantity = _quantity(intent)
    fee = known_number(exposure.fee_rate, "fee_rate")
    slippage = known_number(exposure.slippage, "slippage")
    price = order_price(intent)
    if intent.side == "buy":
        worst = price if intent.order_type == "limit" else price * (1 + slippage)
        return quantity * worst * (1 + fee)
    position = known_number(exposure.position_quantity, "position_quantity", negative=True)
    held = max(position - known_number(exposure.open_sell_quantity, "open_sell_quantity"), Decimal(0))
    return max(quantity - held, Decimal(0)) * price * (1 + fee)


def _cash(case: _Case) -> None:
    exposure = case.exposure
    reserved = known_number(exposure.open_order_cash, "open_order_cash")
    cash = known_number(exposure.cash, "cash", negative=True)
    required = cash_required(case.intent, exposure)
    if required == 0:
        return
    available = cash - reserved
    if case.intent.side == "sell":
        # Proceeds of earlier short sales are cash, yet owed: only what no position uses covers another one.
        equity = known_number(exposure.equity, "equity", negative=True)
        available = min(available, equity - known_number(exposure.gross_exposure, "gross_exposure") - reserved)
    if not within(required, available):
        raise Denied(f"The order needs {plain(required)} with its costs; {plain(available)} is free.")


CHECKS: tuple[tuple[GateCode, Callable[[_Case], None]], ...] = (
    (GateCode.KILL_SWITCH_ACTIVE, _kill_switch),
    (GateCode.TRADING_STATE_REDUCING, _trading_state),
    (GateCode.LIVE_TRADING_DISABLED, _mode),
    (GateCode.RECONCILIATION_PENDING, _reconciliation),
    (GateCode.INSTRUMENT_NOT_ALLOWED, _instrument),
    (GateCode.MARKET_CLOSED, _market_open),
    (GateCode.DATA_STALE, _data_fresh),
    (GateCode.PRICE_OUT_OF_COLLAR, _collar),
    (GateCode.QUANTITY_INVALID, _quantity_fits),
    (GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT, _notional),
    (GateCode.POSITION_EXCEEDS_LIMIT, _position),
    (GateCode.EXPOSURE_EXCEEDS_LIMIT, _gross_exposure),
    (GateCode.DAILY_TRADES_EXCEEDED, _daily_trades),
    (GateCode.DAILY_LOSS_EXCEEDED, _daily_loss),
    (GateCode.DRAWDOWN_EXCEEDED, _drawdown),
    (GateCode.ORDER_RATE_EXCEEDED, _order_rate),
    (GateCode.DUPLICATE_ORDER, _duplicate),
    (GateCode.INSUFFICIENT_CASH, _cash),
)


def evaluate(
    intent: OrderIntent,
    exposure: Exposure,
    limits: Limits,
    state: SafetyState,
    narrower: tuple[NarrowerLimits, ...] = (),
) -> Verdict:
    """Return the verdict on `intent`. Never raises: what cannot be decided is denied.

    Args:
        narrower: limits that hold for the intent's strategy and instrument as well; of several the strictest binds,
            and `facts["bound"]` of a denial says which one did.
    """
    case = _Case(intent, exposure, limits, state, narrower)
    facts = _facts(case)
    with localcontext(_ARITHMETIC):
        for code, check in CHECKS:
            try:
                check(case)
            except Denied as denied:
                if denied.limit:
                    facts["bound"] = {"limit": denied.limit, "scope": denied.scope or "desk"}
                return Verdict(False, code.value, str(denied), facts)
            except MissingFact as missing:
                return Verdict(
                    False, code.value, f"Denied for a missing fact: {missing}.", {**facts, "missing": str(missing)}
                )
    return Verdict(True, "", "", facts)


def _facts(case: _Case) -> dict[str, Any]:
    """Write down everything that the checks may look at."""
    facts: dict[str, Any] = {
        group: {item.name: _fact(getattr(part, item.name)) for item in fields(part)}
        for group, part in (("exposure", case.exposure), ("limits", case.limits), ("state", case.state))
    }
    facts["narrower"] = [
        {
            "scope": each.scope,
            "trades_today": _fact(each.trades_today),
            "orders_last_minute": _fact(each.orders_last_minute),
            "limits": {name: _fact(value) for name, value in each.values.items()},
        }
        for each in case.narrower
    ]
    facts["reduces"] = reduces_risk(case.intent, case.exposure)
    if case.intent.order_type == "stop":
        facts["stop_price"] = _fact(case.intent.stop_price)
    computed: tuple[tuple[str, Callable[[], Decimal]], ...] = (
        ("price_deviation", lambda: price_deviation(case.intent, case.exposure)),
        ("notional", lambda: _notional_of(case.intent, case.exposure)),
        ("resulting_value", lambda: resulting_value(case.intent, case.exposure)),
        ("resulting_exposure", lambda: resulting_exposure(case.intent, case.exposure)),
        ("drawdown", lambda: drawdown(case.exposure, case.state)),
        ("cash_required", lambda: cash_required(case.intent, case.exposure)),
    )
    with localcontext(_ARITHMETIC):
        for name, compute in computed:
            try:
                facts[name] = plain(compute())
            except MissingFact:
                facts[name] = None
    return facts


def _fact(value: object) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
