"""A cancel that was asked for while an order was on its way: it is never sent after that."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from portfolio import orders, services
from portfolio.models import Order
from safety import services as safety
from tests.support.alpaca import Book
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]


def dies_before_it_sends(place: Place, patch: pytest.MonkeyPatch) -> Order:
    """Return an order that its process had claimed and not sent yet when it died."""

    def die(**said: Any) -> Any:
        raise MemoryError

    with patch.context() as dying:
        dying.setattr(orders, "_submit_patiently", die)
        with pytest.raises(MemoryError):
            place()
    order = Order.objects.get()
    assert order.status == "submitted"
    return order


def test_what_a_person_cancelled_is_not_sent_by_the_run_that_goes_on(
    book: Book, place: Place, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = dies_before_it_sends(place, monkeypatch)
    assert services.order_cancel(actor=actor, order=order).cancel_requested_at is not None
    assert place().status == "submitted"
    assert book.attempts == {}


def test_what_a_kill_cancelled_is_not_sent_after_the_resume(
    book: Book, place: Place, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_before_it_sends(place, monkeypatch)
    safety.kill(actor=operator_actor, reason="stop")
    services.sweeps_work()
    safety.resume(actor=operator_actor, reason="checked")
    assert place().status == "submitted"
    assert book.attempts == {}


def test_what_is_cancelled_while_it_waits_for_a_429_is_not_sent(
    book: Book, place: Place, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.fail("submit", "429 0 before")
    monkeypatch.setattr(
        orders.time,
        "sleep",
        lambda seconds: services.order_cancel(actor=actor, order=Order.objects.get(), reason="changed my mind"),
    )
    order = place()
    assert (order.status, order.code, order.filled_quantity) == ("cancelled", "NOT_SENT", Decimal(0))
    assert book.orders == {}
