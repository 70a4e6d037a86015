"""Orders that somebody made at the broker in ways that the desk has not: a kill ends them, and they hide no others."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from portfolio import services
from portfolio.models import Account, Order
from safety import services as safety
from safety.models import KillSweep, ReconciliationBlock
from tests.support.alpaca import Book
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
PLAIN = {"symbol": "ACME", "qty": "7", "side": "buy", "type": "limit", "limit_price": "9", "time_in_force": "gtc"}
ODD = [
    {"qty": None, "notional": "500", "limit_price": None, "type": "market", "symbol": "BETA"},
    {"symbol": "", "side": "", "order_class": "mleg"},
    {"symbol": None, "side": None, "order_class": "mleg"},
    {"status": "pending_teleport"},
]


@pytest.fixture(params=ODD, ids=["a sum of money", "legs", "legs without words", "a new word"])
def odd(request: pytest.FixtureRequest, book: Book, place: Place, monkeypatch: pytest.MonkeyPatch) -> Book:
    """Two orders of the desk and, between them, one that is odd, and after them a foreign one that is not."""
    monkeypatch.setattr("tests.support.alpaca.OPEN", ("accepted", "partially_filled", "pending_teleport"))
    place(order_type="limit", limit_price=Decimal(50))
    row = book.take({**PLAIN, **request.param, "client_order_id": "odd"})
    row |= request.param
    place(order_type="limit", limit_price=Decimal(50), client_order_id="two", quantity=Decimal(2))
    book.take({**PLAIN, "client_order_id": "plain"})
    return book


def test_a_kill_ends_them_and_what_rests_beside_them(odd: Book) -> None:
    began = utcnow()
    safety.kill(actor=Actor.system("test"))
    for second in (1, 2, 3):
        with clock.frozen(began + timedelta(seconds=second)):
            services.sweeps_work()
    assert {row["status"] for row in odd.orders.values()} == {"canceled"}
    assert KillSweep.objects.get().confirmed_at is not None


def test_a_comparison_reads_the_others_and_blocks_for_them_by_name(odd: Book) -> None:
    account = Account.objects.get()
    found = services.account_reconcile(account=account, wall=utcnow())
    assert found.compared
    assert {each.what for each in found.differences} == {"odd", "plain"}
    assert ReconciliationBlock.objects.get().code == "ORDER_UNKNOWN_TO_DESK"
    assert Order.objects.filter(client_order_id="plain", status="accepted").exists()


# -------------------------------------------------------------------------------------------------- asked and asked


def rounds(book: Book, seconds: int) -> list[int]:
    """Do the rounds of a kill for so many seconds, and return in which of them a cancel was asked for."""
    began = utcnow() + timedelta(seconds=1)
    with clock.frozen(began):
        safety.kill(actor=Actor.system("test"))
    asked = []
    for second in range(1, seconds):
        book.calls.clear()
        with clock.frozen(began + timedelta(seconds=second)):
            services.sweeps_work()
        if "cancel" in book.calls:
            assert book.calls.count("cancel") == 1
            asked.append(second)
    return asked


def test_a_cancel_of_a_foreign_order_that_is_never_confirmed_is_asked_for_less_and_less_often_and_never_given_up(
    book: Book,
) -> None:
    book.take({**PLAIN, "client_order_id": "plain"})
    book.fail("cancel", *["500 before"] * 1000)
    asked = rounds(book, 200)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:3] == [1, 1, 1]
    assert waits == sorted(waits)
    assert 20 <= waits[-1] <= 31
    assert asked[-1] > 160
    assert KillSweep.objects.get().confirmed_at is None
    book.faults.clear()
    with clock.frozen(utcnow() + timedelta(hours=1)):
        services.sweeps_work()
    assert {row["status"] for row in book.orders.values()} == {"canceled"}


def test_what_the_broker_lists_and_says_not_to_know_is_not_called_closed(book: Book) -> None:
    book.take({**PLAIN, "client_order_id": "plain"})
    book.order = lambda client_order_id: (404, {"code": 40410000, "message": "order not found"})  # type: ignore[method-assign]
    rounds(book, 5)
    sweep = KillSweep.objects.get()
    assert (sweep.confirmed_at, sweep.clean_samples) == (None, 0)
    [left] = sweep.remaining["orders"]
    assert left["client_order_id"] == "plain"
