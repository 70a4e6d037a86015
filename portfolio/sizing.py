"""How much to order. Pure; every answer is rounded down, so that no rounding spends what is not there."""

from decimal import ROUND_DOWN, Decimal, localcontext

from portfolio.choices import SizingMethod
from portfolio.ledger import ONE, ZERO

ALL_IN_FRACTION = Decimal("0.98")
"""The part of the cash that `all_in` spends unless told: the rest covers a gap between the last close, by which the
order is sized, and the next open, at which it is filled."""

_PRECISION = 60


def round_down(quantity: Decimal, *, quantity_precision: int, lot_size: Decimal) -> Decimal:
    """Return the largest quantity up to `quantity` that is a whole number of lots and has at most
    `quantity_precision` decimals. A lot size of zero means no lots.
    """
    with localcontext(prec=_PRECISION):
        if lot_size > 0:
            quantity = (quantity / lot_size).to_integral_value(rounding=ROUND_DOWN) * lot_size
        return quantity.quantize(Decimal(1).scaleb(-quantity_precision), rounding=ROUND_DOWN).normalize() + ZERO


def affordable(cash: Decimal, price: Decimal, *, fee_rate: Decimal, slippage: Decimal) -> Decimal:
    """Return the unrounded quantity that `cash` buys after slippage and fee: `cash / (price·(1+s)·(1+fee))`."""
    if cash <= 0 or price <= 0:
        return ZERO
    with localcontext(prec=_PRECISION):
        return cash / (price * (ONE + slippage) * (ONE + fee_rate))


def order_quantity(
    method: SizingMethod,
    value: Decimal | None,
    *,
    equity: Decimal,
    cash: Decimal,
    price: Decimal,
    fee_rate: Decimal,
    slippage: Decimal,
    quantity_precision: int,
    lot_size: Decimal,
) -> Decimal:
    """Return the quantity of an entry, rounded down; zero when there is not enough for one lot.

    Args:
        value: a fraction of equity, an amount of money, a quantity, or (`all_in`) the fraction of the cash to spend,
            0.98 when None.
        cash: what is free, after what open orders hold back.
        price: the last price known.

    Raises:
        ValueError: for a method that needs a value and has none.
    """
    if price <= 0:
        return ZERO
    with localcontext(prec=_PRECISION):
        if method == SizingMethod.ALL_IN:
            spend = cash * (ALL_IN_FRACTION if value is None else value)
            quantity = affordable(spend, price, fee_rate=fee_rate, slippage=slippage)
        elif value is None:
            raise ValueError(f"sizing by {method} needs a value")
        elif method == SizingMethod.EQUITY_FRACTION:
            quantity = max(equity, ZERO) * value / price
        elif method == SizingMethod.NOTIONAL:
            quantity = value / price
        else:
            quantity = value
    return round_down(quantity, quantity_precision=quantity_precision, lot_size=lot_size)
