"""How an order lives: figures by hand, once and only once, whatever breaks."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from market.models import BarSeries, Instrument
from portfolio import orders, services
from portfolio.errors import ClientOrderIdReused
from portfolio.models import Account, EquitySnapshot, Fill, Order, PaperOrder, Position
from safety import services as safety
from safety.models import AuditLog, GateDecision, SafetySettings
from tests.portfolio.conftest import FIRST_DAY, Prices
from tests.support.alpaca import Book
from tests.support.counted import trades_counted
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import ValidationFailed

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
Line = tuple[set[str], list[str]]


class Crash(BaseException):
    """The process dies here."""


def cash_of(account: Account) -> Decimal:
    return Account.objects.get(pk=account.pk).cash


def late() -> datetime:
    return utcnow() + orders.NOT_SENT_AFTER + timedelta(seconds=1)


# ------------------------------------------------------------------------------------------------------- by hand


def test_a_market_buy_fills_at_the_next_open_with_slippage_and_fee(
    acme: BarSeries, place: Place, account: Account
) -> None:
    order = place()
    assert (order.status, order.filled_quantity, order.average_price) == ("filled", Decimal(10), Decimal("103.0515"))
    assert order.reference_price == Decimal(103)
    assert order.submitted_market_time == acme.last_at
    fill = Fill.objects.get()
    assert (fill.price, fill.fee, fill.occurred_at) == (Decimal("103.0515"), Decimal("1.030515"), acme.last_at)
    assert cash_of(account) == Decimal("98968.454485")  # 100000 - 1030.515 - 1.030515
    position = Position.objects.get()
    assert (position.quantity, position.cost, position.realized_pnl) == (
        Decimal(10),
        Decimal("1030.515"),
        Decimal("-1.030515"),
    )


def test_a_sell_fills_below_the_open_and_realises(acme: BarSeries, place: Place, account: Account) -> None:
    place()
    order = place(client_order_id="two", side="sell", quantity=Decimal(4))
    assert order.average_price == Decimal("102.9485")  # 103·(1 - 0.0005)
    assert order.fees == Decimal("0.411794")
    # 4·102.9485 - 4·103.0515 - 0.411794 - 1.030515
    assert Position.objects.get().realized_pnl == Decimal("-1.854309")
    assert cash_of(account) == Decimal("98968.454485") + Decimal("411.794") - Decimal("0.411794")


def test_a_fill_leaves_a_point_on_the_equity_curve(acme: BarSeries, place: Place, account: Account) -> None:
    place()
    point = EquitySnapshot.objects.get()
    assert point.positions_value == Decimal(1030)  # ten at the newest price, the open of 103
    assert point.equity == cash_of(account) + Decimal(1030)


def test_every_status_has_its_audit_row_and_its_decision(acme: BarSeries, place: Place) -> None:
    order = place()
    actions = AuditLog.objects.filter(target_id=str(order.pk)).order_by("at", "pk").values_list("action", flat=True)
    assert list(actions) == ["order.place", "order.submitted", "order.filled"]
    assert GateDecision.objects.get(pk=order.decision_id).allowed


# -------------------------------------------------------------------------------------------------- once and once


def test_the_same_id_again_is_the_same_order(acme: BarSeries, place: Place, account: Account) -> None:
    first, before = place(), cash_of(account)
    assert place().pk == first.pk
    assert (Order.objects.count(), PaperOrder.objects.count(), Fill.objects.count()) == (1, 1, 1)
    assert GateDecision.objects.count() == 1
    assert cash_of(account) == before


@pytest.mark.parametrize(
    "change", [{"quantity": Decimal(11)}, {"side": "sell"}, {"order_type": "limit", "limit_price": Decimal(90)}]
)
def test_the_same_id_with_another_content_is_refused(acme: BarSeries, place: Place, change: dict[str, Any]) -> None:
    place()
    with pytest.raises(ClientOrderIdReused):
        place(**change)
    assert Order.objects.count() == 1


@pytest.mark.parametrize("where", ["_send", "killswitch.assert_open", "_submit", "fills_apply"])
def test_a_crash_anywhere_and_the_same_id_again_makes_one_broker_order_and_one_fill(
    acme: BarSeries, place: Place, account: Account, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(f"portfolio.orders.{where}", die)
        with pytest.raises(Crash):
            place()
    assert Fill.objects.count() == 0
    order = place()
    assert order.status == "filled"
    assert (PaperOrder.objects.count(), Fill.objects.count()) == (1, 1)
    assert cash_of(account) == Decimal("98968.454485")


def test_a_crash_while_fills_are_written_leaves_nothing_half_written(
    acme: BarSeries, place: Place, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(**kwargs: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("portfolio.fills.equity_record", die)
        with pytest.raises(Crash):
            place()
    assert (Fill.objects.count(), Position.objects.count(), cash_of(account)) == (0, 0, Decimal(100_000))
    assert Order.objects.get().status == "submitted"
    assert services.orders_settle(wall=utcnow()) == 1
    assert Order.objects.get().status == "filled"
    assert services.orders_settle(wall=utcnow()) == 0
    assert (Fill.objects.count(), cash_of(account)) == (1, Decimal("98968.454485"))


def test_a_caller_who_stops_right_before_the_sending_leaves_the_order_unsent(acme: BarSeries, place: Place) -> None:
    def stop() -> None:
        raise Crash

    with pytest.raises(Crash):
        place(before_send=stop)
    assert (Order.objects.get().status, PaperOrder.objects.count()) == ("pending", 0)
    assert services.orders_settle(wall=utcnow()) == 0
    assert place().status == "filled"


def test_what_was_never_sent_is_given_up_after_a_while(acme: BarSeries, place: Place) -> None:
    def stop() -> None:
        raise Crash

    with pytest.raises(Crash):
        place(before_send=stop)
    with clock.frozen(late()):
        services.orders_settle(wall=utcnow())
        order = Order.objects.get()
        assert (order.status, order.code) == ("cancelled", "NOT_SENT")
        assert place().status == "cancelled"
    assert PaperOrder.objects.count() == 0


# ---------------------------------------------------------------------------------------------------- lost answers


def test_a_lost_answer_is_unknown_and_is_resolved_by_asking(
    acme: BarSeries, place: Place, line: Line, account: Account
) -> None:
    faults, calls = line
    faults.add("submit lost on the way back")
    order = place()
    assert (order.status, order.code) == ("unknown", "BROKER_UNCERTAIN")
    assert cash_of(account) == Decimal(100_000)
    faults.clear()
    assert services.orders_settle(wall=utcnow()) == 1
    assert Order.objects.get().status == "filled"
    assert (calls.count("submit"), PaperOrder.objects.count(), Fill.objects.count()) == (1, 1, 1)


def test_an_unknown_order_is_never_sent_again(acme: BarSeries, place: Place, line: Line) -> None:
    faults, calls = line
    faults.add("submit lost on the way there")
    assert place().status == "unknown"
    faults.clear()
    assert place().status == "unknown"
    assert services.orders_settle(wall=utcnow()) == 0
    assert calls.count("submit") == 1
    with clock.frozen(late()):
        services.orders_settle(wall=utcnow())
    order = Order.objects.get()
    assert (order.status, order.code, PaperOrder.objects.count()) == ("cancelled", "NOT_SENT", 0)


def test_a_broker_that_does_not_answer_settles_nothing(acme: BarSeries, place: Place, line: Line) -> None:
    faults, _ = line
    faults |= {"submit lost on the way back", "order lost on the way there"}
    place()
    with clock.frozen(late()):
        assert services.orders_settle(wall=utcnow()) == 0
    assert place().status == "unknown"


def test_a_claimed_order_is_not_sent_again_to_a_broker_that_takes_duplicates(
    acme: BarSeries, place: Place, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults, calls = line
    faults.add("accepts_duplicates")

    def die(**kwargs: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("portfolio.orders.killswitch.assert_open", die)
        with pytest.raises(Crash):
            place()
    assert place().status == "submitted"
    assert calls.count("submit") == 0


def test_the_broker_refuses_a_second_order_of_one_id(acme: BarSeries, place: Place, line: Line) -> None:
    _, calls = line
    order = place()
    Order.objects.filter(pk=order.pk).update(status="pending")
    assert place().status == "filled"
    assert calls == ["submit", "submit", "order"]
    assert (PaperOrder.objects.count(), Fill.objects.count()) == (1, 1)


def test_an_order_given_up_while_its_sender_stood_still_does_not_stay_at_the_broker(
    prices: Prices, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices.series("ACME", [(100, 101, 99, 100)])
    submit = orders._submit

    def stand_still(**kwargs: Any) -> Order:
        with clock.frozen(late()):
            services.orders_settle(wall=utcnow())
        return submit(**kwargs)

    monkeypatch.setattr(orders, "_submit", stand_still)
    order = place(order_type="limit", limit_price=Decimal(50))
    assert (order.status, order.code) == ("cancelled", "NOT_SENT")
    assert PaperOrder.objects.get().status == "cancelled"


# -------------------------------------------------------------------------------------------------------- the gate


def test_a_denied_order_is_recorded_and_never_sent(acme: BarSeries, place: Place, account: Account) -> None:
    order = place(quantity=Decimal(1000))
    assert (order.status, order.code) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")
    assert PaperOrder.objects.count() == 0
    assert order.closed_at is not None
    assert place(quantity=Decimal(1000)).pk == order.pk


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": Decimal("0.5")}, "QUANTITY_INVALID"),
        ({"quantity": Decimal(0)}, "QUANTITY_INVALID"),
        ({"mode": "live"}, "LIVE_TRADING_DISABLED"),
        ({"side": "buy", "source": "nowhere"}, "MARKET_CLOSED"),
    ],
)
def test_what_the_gate_denies_carries_its_code(
    acme: BarSeries, place: Place, change: dict[str, Any], code: str
) -> None:
    order = place(**change)
    assert (order.status, order.code) == ("denied", code)


def test_a_live_order_on_a_paper_account_is_denied_also_when_the_desk_trades_live(
    acme: BarSeries, place: Place, admin_actor: Actor
) -> None:
    safety.limits_update(actor=admin_actor, changes={"paper_mode": False})
    order = place(mode="live")
    assert (order.status, order.code) == ("denied", "ACCOUNT_MODE_MISMATCH")


def test_an_instrument_in_another_currency_is_not_bought_with_this_one(acme: BarSeries, place: Place) -> None:
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    order = place()
    assert (order.status, order.code) == ("denied", "CURRENCY_MISMATCH")
    assert trades_counted(order.account_id) == 0


def test_an_account_at_a_broker_opens_nothing_by_generated_prices_and_may_close_what_it_holds(
    book: Book, place: Place
) -> None:
    with clock.frozen(datetime(2026, 1, 5, 16, tzinfo=UTC)):
        order = place(source="demo")
        assert (order.status, order.code) == ("denied", "PRICES_GENERATED")
        assert "paper account" in order.detail
        assert book.orders == {}
        Account.objects.update(broker="paper")
        assert place(client_order_id="two", source="demo").status == "filled"
        Account.objects.update(broker="alpaca")
        book.positions["ACME"] = Decimal(10)
        assert place(client_order_id="three", source="demo", side="sell").code == ""


def test_what_was_bought_at_one_markets_prices_is_not_sold_at_anothers(
    acme: BarSeries, prices: Prices, place: Place
) -> None:
    prices.series("ACME", [(400, 400, 400, 400)], clock="live")
    place()
    order = place(client_order_id="two", side="sell", source="prices-live")
    assert (order.status, order.code) == ("denied", "PRICE_SERIES_MISMATCH")
    assert "prices-historical" in order.detail
    assert place(client_order_id="three", side="sell").status == "filled"
    # Flat, the account may take it up at another market's prices.
    assert place(client_order_id="four", quantity=Decimal(5), source="prices-live").status == "accepted"


def test_the_same_order_at_once_under_another_id_is_a_duplicate(acme: BarSeries, place: Place) -> None:
    place()
    assert place(client_order_id="two").code == "DUPLICATE_ORDER"
    with clock.frozen(utcnow() + timedelta(seconds=61)):
        assert place(client_order_id="three").status == "filled"


def test_without_a_window_the_same_order_is_none_even_when_it_came_while_this_one_waited(
    acme: BarSeries, place: Place
) -> None:
    SafetySettings.objects.update(duplicate_window_s=0)
    place()
    # This one took its time before the other was written, and the account's lock after it.
    with clock.frozen(utcnow() - timedelta(seconds=1)):
        assert place(client_order_id="two").status == "filled"


def test_cash_held_back_by_a_resting_buy_is_not_spent_twice(prices: Prices, place: Place, account: Account) -> None:
    prices.series("ACME", [(100, 101, 99, 100)], clock="live")
    Account.objects.filter(pk=account.pk).update(cash=Decimal(1500), starting_cash=Decimal(1500))
    with clock.frozen(FIRST_DAY + timedelta(hours=30)):
        assert place().status == "accepted"
        order = place(client_order_id="two", quantity=Decimal(9))
    assert (order.status, order.code) == ("denied", "INSUFFICIENT_CASH")


def test_what_covers_a_resting_short_sale_covers_no_other_order(prices: Prices, place: Place, account: Account) -> None:
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 101, 99, 100)], clock="live")
    Account.objects.filter(pk=account.pk).update(cash=Decimal(1500), starting_cash=Decimal(1500))
    with clock.frozen(FIRST_DAY + timedelta(hours=30)):
        assert place(side="sell").status == "accepted"
        for number, side in enumerate(("sell", "buy")):
            order = place(client_order_id=f"more-{number}", side=side, symbol="BETA", quantity=Decimal(9))
            assert (order.status, order.code) == ("denied", "INSUFFICIENT_CASH")
        assert place(client_order_id="small", side="buy", symbol="BETA", quantity=Decimal(4)).status == "accepted"


def test_a_resting_sale_of_what_is_held_holds_no_cash_back(prices: Prices, place: Place, account: Account) -> None:
    prices.series("ACME", [(100, 101, 99, 100)] * 2)
    prices.series("BETA", [(100, 101, 99, 100)] * 2)
    Account.objects.filter(pk=account.pk).update(cash=Decimal(2500), starting_cash=Decimal(2500))
    assert place().status == "filled"
    assert place(client_order_id="two", side="sell", order_type="limit", limit_price=Decimal(200)).status == "accepted"
    assert place(client_order_id="three", symbol="BETA", quantity=Decimal(14)).status == "filled"


def test_a_kill_between_the_gate_and_the_sending_stops_the_order(
    acme: BarSeries, place: Place, operator_actor: Actor
) -> None:
    order = place(before_send=lambda: safety.kill(actor=operator_actor, reason="now"))
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")
    assert GateDecision.objects.get(pk=order.decision_id).allowed
    assert PaperOrder.objects.count() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "hold"},
        {"order_type": "stop"},
        {"order_type": "limit"},
        {"limit_price": Decimal(5)},
        {"order_type": "limit", "limit_price": Decimal(-5)},
        {"mode": "dream"},
        {"client_order_id": ""},
        {"quantity": Decimal("NaN")},
        {"quantity": Decimal("1e-11")},
    ],
)
def test_words_that_no_order_can_have_are_refused_before_anything_is_written(
    acme: BarSeries, place: Place, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationFailed):
        place(**wrong)
    assert Order.objects.count() == GateDecision.objects.count() == 0
