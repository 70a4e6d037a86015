"""The gate: may this order leave? Plain data in, a verdict out; no database, no clock, no exception.

Every check says no unless it can prove yes: a fact that is None, NaN or of the wrong kind denies with the code of the
check that needed it. The checks run in the order of `GateCode`, and the first that denies names the verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Context, Decimal, localcontext
from typing import Any

from safety.choices import GateCode, TradingState
from safety.facts import Exposure, Limits, OrderIntent, SafetyState, Verdict

__all__ = ["CHECKS", "Exposure", "Limits", "OrderIntent", "SafetyState", "Verdict", "evaluate", "reduces_risk"]

# Wide enough that no product of two stored numbers is rounded, and without traps: an overflow becomes an infinity or
# a NaN, which denies, where an exception would leave the caller to decide.
_ARITHMETIC = Context(prec=80, traps=[])


class _MissingFact(Exception):
    """A check cannot be decided; never leaves this module."""


class _Denied(Exception):
    """A check said no; never leaves this module."""


@dataclass(frozen=True)
class _Case:
    intent: OrderIntent
    exposure: Exposure
    limits: Limits
    state: SafetyState


def _number(value: object, name: str, *, negative: bool = False) -> Decimal:
    """Return a fact that is a finite Decimal, and not below zero unless `negative`."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise _MissingFact(f"{name} is not known")
    if value < 0 and not negative:
        raise _MissingFact(f"{name} is negative")
    return value


def _price(value: object, name: str) -> Decimal:
    price = _number(value, name)
    if price == 0:
        raise _MissingFact(f"{name} is zero")
    return price


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _MissingFact(f"{name} is not known")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _MissingFact(f"{name} is not known")
    return value


def _within(value: Decimal, limit: Decimal) -> bool:
    """Say whether `value` is a finite number at or below `limit`: an overflow is neither."""
    return value.is_finite() and value <= limit


def _quantity(intent: OrderIntent) -> Decimal:
    quantity = _number(intent.quantity, "quantity", negative=True)
    if intent.side not in ("buy", "sell"):
        raise _MissingFact(f"side {intent.side!r} is neither buy nor sell")
    return quantity


def _plain(number: Decimal) -> str:
    """Write a number for people and for the record, without exponent while that is readable."""
    if not number.is_finite() or number == 0:
        return str(number) if not number.is_finite() else "0"
    if abs(number.adjusted()) > 40:
        return str(number)
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# ------------------------------------------------------------------------------------------------ the one definition


def reduces_risk(intent: OrderIntent, exposure: Exposure) -> bool:
    """Say whether the order can only make the position smaller.

    It goes against the position, and together with what already rests on its side it is no larger than the position.
    An order whose facts are missing reduces nothing.
    """
    with localcontext(_ARITHMETIC):
        try:
            quantity = _quantity(intent)
            position = _number(exposure.position_quantity, "position_quantity", negative=True)
            if intent.side == "sell":
                resting = _number(exposure.open_sell_quantity, "open_sell_quantity")
            else:
                resting = _number(exposure.open_buy_quantity, "open_buy_quantity")
        except _MissingFact:
            return False
        against = position > 0 if intent.side == "sell" else position < 0
        return quantity > 0 and against and _within(quantity + resting, abs(position))


def order_price(intent: OrderIntent) -> Decimal:
    """Return the highest price at which the order could reasonably fill, currency per unit.

    A limit buy never pays more than its limit; a limit sell may well get more than its limit, up to the market. A stop
    buy fills from its stop upwards, or at the market where that is beyond the stop already; a stop sell at its stop or
    below.
    """
    if intent.order_type == "market":
        return _price(intent.reference_price, "reference_price")
    if intent.order_type == "limit":
        limit = _price(intent.limit_price, "limit_price")
        if intent.side == "buy":
            return limit
        return max(limit, _price(intent.reference_price, "reference_price"))
    if intent.order_type == "stop":
        stop = _price(intent.stop_price, "stop_price")
        reference = _price(intent.reference_price, "reference_price")
        return max(stop, reference) if intent.side == "buy" else stop
    raise _MissingFact(f"order_type {intent.order_type!r} is neither market, limit nor stop")


# -------------------------------------------------------------------------------------------------------- the checks


def _kill_switch(case: _Case) -> None:
    if _flag(case.state.kill_switch_active, "the state of the kill switch"):
        raise _Denied(case.state.kill_switch_detail or "The kill switch is set.")
    if case.limits.trading_state == TradingState.HALTED:
        raise _Denied("Trading is halted.")


def _trading_state(case: _Case) -> None:
    if case.limits.trading_state == TradingState.ACTIVE:
        return
    if case.limits.trading_state != TradingState.REDUCING:
        raise _MissingFact("the trading state is not known")
    if not reduces_risk(case.intent, case.exposure):
        raise _Denied("The desk only takes orders that reduce a position; this one does not.")


def _mode(case: _Case) -> None:
    if case.intent.mode not in ("paper", "live"):
        raise _MissingFact(f"mode {case.intent.mode!r} is neither paper nor live")
    if _flag(case.limits.paper_mode, "paper_mode") and case.intent.mode == "live":
        raise _Denied("Paper mode is on: no live order leaves the desk.")


def _reconciliation(case: _Case) -> None:
    if _flag(case.state.reconciliation_pending, "whether the account's books agree with its broker's"):
        raise _Denied(case.state.reconciliation_detail or "The account's books differ from its broker's.")


def _instrument(case: _Case) -> None:
    if not _flag(case.exposure.instrument_enabled, "whether the instrument is enabled"):
        raise _Denied(f"{case.intent.symbol} is not enabled for trading.")


def _quantity_fits(case: _Case) -> None:
    quantity = _quantity(case.intent)
    if quantity <= 0:
        raise _Denied(f"The quantity must be above zero, not {_plain(quantity)}.")
    precision = _count(case.intent.quantity_precision, "quantity_precision")
    exponent = quantity.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > precision:
        raise _Denied(f"{_plain(quantity)} has more than {precision} digits after the point.")
    lot = _price(case.intent.lot_size, "lot_size")
    if quantity % lot != 0:  # NaN, from a quantity beyond all sense, differs from zero as well
        raise _Denied(f"{_plain(quantity)} is not a multiple of the lot size {_plain(lot)}.")


def _notional_of(intent: OrderIntent, exposure: Exposure) -> Decimal:
    return _quantity(intent) * order_price(intent)


def _notional(case: _Case) -> None:
    limit = _number(case.limits.order_notional_limit, "order_notional_limit")
    notional = _notional_of(case.intent, case.exposure)
    if not _within(notional, limit):
        raise _Denied(f"The order is worth {_plain(notional)}; the limit is {_plain(limit)}.")


def resulting_value(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return the absolute value of the position that may result, in the account's currency.

    The worst on the order's side: everything that rests there fills, and nothing on the other side does.
    """
    quantity = _quantity(intent)
    position = _number(exposure.position_quantity, "position_quantity", negative=True)
    buys = _number(exposure.open_buy_quantity, "open_buy_quantity")
    sells = _number(exposure.open_sell_quantity, "open_sell_quantity")
    price = max(order_price(intent), _price(intent.reference_price, "reference_price"))
    result = position + buys + quantity if intent.side == "buy" else position - sells - quantity
    return abs(result) * price


def _position(case: _Case) -> None:
    limit = _number(case.limits.position_limit, "position_limit")
    value = resulting_value(case.intent, case.exposure)
    if reduces_risk(case.intent, case.exposure):
        # It takes nothing over the limit: denying it would lock in a position that has outgrown its limit.
        return
    if not _within(value, limit):
        raise _Denied(
            f"The position would be worth {_plain(value)}, resting orders included; the limit is {_plain(limit)}."
        )


def _daily_trades(case: _Case) -> None:
    limit = _count(case.limits.daily_trade_limit, "daily_trade_limit")
    used = _count(case.state.trades_today, "the number of today's trades")
    if used >= limit and not reduces_risk(case.intent, case.exposure):
        raise _Denied(f"{used} of {limit} trades are used today.")


def _duplicate(case: _Case) -> None:
    window_s = _count(case.limits.duplicate_window_s, "duplicate_window_s")
    if _flag(case.exposure.same_order_recent, "whether the same order was placed lately"):
        raise _Denied(f"The same order was placed within the last {window_s} s.")


def cash_required(intent: OrderIntent, exposure: Exposure) -> Decimal:
    """Return the cash that must be there before the order leaves, in the account's currency.

    A buy needs its price with slippage (a limit is already the worst price) and its fee. A sale of what is held needs
    nothing, since the proceeds pay the fee. What a sale sells short must be covered in full.
    """
    quantity = _quantity(intent)
    fee = _number(exposure.fee_rate, "fee_rate")
    slippage = _number(exposure.slippage, "slippage")
    price = order_price(intent)
    if intent.side == "buy":
        worst = price if intent.order_type == "limit" else price * (1 + slippage)
        return quantity * worst * (1 + fee)
    position = _number(exposure.position_quantity, "position_quantity", negative=True)
    held = max(position - _number(exposure.open_sell_quantity, "open_sell_quantity"), Decimal(0))
    return max(quantity - held, Decimal(0)) * price * (1 + fee)


def _cash(case: _Case) -> None:
    exposure = case.exposure
    reserved = _number(exposure.open_order_cash, "open_order_cash")
    cash = _number(exposure.cash, "cash", negative=True)
    required = cash_required(case.intent, exposure)
    if required == 0:
        return
    available = cash - reserved
    if case.intent.side == "sell":
        # Proceeds of earlier short sales are cash, yet owed: only what no position uses covers another one.
        equity = _number(exposure.equity, "equity", negative=True)
        available = min(available, equity - _number(exposure.gross_exposure, "gross_exposure") - reserved)
    if not _within(required, available):
        raise _Denied(f"The order needs {_plain(required)} with its costs; {_plain(available)} is free.")


CHECKS: tuple[tuple[GateCode, Callable[[_Case], None]], ...] = (
    (GateCode.KILL_SWITCH_ACTIVE, _kill_switch),
    (GateCode.TRADING_STATE_REDUCING, _trading_state),
    (GateCode.LIVE_TRADING_DISABLED, _mode),
    (GateCode.RECONCILIATION_PENDING, _reconciliation),
    (GateCode.INSTRUMENT_NOT_ALLOWED, _instrument),
    (GateCode.QUANTITY_INVALID, _quantity_fits),
    (GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT, _notional),
    (GateCode.POSITION_EXCEEDS_LIMIT, _position),
    (GateCode.DAILY_TRADES_EXCEEDED, _daily_trades),
    (GateCode.DUPLICATE_ORDER, _duplicate),
    (GateCode.INSUFFICIENT_CASH, _cash),
)


def evaluate(intent: OrderIntent, exposure: Exposure, limits: Limits, state: SafetyState) -> Verdict:
    """Return the verdict on `intent`. Never raises: what cannot be decided is denied."""
    case = _Case(intent, exposure, limits, state)
    facts = _facts(case)
    with localcontext(_ARITHMETIC):
        for code, check in CHECKS:
            try:
                check(case)
            except _Denied as denied:
                return Verdict(False, code.value, str(denied), facts)
            except _MissingFact as missing:
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
    facts["reduces"] = reduces_risk(case.intent, case.exposure)
    if case.intent.order_type == "stop":
        facts["stop_price"] = _fact(case.intent.stop_price)
    computed: tuple[tuple[str, Callable[[OrderIntent, Exposure], Decimal]], ...] = (
        ("notional", _notional_of),
        ("resulting_value", resulting_value),
        ("cash_required", cash_required),
    )
    with localcontext(_ARITHMETIC):
        for name, compute in computed:
            try:
                facts[name] = _plain(compute(case.intent, case.exposure))
            except _MissingFact:
                facts[name] = None
    return facts


def _fact(value: object) -> Any:
    if isinstance(value, Decimal):
        return _plain(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
