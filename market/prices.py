"""From the float64 of a bar to the exact decimal of an order, in one place and one way."""

from decimal import ROUND_HALF_EVEN, Decimal

from tradingsite.common.decimals import PLACES

_STEP = Decimal(1).scaleb(-PLACES)


def price_decimal(value: float) -> Decimal:
    """Return the shortest decimal that reads back as `value`, rounded half-even to the 10 places that a price keeps.

    Raises:
        ValueError: for NaN or infinity.
    """
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise ValueError(f"{value!r} is no price")
    return number.quantize(_STEP, rounding=ROUND_HALF_EVEN).normalize()
