"""Orders through Alpaca, against a loopback server that follows its documented API and fails where it is told to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest

from market.models import BarSeries
from portfolio import orders, services
from portfolio.brokers import BrokerNotConfigured, BrokerThrottled, BrokerUncertain, alpaca_http, broker_for
from portfolio.models import Account, Fill, Order
from safety import services as safety
from safety.models import AlertEvent
from tests.portfolio.conftest import agree
from tests.support.alpaca import SECRET, Book
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]


def settled() -> Order:
    services.orders_settle(wall=utcnow())
    return Order.objects.get()


def later() -> datetime:
    return utcnow() + orders.NOT_SENT_AFTER + timedelta(seconds=1)


# -------------------------------------------------------------------------------------------------------- as documented


def test_a_market_order_is_sent_as_text_and_filled_in_parts(book: Book, place: Place) -> None:
    book.parts = 4
    order = place()
    assert (order.status, order.average_price, order.fees) == ("filled", D(103), D(0))
    [body] = book.bodies
    assert body == {
        "symbol": "ACME",
        "qty": "10",
        "side": "buy",
        "type": "market",
        "time_in_force": "gtc",
        "client_order_id": "one",
    }
    assert Fill.objects.count() == 4
    assert all(fill.venue_fill_id.startswith("alpaca:") for fill in Fill.objects.all())
    assert agree(book)


@pytest.mark.parametrize(
    ("kind", "price"), [("limit", {"limit_price": D("90.50")}), ("stop", {"stop_price": D("120.25")})]
)
def test_a_limit_and_a_stop_order_rest_fill_and_are_cancelled(
    book: Book, place: Place, actor: Actor, kind: str, price: dict[str, Decimal]
) -> None:
    order = place(order_type=kind, **price, time_in_force="day")
    assert order.status == "accepted"
    [(name, value)] = price.items()
    assert (book.bodies[0]["type"], book.bodies[0][name], book.bodies[0]["time_in_force"]) == (
        kind,
        f"{value.normalize():f}",
        "day",
    )
    book.fill("one", "4", "90.25")
    order = settled()
    assert (order.status, order.filled_quantity) == ("partially_filled", D(4))
    order = services.order_cancel(actor=actor, order=order, reason="enough")
    assert (order.status, order.filled_quantity, order.detail) == ("cancelled", D(4), "enough")
    assert agree(book)


def test_more_fills_than_a_page_holds_are_all_read(book: Book, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portfolio.brokers.alpaca._FILLS_PER_PAGE", 3)
    book.parts, book.page = 10, 3
    assert place().status == "filled"
    assert Fill.objects.count() == 10
    assert agree(book)


def test_positions_cash_and_open_orders_are_read_as_decimals(
    book: Book, place: Place, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portfolio.brokers.alpaca._ORDERS_PER_PAGE", 2)
    book.positions = {"ACME": D("-3.5"), "BETA": D("0.000000001")}
    book.cash = D("12345.6789")
    for number in range(5):
        place(order_type="limit", limit_price=D(50 + number), client_order_id=str(number), quantity=D(1 + number))
    broker = broker_for(Account.objects.get(), wall=utcnow())
    assert [(p.symbol, p.quantity) for p in broker.positions()] == [("ACME", D("-3.5")), ("BETA", D("1e-9"))]
    assert broker.account().cash == D("12345.6789")
    assert [order.client_order_id for order in broker.open_orders()] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("end", ["expired", "canceled", "replaced", "rejected"])
def test_how_an_order_ended_is_said_in_the_desks_words(book: Book, place: Place, end: str) -> None:
    place(order_type="limit", limit_price=D(90))
    book.close("one", end)
    order = settled()
    words = {
        "expired": ("expired", ""),
        "canceled": ("cancelled", ""),
        "replaced": ("cancelled", "REPLACED_AT_BROKER"),
        "rejected": ("rejected", "BROKER_REJECTED"),
    }
    assert (order.status, order.code) == words[end]


def test_an_order_that_is_rejected_after_a_part_was_filled_is_over(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(90))
    book.fill("one", "4", "90")
    assert settled().status == "partially_filled"
    book.close("one", "rejected")
    order = settled()
    assert (order.status, order.code, order.filled_quantity) == ("rejected", "BROKER_REJECTED", D(4))
    assert agree(book)


def test_a_word_that_nobody_understands_changes_nothing(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(90))
    book.close("one", "teleported")
    assert settled().status == "accepted"


# ------------------------------------------------------------------------------------------------------------ refusals


def test_what_alpaca_refuses_is_rejected_in_its_words(book: Book, place: Place) -> None:
    book.cash = D(5)
    order = place()
    assert (order.status, order.code) == ("rejected", "BROKER_REJECTED")
    assert order.detail == "insufficient buying power (Alpaca 40310000)"


def test_a_client_order_id_that_alpaca_has_seen_is_looked_up_and_not_rejected(book: Book, place: Place) -> None:
    book.fail("submit", "close after")
    order = place()
    assert order.status == "unknown"
    Order.objects.filter(pk=order.pk).update(status="pending")
    assert place().status == "filled"
    assert (book.attempts["one"], len(book.orders), Fill.objects.count()) == (2, 1, 1)


def test_the_code_of_a_duplicate_with_another_message_is_a_rejection(book: Book, place: Place) -> None:
    book.submit = lambda body: (422, {"code": 40010001, "message": "qty is too odd"})  # type: ignore[method-assign]
    assert (place().status, Order.objects.get().detail) == ("rejected", "qty is too odd (Alpaca 40010001)")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"quantity": D("0.5")}, "BROKER_FRACTION_NEEDS_DAY"),
        ({"quantity": D("0.0000000001"), "time_in_force": "day"}, "BROKER_QUANTITY_PRECISION"),
        ({"order_type": "limit", "limit_price": D("90.001")}, "BROKER_PRICE_INCREMENT"),
        ({"order_type": "limit", "limit_price": D("0.00001")}, "BROKER_PRICE_INCREMENT"),
        ({"order_type": "stop", "stop_price": D("120.005")}, "BROKER_PRICE_INCREMENT"),
    ],
)
def test_what_alpaca_is_known_not_to_take_is_denied_and_never_sent(
    book: Book, place: Place, acme: BarSeries, said: dict[str, Any], code: str
) -> None:
    acme.instrument.quantity_precision, acme.instrument.lot_size = 10, D("0.0000000001")
    acme.instrument.save()
    order = place(**said)
    assert (order.status, order.code) == ("denied", code)
    assert book.calls == []


def test_a_fraction_for_the_day_is_sent_to_the_last_digit(book: Book, place: Place, acme: BarSeries) -> None:
    acme.instrument.quantity_precision, acme.instrument.lot_size = 9, D("0.000000001")
    acme.instrument.save()
    assert place(quantity=D("1.123456789"), time_in_force="day").status == "filled"
    assert book.bodies[0]["qty"] == "1.123456789"
    order = place(quantity=D("2.5"), side="sell", time_in_force="day", client_order_id="two")
    assert (order.status, order.detail) == ("rejected", "fractional orders cannot be sold short (Alpaca 40310000)")


# -------------------------------------------------------------------------------------------------- nobody can say

FAULTS = ["hang", "close", "garbage", "500", "502", "408", "302"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_lost_after_acceptance_is_unknown_and_resolved_by_asking(
    book: Book, place: Place, fault: str
) -> None:
    book.fail("submit", f"{fault} after")
    order = place()
    assert (order.status, order.code) == ("unknown", "BROKER_UNCERTAIN")
    assert settled().status == "filled"
    assert (book.attempts["one"], len(book.orders), Fill.objects.count()) == (1, 1, 1)
    assert agree(book)


@pytest.mark.parametrize("body", [{"message": "no"}, {"code": "40010001", "message": "no"}, ["no"], "no"])
def test_a_refusal_without_alpacas_code_is_not_alpacas(book: Book, place: Place, body: Any) -> None:
    book.submit = lambda said: (422, body)  # type: ignore[method-assign]
    order = place()
    assert (order.status, order.code) == ("unknown", "BROKER_UNCERTAIN")


def test_an_order_whose_refusal_cannot_be_looked_into_for_now_is_unknown_and_not_rejected(
    book: Book, place: Place
) -> None:
    book.fail("submit", "hang after")
    order = place()
    Order.objects.filter(pk=order.pk).update(status="pending")
    book.submit = lambda said: (422, {"code": 40010001, "message": "not unique"})  # type: ignore[method-assign]
    book.fail("order", "429 60 before")
    assert place().status == "unknown"
    alpaca_http._quiet_until.clear()
    assert settled().status == "filled"
    assert agree(book)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_that_never_arrived_is_not_sent_again_and_given_up(book: Book, place: Place, fault: str) -> None:
    book.fail("submit", f"{fault} before")
    assert place().status == "unknown"
    assert settled().status == "unknown"
    with clock.frozen(later()):
        order = settled()
    assert (order.status, order.code, book.attempts["one"], book.orders) == (
        "cancelled",
        "NOT_SENT",
        book.attempts["one"],
        {},
    )
    assert book.attempts["one"] <= 1


@pytest.mark.parametrize("fault", [*FAULTS, "404", "401"])
def test_a_lookup_that_cannot_be_read_never_says_that_the_order_is_not_there(
    book: Book, place: Place, fault: str
) -> None:
    book.fail("submit", "hang after")
    place()
    book.fail("order", f"{fault} before")
    with clock.frozen(later()):
        assert settled().status == "unknown"
    assert settled().status == "filled"


def test_wrong_keys_reject_an_order_and_never_make_one_unknown_to_the_broker(
    book: Book, place: Place, settings: Any
) -> None:
    assert place(order_type="limit", limit_price=D(90)).status == "accepted"
    settings.ALPACA_SECRET_KEY = "wrong"
    with clock.frozen(later()):
        assert settled().status == "accepted"
    refused = place(client_order_id="two", quantity=D(11))
    assert (refused.status, refused.detail) == ("rejected", "request is not authorized (Alpaca 40110000)")


def test_a_broker_that_is_not_there_leaves_the_order_unknown(book: Book, place: Place, settings: Any) -> None:
    settings.ALPACA_BASE_URL = "http://127.0.0.1:9"
    assert place().status == "unknown"


def test_an_answer_about_another_order_is_no_answer(book: Book, place: Place) -> None:
    take = book.take
    book.take = lambda body: {**take(body), "client_order_id": "other"}  # type: ignore[method-assign]
    assert place().status == "unknown"
    assert settled().status == "filled"


# ------------------------------------------------------------------------------------------------- too many requests


def test_a_429_is_waited_for_and_the_order_sent_once_it_is_over(book: Book, place: Place) -> None:
    book.fail("submit", "429 0.2 before", "429 0.2 before")
    began = utcnow()
    assert place().status == "filled"
    assert utcnow() - began >= timedelta(seconds=0.4)
    assert book.attempts["one"] == 1
    assert agree(book)


def test_a_429_that_asks_for_too_long_is_a_rejection_and_nothing_is_asked_meanwhile(book: Book, place: Place) -> None:
    book.fail("submit", "429 60 before")
    order = place()
    assert (order.status, order.code) == ("rejected", "BROKER_RATE_LIMITED")
    assert book.calls == ["submit"]
    assert place(client_order_id="two").code == "BROKER_RATE_LIMITED"
    with pytest.raises(BrokerThrottled):
        broker_for(Account.objects.get(), wall=utcnow()).account()
    assert book.calls == ["submit"]


def test_a_429_again_and_again_ends_in_a_rejection(book: Book, place: Place) -> None:
    book.fail("submit", *["429 0 before"] * 5)
    assert place().code == "BROKER_RATE_LIMITED"
    assert book.calls.count("submit") == orders.THROTTLED_TRIES
    assert book.attempts["one"] == 0


def test_after_the_last_try_nobody_waits(book: Book, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(orders.time, "sleep", waits.append)
    book.fail("submit", *["429 0 before"] * 5)
    place()
    assert len(waits) == orders.THROTTLED_TRIES - 1


def test_a_kill_while_an_order_waits_for_a_429_stops_it(
    book: Book, place: Place, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.fail("submit", "429 0.1 before")
    monkeypatch.setattr(
        orders.time, "sleep", lambda seconds: safety.kill(actor=operator_actor, reason="while it waits")
    )
    order = place()
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")
    assert book.orders == {}


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "2"}, 2, 2),
        ({"Retry-After": format_datetime(datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC))}, 7, 7),
        ({"X-RateLimit-Reset": str(datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC).timestamp())}, 9, 9),
        ({"Retry-After": "soon"}, 1, 1),
        ({"Retry-After": "-4"}, 0, 1),
        ({"Retry-After": "9999999"}, 300, 300),
        ({}, 1, 1),
    ],
)
def test_how_long_to_be_quiet_is_read_in_each_form(headers: dict[str, str], least: float, most: float) -> None:
    with clock.frozen(datetime(2026, 1, 1, tzinfo=UTC)):
        assert least <= alpaca_http._wait_s(headers) <= most


# ------------------------------------------------------------------------------------------------- duplicated and late


def test_fills_that_are_listed_twice_count_once(book: Book, place: Place) -> None:
    book.parts, book.twice = 2, True
    assert place().status == "filled"
    assert Fill.objects.count() == 2
    assert not AlertEvent.objects.exists()
    assert agree(book)


def test_an_order_is_not_over_before_its_late_fills_have_come(book: Book, place: Place) -> None:
    book.late_fills = True
    order = place()
    assert (order.status, order.filled_quantity) == ("accepted", D(0))
    assert settled().is_open
    book.late_fills = False
    assert settled().status == "filled"
    assert agree(book)


@pytest.mark.parametrize("fault", FAULTS)
def test_fills_that_cannot_be_read_are_asked_for_again(book: Book, place: Place, fault: str) -> None:
    book.fail("fills", f"{fault} before")
    assert place().status == "accepted"
    assert settled().status == "filled"
    assert agree(book)


def test_a_cancel_that_meets_a_fill_ends_in_the_fill(book: Book, place: Place, actor: Actor) -> None:
    order = place(order_type="limit", limit_price=D(90))
    cancel = book.cancel

    def fill_first(order_id: str) -> Any:
        book.fill("one", "10", "90")
        return cancel(order_id)

    book.cancel = fill_first  # type: ignore[method-assign]
    assert services.order_cancel(actor=actor, order=order).status == "filled"
    assert agree(book)


# --------------------------------------------------------------------------------------------------------- not set up


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ALPACA_KEY_ID": ""}, "ALPACA_KEY_ID"),
        ({"ALPACA_SECRET_KEY": ""}, "ALPACA_SECRET_KEY"),
        ({"ALPACA_BASE_URL": "http://paper-api.alpaca.markets"}, "https://"),
        ({"ALPACA_BASE_URL": "https://api.alpaca.markets"}, "real money"),
        ({"ALPACA_TIMEOUT_S": 0}, "ALPACA_TIMEOUT_S"),
        ({"ALPACA_TIMEOUT_S": 120}, "ALPACA_TIMEOUT_S"),
    ],
)
def test_an_account_that_is_not_set_up_places_nothing_and_says_what_is_missing(
    book: Book, place: Place, settings: Any, changes: dict[str, Any], said: str
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    with pytest.raises(BrokerNotConfigured, match=said):
        place()
    assert not Order.objects.exists()


def test_without_the_extra_it_says_how_to_install_it(book: Book, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("portfolio.brokers.alpaca.importlib.import_module", gone)
    with pytest.raises(BrokerNotConfigured, match=r"pip install '\.\[alpaca\]'"):
        place()


def test_a_secret_never_stands_in_what_went_wrong(book: Book, place: Place) -> None:
    book.fail("account", "500 before", "garbage before")
    broker = broker_for(Account.objects.get(), wall=utcnow())
    for _ in range(2):
        with pytest.raises(BrokerUncertain) as lost:
            broker.account()
        assert SECRET not in str(lost.value)
