"""What a fill does to a position and to cash. Pure: plain data in, plain data out.

Amounts of money are kept to 6 places, prices to 10, rounded half to even, once, here. Six, since SQLite holds a
decimal as a double, of which 15 digits are sure: below a thousand million both databases then hold every amount
exactly. A position holds its signed cost rather than its average price, so that no rounding is lost: for every
account and at every moment, exactly,

    cash + sum(cost) - sum(realized_pnl) == starting cash
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeVar

from portfolio.choices import OrderSide

K = TypeVar("K", bound=Hashable)

ZERO = Decimal(0)
ONE = Decimal(1)
_MONEY = Decimal("1e-6")
_PRICE = Decimal("1e-10")
# Two stored numbers have 28 digits each: their product needs 56 before it is rounded.
_PRECISION = 60


def money(number: Decimal) -> Decimal:
    """Round an amount of money, half to even."""
    with localcontext(prec=_PRECISION):
        return number.quantize(_MONEY, rounding=ROUND_HALF_EVEN)


def amount(*factors: Decimal) -> Decimal:
    """Return a product that is an amount of money, rounded once."""
    return _product(factors, _MONEY)


def multiply(*factors: Decimal) -> Decimal:
    """Return a product that is a price, rounded once."""
    return _product(factors, _PRICE)


def _product(factors: Iterable[Decimal], quantum: Decimal) -> Decimal:
    with localcontext(prec=_PRECISION):
        product = ONE
        for factor in factors:
            product *= factor
        return product.quantize(quantum, rounding=ROUND_HALF_EVEN)


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Return a quotient that is a price or a ratio, rounded once.

    Raises:
        decimal.DivisionByZero: for a divisor of zero.
    """
    with localcontext(prec=_PRECISION):
        return (dividend / divisor).quantize(_PRICE, rounding=ROUND_HALF_EVEN)


def slipped_price(price: Decimal, side: OrderSide, slippage: Decimal) -> Decimal:
    """Return the price after slippage against the trader: `price·(1+s)` for a buy, `price·(1-s)` for a sell."""
    return multiply(price, ONE + side.sign * slippage)


def fill_fee(price: Decimal, quantity: Decimal, fee_rate: Decimal) -> Decimal:
    """Return the fee: a fraction of the filled notional."""
    return amount(amount(price, quantity), fee_rate)


@dataclass(frozen=True)
class Trade:
    """A fill as the ledger sees it; `quantity` is positive, `fee` an amount of money."""

    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Holding:
    """A position.

    Attributes:
        quantity: positive long, negative short.
        cost: what opening it took, with the sign of the quantity (a short's cost is what it brought in, negative).
        realized_pnl: profit of what was closed, after all fees of this instrument, also those of opening.
        fees: all fees paid; they are inside `realized_pnl` already.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def average_price(self) -> Decimal:
        """The price per unit at which it was opened, fees apart; zero when flat."""
        return divide(self.cost, self.quantity) if self.quantity else ZERO

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        """Return the profit that closing at `mark` would bring, before the fee of closing."""
        return amount(self.quantity, mark) - self.cost


def apply_fill(holding: Holding, cash: Decimal, trade: Trade) -> tuple[Holding, Decimal]:
    """Return the position and the cash after `trade`.

    A trade against the position closes first, at the average cost; what is left over opens on the other side at the
    trade's own price.

    Raises:
        ValueError: for a quantity or a price that is not positive.
    """
    if trade.quantity <= 0 or trade.price <= 0:
        raise ValueError("a fill has a positive quantity and price")
    sign = trade.side.sign
    notional = amount(trade.price, trade.quantity)
    cash = cash - sign * notional - trade.fee
    fees = holding.fees + trade.fee
    realized = holding.realized_pnl - trade.fee
    held = abs(holding.quantity)
    side_held = 1 if holding.quantity > 0 else -1
    if not held or side_held == sign:
        quantity, cost = holding.quantity + sign * trade.quantity, holding.cost + sign * notional
        return Holding(quantity, cost, realized, fees), cash

    closing = min(held, trade.quantity)
    closed_notional = notional if closing == trade.quantity else amount(trade.price, closing)
    closed_cost = holding.cost if closing == held else money(_share(holding.cost, closing, held))
    realized += side_held * closed_notional - closed_cost
    quantity = holding.quantity + sign * trade.quantity
    cost = holding.cost - closed_cost + sign * (notional - closed_notional)
    return Holding(quantity, cost, realized, fees), cash


def rebuild(trades: Iterable[tuple[K, Trade]], starting_cash: Decimal) -> tuple[dict[K, Holding], Decimal]:
    """Carry `(instrument, trade)` pairs out in order and return every position and the cash."""
    holdings: dict[K, Holding] = {}
    cash = starting_cash
    for key, trade in trades:
        holdings[key], cash = apply_fill(holdings.get(key, Holding()), cash, trade)
    return holdings, cash


def _share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    with localcontext(prec=_PRECISION + 28):
        return cost * part / whole
