"""Round trips: what a position brought from flat to flat, and whose trade it was."""

from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.models import Instrument
from portfolio.brokers.protocol import BrokerFill, BrokerOrder
from portfolio.choices import OrderSide, OrderStatus
from portfolio.fills import fills_apply
from portfolio.models import Account, Fill, Order, Position, RoundTrip
from tests.portfolio.conftest import FIRST_DAY

pytestmark = pytest.mark.django_db

BUY, SELL = OrderSide.BUY, OrderSide.SELL
FIELDS = (
    "account_id", "instrument_id", "opening_order_id", "execution_id", "opened_at", "closed_at", "realized_before",
    "profit",
)  # fmt: skip


@pytest.fixture
def desk(account: Account, data_dir: Any) -> "Desk":
    return Desk(account)


class Desk:
    """An account whose orders are filled as told."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.acme = Instrument.objects.create(symbol="ACME")
        self.count = 0

    def fill(
        self, side: OrderSide, *fills: tuple[Any, Any, Any], instrument: Instrument | None = None, **said: Any
    ) -> Order:
        """Place an order and let it be filled: quantity, price and fee of each fill."""
        self.count += 1
        quantity = sum((Decimal(quantity) for quantity, _, _ in fills), Decimal(0))
        order = Order.objects.create(
            client_order_id=f"order {self.count}", account=self.account, instrument=instrument or self.acme, mode="paper",
            side=side, type="market", quantity=quantity, source="x", timeframe="1d", adjustment="none",
            status="accepted", **said,
        )  # fmt: skip
        at = FIRST_DAY + timedelta(hours=self.count)
        done = tuple(
            BrokerFill(f"{self.count}-{number}", Decimal(price), Decimal(size), Decimal(fee), at)
            for number, (size, price, fee) in enumerate(fills)
        )
        symbol = order.instrument.symbol
        state = BrokerOrder(order.client_order_id, "venue", OrderStatus.FILLED, symbol, side, quantity, fills=done)
        fills_apply(order_id=order.pk, state=state)
        return order

    def trips(self) -> list[tuple[Any, ...]]:
        return sorted((trip[FIELDS.index("opened_at")], *trip) for trip in RoundTrip.objects.values_list(*FIELDS))


def test_a_trip_is_opened_and_closed_with_the_position_and_belongs_to_the_run_that_opened_it(desk: Desk) -> None:
    opener, closer = uuid4(), uuid4()
    order = desk.fill(BUY, (10, 100, 1), execution_id=opener)
    trip = RoundTrip.objects.get()
    assert (trip.opening_order, trip.execution_id, trip.closed_at, trip.profit) == (order, opener, None, None)
    desk.fill(SELL, (10, 103, 2), execution_id=closer)
    trip = RoundTrip.objects.get()
    assert (trip.execution_id, trip.closed_at) == (opener, FIRST_DAY + timedelta(hours=2))
    assert trip.profit == Decimal(27), "30 less the fees of both ways"


def test_a_trip_that_only_paid_its_fees_has_lost(desk: Desk) -> None:
    desk.fill(BUY, (10, 100, 1))
    desk.fill(SELL, (10, "100.1", 1))
    assert RoundTrip.objects.get().profit == Decimal(-1)


def test_adding_to_a_position_and_closing_it_in_parts_is_one_trip(desk: Desk) -> None:
    desk.fill(BUY, (5, 100, 1), (5, 102, 1))
    desk.fill(SELL, (4, 110, 1))
    assert RoundTrip.objects.get().profit is None
    desk.fill(BUY, (4, 100, 1))
    desk.fill(SELL, (3, 110, 1), (7, 110, 1))
    (profit,) = RoundTrip.objects.values_list("profit", flat=True)
    assert (
        profit == Position.objects.get().realized_pnl == Decimal(4 * 110 + 10 * 110 - 5 * 100 - 5 * 102 - 4 * 100 - 6)
    )


def test_a_short_is_a_trip_too(desk: Desk) -> None:
    desk.fill(SELL, (10, 100, 0))
    desk.fill(BUY, (10, 90, 0))
    assert RoundTrip.objects.get().profit == Decimal(100)


def test_a_fill_that_turns_the_position_round_closes_one_trip_and_opens_the_next(desk: Desk) -> None:
    first, second = uuid4(), uuid4()
    desk.fill(BUY, (10, 100, 1), execution_id=first)
    desk.fill(SELL, (15, 110, 3), execution_id=second)
    desk.fill(BUY, (5, 100, 2))
    closed = list(RoundTrip.objects.order_by("pk").values_list("execution_id", "profit"))
    assert closed == [(first, Decimal(96)), (second, Decimal(48))]


def test_each_instrument_has_trips_of_its_own(desk: Desk) -> None:
    beta = Instrument.objects.create(symbol="BETA")
    desk.fill(BUY, (1, 100, 0))
    desk.fill(BUY, (1, 50, 0), instrument=beta)
    desk.fill(SELL, (1, 60, 0), instrument=beta)
    found = dict(RoundTrip.objects.values_list("instrument__symbol", "profit"))
    assert found == {"ACME": None, "BETA": Decimal(10)}


def test_the_database_takes_no_second_open_trip_and_no_closed_one_without_profit(desk: Desk) -> None:
    desk.fill(BUY, (1, 100, 0))
    trip = RoundTrip.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        RoundTrip.objects.filter(pk=trip.pk).update(closed_at=trip.opened_at)
    trip.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        trip.save()


fills = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]), st.integers(1, 4), st.integers(90, 110), st.sampled_from(["0", "0.5", "1"]), st.booleans()
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(made=fills)
def test_trips_come_to_what_the_positions_realised_and_to_what_the_fills_say_once_more(
    account: Account, data_dir: Any, made: list[tuple[Any, ...]]
) -> None:
    with transaction.atomic():
        desk = Desk(account)
        beta = Instrument.objects.create(symbol="BETA")
        for side, quantity, price, fee, other in made:
            desk.fill(side, (quantity, price, fee), instrument=beta if other else None, execution_id=uuid4())
        for position in Position.objects.all():
            trips = RoundTrip.objects.filter(instrument=position.instrument_id)
            whole = sum((trip.profit for trip in trips if trip.profit is not None), Decimal(0))
            still_open = trips.filter(closed_at=None).first()
            assert (still_open is not None) == (position.quantity != 0)
            realized = position.realized_pnl if still_open is None else still_open.realized_before
            assert whole == realized, "what all trips brought is what the position did before the open one"
        written = desk.trips()
        RoundTrip.objects.all().delete()
        # What an older desk's fills are made into when it is brought up to date.
        import_module("portfolio.migrations.0003_trips_of_old_fills").replay(apps, connection.schema_editor)
        assert desk.trips() == written
        assert Fill.objects.count() == len(made)
        transaction.set_rollback(True)
