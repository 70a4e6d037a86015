"""What a broker tells of one order and no column holds: it keeps neither a settling nor a kill from the others."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from portfolio import services
from portfolio.models import Order
from safety import services as safety
from tests.support.alpaca import Book
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]


@pytest.fixture
def rubbish(book: Book, place: Place) -> Book:
    """The oldest of three orders that rest has been filled, in part, for more than there is money."""
    for number in range(3):
        place(order_type="limit", limit_price=Decimal(50), client_order_id=str(number), quantity=Decimal(10 + number))
    book.fill("0", "4", "999999999999999999")
    return book


def test_the_other_orders_are_settled(rubbish: Book) -> None:
    rubbish.fill("1", "11", "50")
    services.orders_settle(wall=utcnow())
    assert Order.objects.get(client_order_id="1").status == "filled"
    assert Order.objects.get(client_order_id="0").filled_quantity == 0


def test_a_kill_cancels_all_of_them_at_the_broker(rubbish: Book) -> None:
    began = utcnow()
    safety.kill(actor=Actor.system("test"))
    for second in (1, 2):
        with clock.frozen(began + timedelta(seconds=second)):
            services.sweeps_work()
    assert {row["status"] for row in rubbish.orders.values()} == {"canceled"}
    assert Order.objects.filter(status="cancelled").count() == 2
