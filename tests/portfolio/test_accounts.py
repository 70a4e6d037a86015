"""What an account is worth, and whether its figures add up."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from market.models import BarSeries, Instrument
from portfolio import fills, selectors, services
from portfolio.brokers import BrokerFill, BrokerOrder, broker_for
from portfolio.choices import OrderSide, OrderStatus
from portfolio.errors import AccountInUse, AccountMissing
from portfolio.models import Account, CashMovement, EquitySnapshot, Order, Position
from tests.portfolio.conftest import Prices
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]


def test_the_default_account_is_made_once(actor: Actor) -> None:
    with pytest.raises(AccountMissing):
        selectors.account_default()
    account = services.account_ensure_default(actor=actor)
    assert services.account_ensure_default(actor=actor).pk == account.pk == selectors.account_default().pk
    assert (account.cash, account.fee_rate, account.slippage) == (
        Decimal(100_000),
        Decimal("0.001"),
        Decimal("0.0005"),
    )


def test_the_summary_by_hand(acme: BarSeries, place: Place, account: Account) -> None:
    place()
    summary = selectors.account_summary(selectors.account_default(), utcnow())
    assert summary["cash"] == Decimal("98968.454485")
    assert summary["positions_value"] == Decimal(1030)
    assert summary["equity"] == Decimal("99998.454485")
    assert summary["unrealized_pnl"] == Decimal("-0.515")  # 10·(103 - 103.0515)
    assert summary["realized_pnl"] == Decimal("-1.030515")
    assert summary["day_pnl"] == Decimal("-1.545515")
    assert summary["total_return"] == pytest.approx(-1.545515 / 100_000)
    assert summary["drawdown"] == pytest.approx(1.545515 / 100_000)
    [position] = summary["positions"]
    assert (position["mark_price"], position["value"]) == (Decimal(103), Decimal(1030))
    assert (position["source"], position["historical"], position["generated"]) == ("prices-historical", True, False)
    assert position["weight"] == pytest.approx(1030 / 99998.454485)


def test_the_days_profit_counts_from_the_last_point_of_the_day_before(
    acme: BarSeries, place: Place, account: Account
) -> None:
    yesterday = utcnow() - timedelta(days=1)
    EquitySnapshot.objects.create(
        account=account, at=yesterday, cash=Decimal(90_000), positions_value=Decimal(0), equity=Decimal(90_000)
    )
    assert selectors.account_summary(account, utcnow())["day_pnl"] == Decimal(10_000)


def test_the_days_profit_begins_with_the_desks_trading_day(account: Account) -> None:
    # 20:00 and 21:00 in New York, one trading day; midnight UTC was at 19:00.
    for hour, worth in ((0, 90_000), (1, 95_000)):
        at = datetime(2026, 1, 6, hour, tzinfo=UTC)
        EquitySnapshot.objects.create(
            account=account, at=at, cash=Decimal(worth), positions_value=Decimal(0), equity=Decimal(worth)
        )
    with clock.frozen(datetime(2026, 1, 6, 2, tzinfo=UTC)):
        assert selectors.account_summary(account, utcnow())["day_pnl"] == 0  # nothing from before this trading day
    with clock.frozen(datetime(2026, 1, 6, 6, tzinfo=UTC)):  # 01:00 in New York, the next one
        assert selectors.account_summary(account, utcnow())["day_pnl"] == Decimal(5_000)


def test_a_position_whose_series_is_gone_is_valued_at_cost_and_said_to_be(
    acme: BarSeries, place: Place, account: Account
) -> None:
    place()
    Position.objects.update(source="gone")
    summary = selectors.account_summary(selectors.account_default(), utcnow())
    assert summary["valued"] is False
    assert summary["positions"][0]["mark_price"] is None
    assert summary["positions_value"] == Decimal("1030.515")
    assert services.equity_record(account=account, wall=utcnow(), at_most_every_s=0) is None


def test_the_gate_misses_the_equity_of_an_account_that_cannot_be_valued(
    acme: BarSeries, prices: Prices, place: Place
) -> None:
    place()
    Position.objects.update(source="gone")
    prices.series("BETA", [(100, 101, 99, 100), (100, 101, 99, 100)])
    order = place(symbol="BETA", side="sell", client_order_id="two")
    assert (order.status, order.code) == ("denied", "EXPOSURE_EXCEEDS_LIMIT")
    assert "gross_exposure is not known" in order.detail


def test_the_curve_takes_one_point_a_minute(acme: BarSeries, place: Place, account: Account) -> None:
    now = utcnow()
    with clock.frozen(now):
        place()
    account = selectors.account_default()
    assert services.equity_record(account=account, wall=now + timedelta(seconds=59)) is None
    assert services.equity_record(account=account, wall=now + timedelta(seconds=60)) is not None
    curve = selectors.equity_curve(account)
    assert [point.at for point in curve] == [now, now + timedelta(seconds=60)]
    assert [point.at for point in selectors.equity_curve(account, limit=1)] == [now + timedelta(seconds=60)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 11, 12, 97, 100])
def test_a_long_curve_is_thinned_and_keeps_its_ends(account: Account, count: int) -> None:
    start = utcnow()
    EquitySnapshot.objects.bulk_create(
        EquitySnapshot(
            account=account, at=start + timedelta(minutes=n), cash=Decimal(1), positions_value=Decimal(n), equity=n + 1
        )
        for n in range(count)
    )
    minutes = [int(point.positions_value) for point in selectors.equity_history(account, points=10)]
    assert minutes == sorted(set(minutes))
    assert len(minutes) <= 10
    if count <= 10:
        assert minutes == list(range(count))
    else:
        assert (minutes[0], minutes[-1]) == (0, count - 1)
        step = (count - 1) // 9
        assert {later - earlier for earlier, later in pairwise(minutes)} <= {step, step + 1}, "evenly"


def test_a_curve_that_stood_still_for_long_is_thinned_evenly_in_time(account: Account) -> None:
    start = utcnow()
    minutes = [*range(50), *range(5000, 5050)]
    EquitySnapshot.objects.bulk_create(
        EquitySnapshot(account=account, at=start + timedelta(minutes=n), cash=n, positions_value=0, equity=n)
        for n in minutes
    )
    thinned = [int(point.cash) for point in selectors.equity_history(account, points=11)]
    assert thinned == [0, 49, 5049]


def test_a_curve_of_any_length_is_thinned_by_as_many_looks_as_points(account: Account) -> None:
    """What the database reads of the table is counted, not only what it answers."""
    other = Account.objects.create(name="Other", starting_cash=1, cash=1, currency="USD")
    start = utcnow()
    for each in (account, other):
        EquitySnapshot.objects.bulk_create(
            EquitySnapshot(account=each, at=start + timedelta(minutes=n), cash=1, positions_value=0, equity=1)
            for n in range(4000)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE equity_snapshot")
    with CaptureQueriesContext(connection) as asked:
        assert len(selectors.equity_history(account, points=20)) == 20
    statements = [each["sql"] for each in asked]
    assert len(statements) == 4
    assert rows_read(statements) < 4 * 20


def rows_read(statements: Sequence[str]) -> int:
    """Return how many rows of equity_snapshot the statements read; on SQLite, which does not count, 0 if none scans it."""
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
                plans = [plan for *_, plan in cursor.fetchall()]
                assert not [plan for plan in plans if "SCAN equity_snapshot" in plan]
                # To sort what is not asked for by its ids, all of the curve would be read first.
                assert " IN (" in statement or not [plan for plan in plans if "B-TREE" in plan]
        return 0
    read = 0
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
            (answer,) = cursor.fetchone()
            read += _read(json.loads(answer)[0]["Plan"] if isinstance(answer, str) else answer[0]["Plan"])
    return read


def _read(plan: Mapping[str, Any]) -> int:
    removed = plan.get("Rows Removed by Filter", 0)
    own = (
        (plan["Actual Rows"] + removed) * plan["Actual Loops"] if plan.get("Relation Name") == "equity_snapshot" else 0
    )
    return int(own) + sum(_read(each) for each in plan.get("Plans", []))


def test_the_brokers_book_and_the_desks_agree(acme: BarSeries, place: Place, account: Account) -> None:
    place()
    place(client_order_id="two", side="sell", quantity=Decimal(4))
    broker = broker_for(account, wall=utcnow())
    assert broker.account().cash == selectors.account_default().cash
    assert [(position.symbol, position.quantity) for position in broker.positions()] == [("ACME", Decimal(6))]
    assert selectors.position_quantity(account, "ACME") == Decimal(6)
    assert broker.open_orders() == []


def test_an_account_with_fills_keeps_its_starting_cash(acme: BarSeries, place: Place, actor: Actor) -> None:
    place()
    account = selectors.account_default()
    account.starting_cash = Decimal(5)
    with pytest.raises(AccountInUse):
        services.account_save(actor=actor, account=account)
    account = selectors.account_default()
    account.fee_rate = Decimal("0.002")
    assert services.account_save(actor=actor, account=account).cash == Decimal("98968.454485")


def test_cash_that_moved_at_the_broker_stays_when_an_account_without_fills_is_saved(
    account: Account, actor: Actor
) -> None:
    CashMovement.objects.create(id=uuid4(), account=account, amount=Decimal(250), detail="A deposit.")
    Account.objects.update(cash=Decimal(100_250))
    account.name = "Renamed"
    assert services.account_save(actor=actor, account=account).cash == Decimal(100_250)
    assert services.positions_check(account=account) == []
    account.starting_cash = Decimal(5)
    with pytest.raises(AccountInUse):
        services.account_save(actor=actor, account=account)


def test_the_starting_cash_stands_while_an_order_that_it_covers_is_open(
    prices: Prices, place: Place, account: Account, actor: Actor
) -> None:
    prices.series("ACME", [(100, 101, 99, 100)], clock="live")
    assert place().status == "accepted"
    account.starting_cash = Decimal(5)
    with pytest.raises(AccountInUse):
        services.account_save(actor=actor, account=account)
    assert selectors.account_default().cash == Decimal(100_000)


def test_only_one_account_is_the_default(account: Account, actor: Actor) -> None:
    second = services.account_save(
        actor=actor, account=Account(name="Second", starting_cash=Decimal(10), is_default=True)
    )
    assert second.cash == Decimal(10)
    assert selectors.account_default().pk == second.pk
    assert Account.objects.filter(is_default=True).count() == 1


def test_rebuild_positions_finds_and_mends_what_the_fills_do_not_say(
    acme: BarSeries, place: Place, account: Account
) -> None:
    place()
    out = StringIO()
    call_command("rebuild_positions", check=True, stdout=out)
    assert "Everything adds up" in out.getvalue()
    Position.objects.update(quantity=Decimal(11))
    Account.objects.update(cash=Decimal(1))
    with pytest.raises(CommandError, match="2 figures differ"):
        call_command("rebuild_positions", check=True, stdout=out)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]
    assert ["Paper account", "ACME", "quantity", "11", "10", "1"] in cells
    assert ["Paper account", "", "cash", "1", "98968.454485", "-98967.454485"] in cells
    call_command("rebuild_positions", stdout=out)
    assert Position.objects.get().quantity == Decimal(10)
    assert selectors.account_default().cash == Decimal("98968.454485")
    Position.objects.all().delete()
    call_command("rebuild_positions", stdout=out)
    assert Position.objects.get().cost == Decimal("1030.515")


amounts = st.decimals(min_value="0.01", max_value="500", places=4)


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(OrderSide), amounts, amounts), min_size=1, max_size=8))
def test_stored_positions_are_what_their_fills_add_up_to(
    acme: BarSeries, account: Account, trades: list[tuple[OrderSide, Decimal, Decimal]]
) -> None:
    for number, (side, quantity, price) in enumerate(trades):
        order = Order.objects.create(
            client_order_id=f"{Order.objects.count()}",
            account=account,
            instrument=Instrument.objects.get(symbol="ACME"),
            mode="paper",
            side=side,
            type="market",
            quantity=quantity,
            source="prices-historical",
            timeframe="1d",
            adjustment="none",
            status="submitted",
        )
        fill = BrokerFill(f"{order.client_order_id}-fill-{number}", price, quantity, Decimal("0.25"), utcnow())
        state = BrokerOrder(order.client_order_id, "venue", OrderStatus.FILLED, "ACME", side, quantity, fills=(fill,))
        for _ in range(2):
            assert fills.fills_apply(order_id=order.pk, state=state).status == "filled"
    assert services.positions_check(account=account) == []


def test_a_partial_fill_and_then_the_rest(acme: BarSeries, place: Place, account: Account) -> None:
    order = place(order_type="limit", limit_price=Decimal(50))

    def says(status: OrderStatus, *quantities: int) -> Order:
        found = tuple(
            BrokerFill(f"f{index}", Decimal(40 + index), Decimal(quantity), Decimal(1), utcnow())
            for index, quantity in enumerate(quantities)
        )
        state = BrokerOrder("one", "venue", status, "ACME", OrderSide.BUY, Decimal(10), fills=found)
        return fills.fills_apply(order_id=order.pk, state=state)

    after = says(OrderStatus.ACCEPTED, 4)
    assert (after.status, after.filled_quantity, after.average_price) == ("partially_filled", Decimal(4), Decimal(40))
    assert selectors.account_summary(selectors.account_default(), utcnow())["cash_reserved"] == Decimal("300.3")
    after = says(OrderStatus.FILLED, 4, 6)
    assert (after.status, after.average_price, after.fees) == ("filled", Decimal("40.6"), Decimal(2))
    # A late answer of before the second fill changes nothing.
    assert says(OrderStatus.ACCEPTED, 4).status == "filled"
    assert selectors.account_default().cash == Decimal(100_000 - 406 - 2)


def test_facts_of_an_order_are_json(acme: BarSeries, place: Place) -> None:
    facts: dict[str, Any] = json.loads(json.dumps(fills.order_facts(place())))
    assert (facts["status"], facts["filled_quantity"], facts["average_price"]) == ("filled", "10", "103.0515")


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["999999999.999999", "123456789.000001", "80488.338016", "-99999.999999"])
def test_an_amount_below_a_thousand_million_comes_back_from_either_database_as_it_went_in(text: str) -> None:
    account = Account.objects.create(name=f"exact {text}", starting_cash=Decimal(1), cash=Decimal(text))
    assert Account.objects.get(pk=account.pk).cash == Decimal(text)
