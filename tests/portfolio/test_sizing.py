"""How much to order, by hand."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.choices import SizingMethod
from portfolio.sizing import affordable, order_quantity, round_down


def quantity(method: SizingMethod, value: str | None, **changes: Any) -> Decimal:
    facts: dict[str, Any] = {
        "equity": Decimal(100_000),
        "cash": Decimal(50_000),
        "price": Decimal("444.05"),
        "fee_rate": Decimal("0.001"),
        "slippage": Decimal("0.0005"),
        "quantity_precision": 0,
        "lot_size": Decimal(1),
    }
    return order_quantity(method, None if value is None else Decimal(value), **{**facts, **changes})


def test_a_fraction_of_equity_is_rounded_down_to_whole_shares() -> None:
    assert quantity(SizingMethod.EQUITY_FRACTION, "0.2") == 45  # 20000 / 444.05 = 45.04


def test_a_notional_is_divided_by_the_price() -> None:
    assert quantity(SizingMethod.NOTIONAL, "1000", quantity_precision=4, lot_size=Decimal("0.0001")) == Decimal(
        "2.2519"
    )


def test_a_quantity_is_taken_as_it_is_but_for_the_lot() -> None:
    assert quantity(SizingMethod.QUANTITY, "107", lot_size=Decimal(25)) == 100


def test_all_in_keeps_two_percent_for_the_gap_to_the_next_open() -> None:
    assert quantity(SizingMethod.ALL_IN, None) == 110  # 49000 / (444.05·1.0005·1.001) = 110.18
    assert quantity(SizingMethod.ALL_IN, "1") == 112


def test_what_does_not_buy_one_lot_is_zero() -> None:
    assert quantity(SizingMethod.NOTIONAL, "100") == 0
    assert quantity(SizingMethod.ALL_IN, None, cash=Decimal(0)) == 0
    assert quantity(SizingMethod.EQUITY_FRACTION, "1", equity=Decimal(-5)) == 0
    assert quantity(SizingMethod.QUANTITY, "1", price=Decimal(0)) == 0


def test_a_method_without_its_value_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        quantity(SizingMethod.NOTIONAL, None)


money = st.decimals(min_value="0.01", max_value="1000000", places=2)
rates = st.decimals(min_value="0", max_value="0.05", places=4)


@given(cash=money, price=money, fee=rates, slippage=rates, digits=st.integers(0, 8))
def test_what_is_affordable_never_costs_more_than_the_cash(
    cash: Decimal, price: Decimal, fee: Decimal, slippage: Decimal, digits: int
) -> None:
    bought = round_down(
        affordable(cash, price, fee_rate=fee, slippage=slippage), quantity_precision=digits, lot_size=Decimal(0)
    )
    assert bought * price * (1 + slippage) * (1 + fee) <= cash


@given(
    amount=st.decimals(min_value="0", max_value="100000", places=10),
    digits=st.integers(0, 8),
    lot=st.sampled_from([Decimal("0.001"), Decimal("0.5"), Decimal(1), Decimal(25)]),
)
def test_rounding_down_gives_whole_lots_and_no_more_than_asked(amount: Decimal, digits: int, lot: Decimal) -> None:
    rounded = round_down(amount, quantity_precision=digits, lot_size=lot)
    assert amount - rounded >= 0
    assert rounded == round(rounded, digits)
