"""Which strategy holds what of a position that several of them trade."""

from decimal import Decimal
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from portfolio.attribution import shares

A, B = uuid4(), uuid4()
UNITS = st.integers(-5, 5).filter(bool).map(Decimal)
FILLS = st.lists(st.tuples(st.sampled_from([None, A, B]), UNITS), max_size=30)


def D(number: int) -> Decimal:
    return Decimal(number)


def test_each_strategy_has_what_it_bought() -> None:
    assert shares([(A, D(3)), (B, D(5)), (A, D(1))]) == {A: D(4), B: D(5)}


def test_what_another_one_sold_bounds_the_share() -> None:
    assert shares([(A, D(10)), (None, D(-6))]) == {A: D(4)}


def test_a_position_that_was_flat_has_no_history() -> None:
    assert shares([(A, D(10)), (None, D(-10)), (B, D(2))]) == {B: D(2)}


def test_who_turns_a_position_round_has_what_is_beyond_flat() -> None:
    assert shares([(A, D(10)), (B, D(-15))]) == {B: D(-5)}


def test_a_strategy_that_is_against_the_position_has_no_share() -> None:
    assert shares([(A, D(10)), (B, D(-3))]) == {A: D(7)}


@given(FILLS)
def test_no_share_is_against_the_position_or_larger_than_it(fills: list[tuple[UUID | None, Decimal]]) -> None:
    position = sum((units for _, units in fills), D(0))
    for units in shares(fills).values():
        assert units * position > 0
        assert abs(units) <= abs(position)


@given(FILLS)
def test_a_strategy_that_trades_alone_has_the_whole_position(fills: list[tuple[UUID | None, Decimal]]) -> None:
    alone = [(A, units) for _, units in fills]
    position = sum((units for _, units in alone), D(0))
    assert shares(alone) == ({A: position} if position else {})
