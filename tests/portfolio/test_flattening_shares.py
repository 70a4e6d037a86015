"""Which part of a position is the killed strategy's: by the fills since it was opened, and by no older ones."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from market.models import BarSeries, Instrument
from portfolio import fills, flattening
from portfolio.attribution import shares
from portfolio.brokers import BrokerFill, BrokerOrder
from portfolio.choices import OrderSide, OrderStatus
from portfolio.models import Account, Fill, Order, Position
from safety.models import KillSweep
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
A, B = uuid4(), uuid4()
Trade = Callable[..., None]


@pytest.fixture
def trade(acme: BarSeries, account: Account) -> Trade:
    """Return what fills an order of a strategy; `of` names the order, so that one may have several fills."""

    def fill(strategy: UUID | None, units: int, of: str = "") -> None:
        side = OrderSide.BUY if units > 0 else OrderSide.SELL
        order, _ = Order.objects.get_or_create(
            client_order_id=f"{of}-{side}-{strategy}" if of else str(uuid4()),
            defaults={
                "account": account, "instrument": Instrument.objects.get(symbol="ACME"), "strategy_id": strategy,
                "mode": "paper", "side": side, "type": "market", "quantity": D(1000), "status": "accepted",
                "source": "prices-historical", "timeframe": "1d", "adjustment": "none",
            },
        )  # fmt: skip
        told = BrokerFill(f"fill-{uuid4()}", D(100), D(abs(units)), D(0), utcnow())
        state = BrokerOrder(
            order.client_order_id, "venue", OrderStatus.PARTIALLY_FILLED, "ACME", side, D(1000), fills=(told,)
        )
        fills.fills_apply(order_id=order.pk, state=state)

    return fill


def by_the_whole_history() -> dict[UUID | None, Decimal]:
    rows = Fill.objects.order_by("sequence").values_list("order__strategy_id", "side", "quantity")
    return shares((strategy, OrderSide(side).sign * units) for strategy, side, units in rows)


def share(strategy: UUID) -> Decimal:
    return flattening._share(KillSweep(scope=str(strategy)), Position.objects.get())


# A few orders of each strategy are filled in parts that interleave, through flat and back.
STEPS = st.lists(
    st.tuples(st.sampled_from([None, A, B]), st.integers(-6, 6).filter(bool), st.sampled_from(["", "x", "y"])),
    min_size=1,
    max_size=14,
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_fills_since_a_position_was_opened_say_the_same_as_all_of_them(
    trade: Trade, steps: list[tuple[UUID | None, int, str]]
) -> None:
    run = uuid4()
    for strategy, units, of in steps:
        trade(strategy, units, of=of and f"{run}-{of}")
        expected = by_the_whole_history()
        assert {each: share(each) for each in (A, B)} == {each: expected.get(each, D(0)) for each in (A, B)}


def test_what_was_filled_before_a_position_was_last_flat_is_not_read(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        trade(A, 10)
        trade(B, -10)
    trade(A, 3)
    trade(B, 2)
    read: list[int] = []

    def counted(rows: Any, **said: Any) -> Any:
        read.append(len(list(rows)))
        return shares(rows, **said)

    monkeypatch.setattr(flattening, "shares", counted)
    assert (share(A), share(B)) == (D(3), D(2))
    assert read == [2, 2]
