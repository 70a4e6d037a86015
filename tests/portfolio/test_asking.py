"""How often a broker is asked: once for all orders, by one process at a time, and for a kill whatever else waits."""

import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connections

from portfolio import duties, orders, services, settling
from portfolio.brokers import BrokerThrottled, alpaca_http, broker_for
from portfolio.models import Account, BrokerRound, Order
from safety import services as safety
from safety.models import KillSweep, SafetySettings
from tests.portfolio.conftest import agree
from tests.support.alpaca import Book
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]
OUTSIDE = {"symbol": "ACME", "qty": "7", "side": "buy", "type": "limit", "limit_price": "9", "time_in_force": "gtc"}


@pytest.fixture
def resting(book: Book, place: Place) -> Callable[[int], Book]:
    """Return a maker of so many orders that rest at Alpaca; the calls are counted from then on."""
    SafetySettings.objects.update(duplicate_window_s=0, order_rate_limit=1000, daily_trade_limit=1000)

    def make(count: int) -> Book:
        for number in range(count):
            order = place(order_type="limit", limit_price=D("0.5"), client_order_id=f"order-{number:02}", quantity=D(1))
            assert order.status == "accepted", order.detail
        book.calls.clear()
        return book

    return make


def rounds_of(processes: int, *moments: datetime) -> None:
    """Do the duty's round in each of so many processes at each moment, one after the other."""
    for moment in moments:
        with clock.frozen(moment):
            for _ in range(processes):
                duties.settle()


def every(seconds: float, times: int) -> list[datetime]:
    began = utcnow()
    return [began + timedelta(seconds=seconds * number) for number in range(times)]


# ------------------------------------------------------------------------------------------------- one list for all


def test_fifty_orders_take_one_request_a_round_however_many_processes_there_are(
    resting: Callable[[int], Book],
) -> None:
    book = resting(50)
    rounds_of(4, *every(2, 3))
    assert book.calls == ["open_orders"] * 3


def test_only_what_changed_is_asked_for_by_itself(resting: Callable[[int], Book]) -> None:
    book = resting(6)
    book.fill("order-01", "0.25", "0.5")  # rests, with a fill that the desk does not know
    book.fill("order-02", "1", "0.5")  # rests no more
    book.close("order-03", "expired")
    rounds_of(1, utcnow())
    assert sorted(book.calls) == ["fills", "fills", "open_orders", "order", "order", "order"]
    assert dict(Order.objects.exclude(status="accepted").values_list("client_order_id", "status")) == {
        "order-01": "partially_filled",
        "order-02": "filled",
        "order-03": "expired",
    }
    book.calls.clear()
    rounds_of(1, utcnow() + timedelta(seconds=5))
    assert book.calls == ["open_orders"]


def test_an_order_whose_answer_was_lost_is_found_in_the_list(resting: Callable[[int], Book]) -> None:
    book = resting(3)
    Order.objects.filter(client_order_id="order-01").update(status="unknown", venue_order_id="")
    rounds_of(1, utcnow())
    order = Order.objects.get(client_order_id="order-01")
    assert (order.status, bool(order.venue_order_id), book.calls) == ("accepted", True, ["open_orders"])


def test_a_list_that_nobody_can_read_keeps_no_order_from_being_settled(resting: Callable[[int], Book]) -> None:
    book = resting(3)
    book.fail("open_orders", "garbage before")
    book.fill("order-01", "1", "0.5")
    rounds_of(1, utcnow())
    assert Order.objects.get(client_order_id="order-01").status == "filled"


def test_a_comparison_reads_the_list_as_well_and_not_each_order(resting: Callable[[int], Book]) -> None:
    book = resting(10)
    assert services.account_reconcile(account=Account.objects.get(), wall=utcnow()).compared
    assert "order" not in book.calls
    assert book.calls.count("open_orders") == 3


# ----------------------------------------------------------------------------------------------- one process at a time


def test_a_round_that_another_process_does_is_left_to_it_until_it_seems_dead(resting: Callable[[int], Book]) -> None:
    book = resting(2)
    now = utcnow()
    with clock.frozen(now):
        assert settling._taken(Account.objects.get(), 0) is not None
    rounds_of(1, now + settling.LEASE - timedelta(seconds=1))
    assert book.calls == []
    rounds_of(1, now + settling.LEASE)
    assert book.calls == ["open_orders"]


def test_a_process_whose_clock_is_an_hour_fast_holds_nobody_up_when_it_dies(resting: Callable[[int], Book]) -> None:
    book = resting(2)
    now = utcnow()
    with clock.frozen(now + timedelta(hours=1)):
        duties.settle()
        assert settling._taken(Account.objects.get(), 0) is not None
    book.calls.clear()
    rounds_of(1, now)
    assert book.calls == ["open_orders"]


def test_a_kill_is_swept_though_a_process_whose_clock_is_an_hour_fast_has_swept_before(
    resting: Callable[[int], Book],
) -> None:
    book = resting(2)
    began = utcnow()
    with clock.frozen(began):
        safety.kill(actor=Actor.system("test"))
    book.fail("cancel", "500 before", "500 before")
    kill_rounds(began, [3600])
    sweep = kill_rounds(began, [2, 3])
    assert {row["status"] for row in book.orders.values()} == {"canceled"}
    assert sweep.confirmed_at is not None


def test_a_round_that_broke_off_leaves_the_next_one_free(
    resting: Callable[[int], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = resting(2)

    def die(*args: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(settling, "_round", die)
        with pytest.raises(MemoryError):
            services.orders_settle(wall=utcnow())
    services.orders_settle(wall=utcnow())
    assert book.calls == ["open_orders"]


def test_a_long_round_keeps_its_lease_and_stops_once_another_process_has_it(
    resting: Callable[[int], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = resting(4)
    monkeypatch.setattr(settling, "LEASE", timedelta(0))
    settle, seen = settling._settle, []

    def slow(**said: Any) -> Any:
        seen.append(said["order"].client_order_id)
        if len(seen) == 2:
            BrokerRound.objects.update(holder=None)
        return settle(**said)

    monkeypatch.setattr(settling, "_settle", slow)
    services.orders_settle(wall=utcnow())
    assert seen == ["order-00", "order-01"]
    assert book.calls == ["open_orders"]


def four_at_once() -> None:
    start, moment = threading.Barrier(4), utcnow()

    def work() -> None:
        start.wait(10)
        try:
            with clock.frozen(moment):
                duties.settle()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_four_processes_at_once_one_asks(resting: Callable[[int], Book]) -> None:
    book = resting(10)
    four_at_once()
    assert book.calls == ["open_orders"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_control_without_the_claim_all_four_ask(
    resting: Callable[[int], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Everybody:
        def held(self) -> bool:
            return True

        def end(self) -> None: ...

    monkeypatch.setattr(settling, "_taken", lambda account, at_most_every_s: Everybody())
    book = resting(10)
    four_at_once()
    assert book.calls == ["open_orders"] * 4


# ---------------------------------------------------------------------------------------------- too many requests


@contextmanager
def silenced(book: Book, *, urgent_s: float, patch: pytest.MonkeyPatch) -> Any:
    """Let Alpaca have asked for five minutes of patience; what is urgent waits `urgent_s`."""
    patch.setattr(alpaca_http, "URGENT_QUIET_S", urgent_s)
    book.fail("account", "429 300 before")
    with pytest.raises(BrokerThrottled) as told:
        broker_for(Account.objects.get(), wall=utcnow()).account()
    assert told.value.retry_after_s == 300
    book.calls.clear()
    yield
    with pytest.raises(BrokerThrottled):
        broker_for(Account.objects.get(), wall=utcnow()).account()


def test_a_cancel_waits_seconds_and_not_minutes_for_a_broker_that_asks_for_patience(
    book: Book, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(order_type="limit", limit_price=D(50))
    with silenced(book, urgent_s=3, patch=monkeypatch):
        with pytest.raises(BrokerThrottled) as told:
            broker_for(Account.objects.get(), wall=utcnow()).cancel("one")
        assert 0 < told.value.retry_after_s <= 3
        assert book.calls == [], "nor does it go on at once"


def test_a_cancel_that_is_throttled_itself_comes_back_after_seconds(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(50))
    book.fail("order", "429 300 before")
    with pytest.raises(BrokerThrottled) as told:
        broker_for(Account.objects.get(), wall=utcnow()).cancel("one")
    assert told.value.retry_after_s == alpaca_http.URGENT_QUIET_S <= 5


def test_a_kill_finds_and_cancels_everything_while_reads_are_silent(
    book: Book, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(order_type="limit", limit_price=D(50))
    book.take({**OUTSIDE, "client_order_id": "not-of-the-desk"})
    with silenced(book, urgent_s=0, patch=monkeypatch):
        safety.kill(actor=Actor.system("test"))
        services.sweeps_work()
        assert {row["status"] for row in book.orders.values()} == {"canceled"}
    assert Order.objects.get().status == "cancelled"


def test_what_makes_a_position_smaller_is_sent_while_a_purchase_waits(
    book: Book, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place()
    with silenced(book, urgent_s=0, patch=monkeypatch):
        assert place(client_order_id="more", quantity=D(1)).code == "BROKER_RATE_LIMITED"
        too_much = place(client_order_id="turned round", side="sell", quantity=D(11))
        assert too_much.code == "BROKER_RATE_LIMITED"
        assert book.calls == []
        sold = place(client_order_id="less", side="sell", quantity=D(4))
        # Its fills are read with the same leave; the order's own answer says that it is filled.
        assert (book.calls[0], book.attempts["less"]) == ("submit", 1)
    alpaca_http._quiet_until.clear()
    services.orders_settle(wall=utcnow())
    assert Order.objects.get(pk=sold.pk).status == "filled"
    assert agree(book)


def test_a_settling_whose_list_is_refused_has_asked_for_its_cancels_before(
    resting: Callable[[int], Book], actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = resting(4)
    book.fail("cancel", "500 before")
    services.order_cancel(actor=actor, order=Order.objects.get(client_order_id="order-03"))
    book.fail("open_orders", "429 300 before")
    services.orders_settle(wall=utcnow() + timedelta(seconds=1))
    assert Order.objects.get(client_order_id="order-03").status == "cancelled"
    assert Order.objects.filter(status="accepted").count() == 3


# ------------------------------------------------------------------------------------------------- a kill's rounds


def kill_rounds(began: datetime, seconds: Iterable[float]) -> KillSweep:
    for second in seconds:
        with clock.frozen(began + timedelta(seconds=second)):
            services.sweeps_work()
    return KillSweep.objects.get()


def test_a_kills_round_asks_for_the_list_once_and_for_each_cancel_once(resting: Callable[[int], Book]) -> None:
    book = resting(5)
    book.take({**OUTSIDE, "client_order_id": "not-of-the-desk"})
    book.fail("cancel", *["500 before"] * 6)
    began = utcnow()
    with clock.frozen(began):
        safety.kill(actor=Actor.system("test"))
    sweep = kill_rounds(began, [1])
    assert (book.calls.count("open_orders"), book.calls.count("cancel")) == (1, 6)
    assert {each["client_order_id"] for each in sweep.remaining["orders"]} == {
        *(f"order-{number:02}" for number in range(5)),
        "not-of-the-desk",
    }
    book.calls.clear()
    assert kill_rounds(began, [2]).clean_samples == 1
    assert (book.calls.count("open_orders"), book.calls.count("cancel")) == (1, 6)
    assert kill_rounds(began, [3]).confirmed_at is not None


def test_a_cancel_that_is_never_confirmed_is_asked_for_less_and_less_often_and_never_given_up(
    resting: Callable[[int], Book], operator_actor: Actor
) -> None:
    book = resting(1)
    book.fail("cancel", *["500 before"] * 10_000)
    began = utcnow() + timedelta(seconds=1)
    with clock.frozen(began):
        safety.kill(actor=Actor.system("test"))
    asked = []
    for second in range(1, 200):
        if second == 100:
            with clock.frozen(began + timedelta(seconds=second)):
                safety.resume(actor=operator_actor, reason="checked")
        book.calls.clear()
        kill_rounds(began, [second])
        if "cancel" in book.calls:
            assert book.calls.count("cancel") == 1
            asked.append(second)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:3] == [1, 1, 1]
    assert waits == sorted(waits)
    assert 25 <= waits[-1] <= 31
    assert asked[-1] > 165, "also after the resume"
    book.faults.clear()
    kill_rounds(began, range(200, 235))
    assert Order.objects.get().status == "cancelled"
    assert KillSweep.objects.get().confirmed_at is not None


def test_a_kill_asks_at_once_for_what_a_person_had_asked_for_before(
    resting: Callable[[int], Book], actor: Actor
) -> None:
    book = resting(1)
    order = Order.objects.get()
    now = utcnow()
    book.fail("cancel", "500 before", "500 before")
    for second in (-100, -1):
        with clock.frozen(now + timedelta(seconds=second)):
            services.order_cancel(actor=actor, order=order)
    with clock.frozen(now):
        services.orders_settle(wall=utcnow())
        assert book.calls.count("cancel") == 2, "it waits its time"
        safety.kill(actor=Actor.system("test"))
    with clock.frozen(now + timedelta(seconds=1)):
        services.sweeps_work()
    assert Order.objects.get().status == "cancelled"


def test_of_two_that_ask_for_the_same_cancel_the_later_one_looks_only(
    resting: Callable[[int], Book], actor: Actor
) -> None:
    book = resting(1)
    order = Order.objects.select_related("account").get()
    book.fail("cancel", "500 before")
    services.order_cancel(actor=actor, order=order)
    book.calls.clear()
    after, _ = settling._cancel(order, "", utcnow())
    assert (after.status, book.calls) == ("accepted", ["order"])
    assert orders.cancel_ask(actor=actor, order=after, once=True)[0].status == "cancelled"
