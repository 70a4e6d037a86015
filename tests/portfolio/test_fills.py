"""Fills as brokers tell of them: in parts, late, twice, too many, and such as cannot be."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from market.models import BarSeries
from portfolio import fills, services
from portfolio.brokers import BrokerFill, BrokerOrder
from portfolio.choices import OrderSide, OrderStatus
from portfolio.fills import order_move
from portfolio.models import Account, Fill, Order, Position
from safety.errors import LedgerReadOnly
from safety.models import AlertEvent
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]
Says = Callable[..., Order]


def fill(name: str, quantity: str, price: str = "40") -> BrokerFill:
    return BrokerFill(name, D(price), D(quantity), D(0), utcnow())


@pytest.fixture
def says(acme: BarSeries, place: Place, account: Account) -> Says:
    """Return what the broker says of an order for ten that rests: a status, its fills, and how much it calls filled."""
    order = place(order_type="limit", limit_price=D(50))

    def tell(status: str, *told: BrokerFill, filled: str | None = None) -> Order:
        state = BrokerOrder(
            "one",
            "venue",
            OrderStatus(status),
            "ACME",
            OrderSide.BUY,
            D(10),
            fills=told,
            filled_quantity=None if filled is None else D(filled),
        )
        return fills.fills_apply(order_id=order.pk, state=state)

    return tell


def held() -> Decimal:
    return Position.objects.values_list("quantity", flat=True).get()


def test_a_fill_that_is_told_twice_in_one_answer_is_taken_once(says: Says) -> None:
    order = says("accepted", fill("a", "4"), fill("a", "4"))
    assert (order.status, order.filled_quantity, held()) == ("partially_filled", D(4), D(4))
    assert says("accepted", fill("a", "4")).filled_quantity == D(4)
    assert Fill.objects.count() == 1
    assert not AlertEvent.objects.exists()


@pytest.mark.parametrize("status", ["cancelled", "expired"])
def test_a_fill_that_comes_after_the_end_still_counts(says: Says, status: str) -> None:
    assert says(status).status == status
    order = says(status, fill("late", "4"))
    assert (order.status, order.filled_quantity, held()) == (status, D(4), D(4))
    assert says(status, fill("late", "4"), fill("later", "6")).status == "filled"


def test_a_broker_that_says_filled_before_its_fills_come_is_asked_again(says: Says) -> None:
    order = says("filled", fill("a", "4"))
    assert (order.status, order.is_open) == ("partially_filled", True)
    assert says("filled", fill("a", "4"), fill("b", "6")).status == "filled"


def test_an_order_that_was_cancelled_half_filled_is_over_when_its_fills_have_come(says: Says) -> None:
    assert says("cancelled", filled="4").is_open
    order = says("cancelled", fill("a", "4"), filled="4")
    assert (order.status, order.filled_quantity) == ("cancelled", D(4))


def test_one_fill_too_many_is_taken_and_flagged_once(says: Says, account: Account) -> None:
    order = says("filled", fill("a", "10"), fill("b", "3"))
    assert (order.status, order.code, order.filled_quantity, order.remaining) == ("filled", "OVERFILLED", D(13), D(0))
    assert order.detail == "13 were filled where 10 were ordered."
    assert held() == D(13)
    says("filled", fill("a", "10"), fill("b", "3"))
    assert [(a.name, a.severity) for a in AlertEvent.objects.all()] == [("OVERFILLED", "critical")]
    assert services.positions_check(account=account) == []


def test_a_fill_too_many_after_the_end_is_flagged_too(says: Says) -> None:
    assert says("filled", fill("a", "10")).code == ""
    order = says("filled", fill("a", "10"), fill("b", "1"))
    assert (order.status, order.code, held()) == ("filled", "OVERFILLED", D(11))


@pytest.mark.parametrize(
    "impossible", [fill("b", "0"), fill("b", "-1"), fill("b", "NaN"), fill("b", "1", "0"), fill("b", "1", "Infinity")]
)
def test_a_fill_that_cannot_be_is_told_of_and_the_others_are_taken(says: Says, impossible: BrokerFill) -> None:
    for _ in range(2):
        order = says("accepted", impossible, fill("a", "4"))
    assert (order.filled_quantity, Fill.objects.count()) == (D(4), 1)
    assert [a.name for a in AlertEvent.objects.all()] == ["FILL_CONFLICT"]


def test_a_fill_that_changes_afterwards_is_told_of_and_not_taken(says: Says) -> None:
    says("accepted", fill("a", "4"))
    assert says("accepted", fill("a", "5")).filled_quantity == D(4)
    assert "another content" in AlertEvent.objects.get().message


def test_a_fill_belongs_to_one_order_only(says: Says, place: Place) -> None:
    says("accepted", fill("a", "4"))
    other = place(client_order_id="two", order_type="limit", limit_price=D(51))
    state = BrokerOrder("two", "v2", OrderStatus.ACCEPTED, "ACME", OrderSide.BUY, D(10), fills=(fill("a", "4"),))
    assert fills.fills_apply(order_id=other.pk, state=state).filled_quantity == D(0)
    assert AlertEvent.objects.get().name == "FILL_CONFLICT"
    assert held() == D(4)


def test_a_fill_is_never_changed_and_never_removed(says: Says) -> None:
    says("accepted", fill("a", "4"))
    row = Fill.objects.get()
    row.quantity = D(5)
    for change in (row.save, row.delete, Fill.objects.all().delete, lambda: Fill.objects.update(quantity=D(5))):
        with pytest.raises(LedgerReadOnly):
            change()
    assert Fill.objects.get().quantity == D(4)


def test_an_expired_order_goes_nowhere_but_to_filled(says: Says, actor: Actor) -> None:
    order = says("expired")
    with pytest.raises(Exception, match="cannot become cancelled"):
        order_move(actor=actor, order=order, status=OrderStatus.CANCELLED)
