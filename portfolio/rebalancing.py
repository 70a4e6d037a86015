"""Which trades bring an account to its target weights. Pure: plain data in, plain data out.

Sells come first, so that what they bring pays for the buys. Every quantity is rounded down to whole lots. What the buys
together would cost, slippage and fee included, is never more than the free cash with what the sells bring after theirs;
where it is, all of them shrink by the same factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from portfolio.choices import OrderSide
from portfolio.ledger import ONE, ZERO, amount, fill_fee, slipped_price
from portfolio.sizing import round_down
from tradingsite.common.decimals import decimal_string

_PRECISION = 60
# What rounding an amount of money may add to it.
_ROUNDING = Decimal("1e-6")

OUTSIDE_GOAL = "OUTSIDE_GOAL"
NO_PRICE = "NO_PRICE"
BELOW_MINIMUM = "BELOW_MINIMUM"
LESS_THAN_A_LOT = "LESS_THAN_A_LOT"
ALREADY_ORDERED = "ALREADY_ORDERED"
CASH_SHORT = "CASH_SHORT"


@dataclass(frozen=True)
class Line:
    """A symbol that is held or aimed at.

    Attributes:
        target_weight: fraction of equity.
        quantity: what is held, signed.
        open_buys, open_sells: units in orders that are not filled yet.
        price: currency per unit; None when there is none.
        outside: it is held, and the goal does not name it.
    """

    symbol: str
    target_weight: Decimal
    quantity: Decimal
    open_buys: Decimal
    open_sells: Decimal
    price: Decimal | None
    lot_size: Decimal
    quantity_precision: int
    outside: bool = False


@dataclass(frozen=True)
class Rates:
    """What trading costs: fractions of the filled notional and of the price."""

    fee: Decimal
    slippage: Decimal


@dataclass(frozen=True)
class Trade:
    """One order to place; `price` is the last one known, `fee` what is expected at the price with slippage."""

    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal

    @property
    def notional(self) -> Decimal:
        return amount(self.quantity, self.price)


@dataclass(frozen=True)
class Skip:
    """Why a symbol that is off its target leads to no order."""

    symbol: str
    code: str
    detail: str


@dataclass(frozen=True)
class Plan:
    """Trades in the order in which they are to be placed, and what was left out."""

    trades: tuple[Trade, ...]
    skipped: tuple[Skip, ...]


def plan(
    lines: Sequence[Line], *, equity: Decimal, cash: Decimal, rates: Rates, min_trade: Decimal, sell_outside: bool
) -> Plan:
    """Return the trades towards the targets.

    Args:
        equity: what the weights are fractions of, above zero.
        cash: what is free, after what open orders hold back.
        min_trade: a trade of a smaller notional is left out.
        sell_outside: whether what the goal does not name is sold; else it is left alone.
    """
    wanted: list[_Wanted] = []
    skipped: list[Skip] = []
    for line in sorted(lines, key=lambda line: line.symbol):
        if line.outside and not sell_outside:
            detail = "The goal does not name it, so it is left alone; sell_outside sells it."
            skipped.append(Skip(line.symbol, OUTSIDE_GOAL, detail))
        elif line.price is None or line.price <= 0:
            skipped.append(Skip(line.symbol, NO_PRICE, "There is no price for it. Import bars."))
        else:
            wanted.append(_Wanted(line, line.price, _units_apart(line, line.price, equity)))

    sells = _trades([each for each in wanted if each.units < 0], rates, min_trade, skipped)
    budget = cash + sum((proceeds(trade, rates) for trade in sells), ZERO)
    buys = _buys([each for each in wanted if each.units > 0], max(budget, ZERO), rates, min_trade, skipped)
    return Plan((*sells, *buys), tuple(sorted(skipped, key=lambda skip: skip.symbol)))


def cost(quantity: Decimal, price: Decimal, rates: Rates) -> Decimal:
    """Return what buying takes, after slippage and fee."""
    return amount(quantity, price, ONE + rates.slippage, ONE + rates.fee)


def proceeds(trade: Trade, rates: Rates) -> Decimal:
    """Return what selling brings, after slippage and fee."""
    return amount(trade.quantity, trade.price, ONE - rates.slippage, ONE - rates.fee)


@dataclass(frozen=True)
class _Wanted:
    """So many units of a line at its price: missing ones are positive, those too many negative."""

    line: Line
    price: Decimal
    units: Decimal


def _units_apart(line: Line, price: Decimal, equity: Decimal) -> Decimal:
    """Return how many units are missing or, negative, too many, counting open orders as filled."""
    with localcontext(prec=_PRECISION):
        return line.target_weight * equity / price - (line.quantity + line.open_buys - line.open_sells)


def _buys(
    wanted: Sequence[_Wanted], budget: Decimal, rates: Rates, min_trade: Decimal, skipped: list[Skip]
) -> list[Trade]:
    """Return the buys, all shrunk by one factor where the budget does not cover them."""
    small_anyway: list[Skip] = []
    trades = _trades(wanted, rates, min_trade, small_anyway)
    if _costs(trades, rates) <= budget:
        skipped += small_anyway
        return trades
    with localcontext(prec=_PRECISION):
        needed = sum((each.units * each.price * (ONE + rates.slippage) * (ONE + rates.fee) for each in wanted), ZERO)
    # The second time, what rounding may add to each cost is kept back.
    for reserve in (ZERO, _ROUNDING * len(wanted)):
        with localcontext(prec=_PRECISION):
            factor = max(budget - reserve, ZERO) / needed
            shrunk = [replace(each, units=each.units * factor) for each in wanted]
        too_small: list[Skip] = []
        trades = _trades(shrunk, rates, min_trade, too_small)
        if _costs(trades, rates) <= budget:
            break
    detail = f"The cash covers {factor * 100:.1f} % of the buys, too little for this one."
    reasons = {skip.symbol: skip for skip in small_anyway}
    skipped += [reasons.get(skip.symbol, replace(skip, code=CASH_SHORT, detail=detail)) for skip in too_small]
    return trades


def _costs(trades: Sequence[Trade], rates: Rates) -> Decimal:
    return sum((cost(trade.quantity, trade.price, rates) for trade in trades), ZERO)


def _trades(wanted: Sequence[_Wanted], rates: Rates, min_trade: Decimal, skipped: list[Skip]) -> list[Trade]:
    """Return the trades, the largest first; what leads to none is added to `skipped` with its reason."""
    trades = [trade for trade in (_trade(each, rates, min_trade, skipped) for each in wanted) if trade is not None]
    return sorted(trades, key=lambda trade: (-trade.notional, trade.symbol))


def _trade(wanted: _Wanted, rates: Rates, min_trade: Decimal, skipped: list[Skip]) -> Trade | None:
    line, price = wanted.line, wanted.price
    side = OrderSide.BUY if wanted.units > 0 else OrderSide.SELL
    quantity = abs(wanted.units)
    if side is OrderSide.SELL:
        # What is left of a long position beside the sells that rest already: a rebalance never sells short.
        quantity = min(quantity, max(line.quantity - line.open_sells, ZERO))
        if quantity <= 0:
            detail = "Open buys bring it above its target, and nothing that is held is left to sell."
            skipped.append(Skip(line.symbol, ALREADY_ORDERED, detail))
            return None
    quantity = round_down(quantity, quantity_precision=line.quantity_precision, lot_size=line.lot_size)
    if quantity <= 0:
        skipped.append(Skip(line.symbol, LESS_THAN_A_LOT, "It is off its target by less than one lot."))
        return None
    slipped = slipped_price(price, side, rates.slippage)
    trade = Trade(line.symbol, side, quantity, price, fill_fee(slipped, quantity, rates.fee))
    if trade.notional < min_trade:
        detail = f"The trade would be worth {decimal_string(trade.notional)}, below the minimum of {decimal_string(min_trade)}."
        skipped.append(Skip(line.symbol, BELOW_MINIMUM, detail))
        return None
    return trade
