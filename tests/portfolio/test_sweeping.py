"""A kill cancels whatever can still fill, proves it by looking twice, and does not let go of it at a resume."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection

from portfolio import duties, services
from portfolio.brokers import OrderRequest, broker_for
from portfolio.choices import OrderSide, OrderType, TimeInForce
from portfolio.models import Account, Order, PaperOrder
from safety import services as safety
from safety.models import KillSweep, SafetySettings
from tests.portfolio.conftest import FIRST_DAY, FlakyBroker, Prices, answer_instead
from tests.safety.conftest import refusing_writes
from tradingsite.common import background, clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
Line = tuple[set[str], list[str]]
START = datetime(2026, 1, 5, 15, tzinfo=UTC)


@pytest.fixture
def rest(prices: Prices, place: Place) -> Callable[..., Order]:
    """Return a maker of orders that rest: limit buys far below the market."""
    prices.series("ACME", [(100, 101, 99, 100)])
    SafetySettings.objects.update(duplicate_window_s=0)

    def make(**changes: Any) -> Order:
        order = place(**{"order_type": "limit", "limit_price": Decimal(50), **changes})
        assert order.status == "accepted", order.detail
        return order

    return make


def at_the_broker_alone(account: Account, client_order_id: str) -> None:
    """Let an order rest in the broker's book that the desk knows nothing of."""
    broker_for(account, wall=utcnow()).submit(
        OrderRequest(
            client_order_id=client_order_id,
            symbol="ACME",
            side=OrderSide.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal(1),
            limit_price=Decimal(50),
            stop_price=None,
            time_in_force=TimeInForce.GTC,
            source="prices-historical",
            timeframe="1d",
            adjustment="none",
            market_time=FIRST_DAY,
        )
    )


def rounds(*seconds: float) -> KillSweep:
    for second in seconds:
        with clock.frozen(START + timedelta(seconds=second)):
            services.sweeps_work()
    return KillSweep.objects.latest("id")


def kill(**said: Any) -> None:
    with clock.frozen(START):
        safety.kill(actor=Actor.system("test"), **said)


def resume(operator: Actor, second: float) -> None:
    with clock.frozen(START + timedelta(seconds=second)):
        safety.resume(actor=operator, reason="checked")


def resting() -> set[str]:
    return set(PaperOrder.objects.filter(status="accepted").values_list("client_order_id", flat=True))


# ----------------------------------------------------------------------------------------------- as peers got it wrong


def test_go_trader_1462_an_order_without_a_position_is_cancelled_before_anything_is_called_flat(
    rest: Place, account: Account, line: Line
) -> None:
    rest(client_order_id="no-position")
    at_the_broker_alone(account, "not-of-the-desk")
    faults, _ = line
    faults.add("cancel lost on the way there")
    kill(flatten=True)
    unproven = rounds(1, 2, 3)
    assert (unproven.confirmed_at, unproven.clean_samples) == (None, 0)
    assert {each["client_order_id"] for each in unproven.remaining["orders"]} == {"no-position", "not-of-the-desk"}
    faults.clear()
    assert rounds(4, 5).confirmed_at is not None
    assert resting() == set()
    assert Order.objects.get().code == "KILL_SWITCH_ACTIVE"


def test_go_trader_1470_a_cancel_that_was_not_confirmed_is_retried_after_the_resume_whatever_became_of_its_strategy(
    rest: Place, account: Account, line: Line, operator_actor: Actor
) -> None:
    with clock.frozen(START - timedelta(minutes=1)):
        rest(client_order_id="of-a-strategy-that-is-gone", strategy_id=uuid4())
        at_the_broker_alone(account, "not-of-the-desk")
    faults, _ = line
    faults.add("cancel lost on the way there")
    kill()
    rounds(1)
    resume(operator_actor, 2)
    with clock.frozen(START + timedelta(seconds=3)):
        rest(client_order_id="after-the-resume")
        at_the_broker_alone(account, "foreign-after-the-resume")
    assert rounds(4).confirmed_at is None
    faults.clear()
    assert rounds(5, 6).confirmed_at is not None
    assert resting() == {"after-the-resume", "foreign-after-the-resume"}


def test_a_resume_before_the_first_round_lets_no_order_of_before_the_kill_live(
    rest: Place, operator_actor: Actor
) -> None:
    with clock.frozen(START - timedelta(minutes=1)):
        rest()
    kill()
    resume(operator_actor, 0.1)
    assert rounds(1, 2).confirmed_at is not None
    assert Order.objects.get().status == "cancelled"


def test_quantdinger_the_orders_of_live_accounts_are_cancelled_like_those_of_paper_ones(
    rest: Place, actor: Actor
) -> None:
    live = Account.objects.create(name="Live", mode="live", starting_cash=Decimal(10_000), cash=Decimal(10_000))
    SafetySettings.objects.update(paper_mode=False)
    rest(client_order_id="paper")
    order = services.order_place(
        actor=actor,
        account=live,
        symbol="ACME",
        side="buy",
        quantity=Decimal(1),
        order_type="limit",
        limit_price=Decimal(50),
        client_order_id="live",
        mode="live",
    )
    assert order.status == "accepted"
    # Paper mode on again must not keep a live order from being cancelled.
    SafetySettings.objects.update(paper_mode=True)
    kill()
    assert rounds(1, 2).confirmed_at is not None
    assert set(Order.objects.values_list("client_order_id", "status")) == {
        ("paper", "cancelled"),
        ("live", "cancelled"),
    }


# ------------------------------------------------------------------------------------------------------------- scopes


def test_a_killed_strategy_loses_its_own_orders_and_no_others(rest: Place, account: Account) -> None:
    one, other = uuid4(), uuid4()
    rest(client_order_id="its-own", strategy_id=one)
    rest(client_order_id="of-another", strategy_id=other)
    rest(client_order_id="by-hand")
    at_the_broker_alone(account, "not-of-the-desk")
    kill(scope=one)
    assert rounds(1, 2).confirmed_at is not None
    assert resting() == {"of-another", "by-hand", "not-of-the-desk"}


def test_an_order_that_the_desk_had_given_up_and_that_rests_at_the_broker_is_cancelled(rest: Place) -> None:
    order = rest()
    Order.objects.filter(pk=order.pk).update(status="cancelled")
    kill()
    rounds(1)
    assert resting() == set()


# ------------------------------------------------------------------------------------------------- what stands in its way


def test_a_broker_that_cannot_be_asked_keeps_the_sweep_from_being_confirmed(rest: Place, line: Line) -> None:
    faults, _ = line
    faults.add("open_orders lost on the way there")
    kill()
    sweep = rounds(1, 2, 3)
    assert sweep.confirmed_at is None
    assert sweep.remaining["unreachable"] == ["Paper account"]


def test_a_sender_that_slept_over_the_kill_is_cancelled_when_it_wakes_and_the_confirmation_taken_back(
    rest: Place, account: Account
) -> None:
    kill()
    assert rounds(1, 2).confirmed_at is not None
    at_the_broker_alone(account, "late")
    assert rounds(18).rounds == 3
    assert resting() == set()


def test_a_kill_does_not_wait_for_brokers_that_answer_slowly(
    rest: Place, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    for number in range(20):
        rest(client_order_id=f"order-{number}")

    class Slow(FlakyBroker):
        def __getattr__(self, name: str) -> Any:
            time.sleep(0.25)
            return super().__getattr__(name)

    answer_instead(monkeypatch, lambda inner: Slow(inner, set(), []))
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        safety.kill(actor=Actor.system("test"))
    # Twenty cancels would take five seconds and more.
    assert time.monotonic() - began < 3.5
    assert KillSweep.objects.get().remaining["orders"]
    assert Order.objects.filter(status="cancelled").exists()


class RemoteBroker(FlakyBroker):
    """A broker whose book is not in the desk's database: here a list."""

    def __init__(self, book: list[str]) -> None:
        self.book = book

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was not expected")

    def open_orders(self) -> list[Any]:
        return [_Resting(name) for name in self.book]

    def cancel(self, client_order_id: str) -> None:
        self.book.remove(client_order_id)


class _Resting:
    def __init__(self, client_order_id: str) -> None:
        self.client_order_id = client_order_id


@pytest.mark.django_db(transaction=True)
def test_a_round_without_time_asks_no_broker_and_confirms_nothing(rest: Place, line: Line) -> None:
    rest()
    kill()
    _, calls = line
    for second in (1, 2, 3):
        calls.clear()
        with clock.frozen(START + timedelta(seconds=second)):
            services.sweeps_work(within_s=-1)
        assert calls == []
    sweep = KillSweep.objects.get()
    assert (sweep.confirmed_at, sweep.clean_samples) == (None, 0)
    assert sweep.remaining["unreachable"] == ["Paper account"]
    assert rounds(4, 5).confirmed_at is not None


@pytest.mark.django_db(transaction=True)
def test_the_brokers_are_cleared_while_the_database_takes_no_writes(
    rest: Place, monkeypatch: pytest.MonkeyPatch, operator_actor: Actor
) -> None:
    rest(client_order_id="known")
    book = ["known", "not-of-the-desk"]
    answer_instead(monkeypatch, lambda inner: RemoteBroker(book))
    with refusing_writes():
        assert safety.kill(actor=operator_actor).sources == ("file",)
    assert book == []


@pytest.mark.django_db(transaction=True)
def test_a_kill_that_was_mended_sweeps_as_well(rest: Place, operator_actor: Actor) -> None:
    order = rest()
    with refusing_writes():
        safety.kill(actor=operator_actor)
    order.refresh_from_db()
    assert order.status == "accepted"
    assert safety.halves_mend() == 1
    order.refresh_from_db()
    assert (order.status, order.code) == ("cancelled", "KILL_SWITCH_ACTIVE")


def test_one_order_whose_cancel_fails_does_not_hold_the_others_up(rest: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        rest(client_order_id=name)

    class Picky(FlakyBroker):
        def cancel(self, client_order_id: str) -> Any:
            if client_order_id == "one":
                raise ConnectionResetError
            return self._inner.cancel(client_order_id)

    answer_instead(monkeypatch, lambda inner: Picky(inner, set(), []))
    kill()
    rounds(1)
    assert resting() == {"one"}


def test_a_database_that_goes_away_in_a_round_leaves_the_sweep_to_the_next_one(rest: Place) -> None:
    rest()
    kill()

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("gone")

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        services.sweeps_work()
    assert rounds(1, 2).confirmed_at is not None


def test_every_process_that_carries_work_sweeps_and_mends() -> None:
    assert background._duties["portfolio.kill_sweep"].run is duties.sweep
    assert background._duties["portfolio.kill_sweep"].every_s <= 1
    assert background._duties["safety.kill_switch"].run is safety.halves_mend
