"""Positions are closed by a kill on the way of every order: through the gate, once each, and by nobody else."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from market.models import Instrument
from portfolio import flattening, intents, orders, services
from portfolio.models import Account, Order, Position
from safety import killswitch
from safety import services as safety
from safety.models import FlattenPermit, GateDecision, KillSweep, SafetySettings, ScopedLimits
from safety.permits import flatten_permit_give
from tests.portfolio.conftest import Prices
from tests.support.alpaca import Book
from tradingsite.common import clock
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
Line = tuple[set[str], list[str]]
START = datetime(2026, 1, 5, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def market(prices: Prices) -> None:
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 104, 99, 101), (101, 105, 100, 102), (103, 110, 90, 95)])
    SafetySettings.objects.update(duplicate_window_s=0)


@pytest.fixture
def buy(place: Place) -> Place:
    def make(symbol: str = "ACME", quantity: Decimal | int = 10, **changes: Any) -> Order:
        made = {"client_order_id": f"buy-{uuid4()}", "symbol": symbol, "quantity": Decimal(quantity), **changes}
        order = place(**made)
        assert order.status == "filled", order.detail
        return order

    return make


def kill(**said: Any) -> None:
    with clock.frozen(START):
        safety.kill(actor=Actor.system("test"), **{"flatten": True, **said})


def rounds(*seconds: float) -> KillSweep:
    for second in seconds:
        with clock.frozen(START + timedelta(seconds=second)):
            services.sweeps_work()
    return KillSweep.objects.latest("id")


def held() -> dict[tuple[str, str], Decimal]:
    rows = Position.objects.exclude(quantity=0).values_list("account__name", "instrument__symbol", "quantity")
    return {(account, symbol): quantity for account, symbol, quantity in rows}


def closings() -> list[Order]:
    return list(Order.objects.filter(client_order_id__startswith="flatten-").order_by("created_at"))


# ------------------------------------------------------------------------------------------------------- what is closed


def test_a_kill_without_it_closes_nothing(buy: Place) -> None:
    buy()
    kill(flatten=False)
    assert rounds(1, 2).confirmed_at is not None
    assert held() == {("Paper account", "ACME"): Decimal(10)}


def test_everything_is_closed_in_every_account_and_two_samples_confirm_it(buy: Place, actor: Actor) -> None:
    other = Account.objects.create(name="Other", starting_cash=Decimal(10_000), cash=Decimal(10_000))
    buy("ACME", 10, strategy_id=uuid4())
    buy("BETA", 5)
    services.order_place(
        actor=actor, account=other, symbol="ACME", side="buy", quantity=Decimal(3), client_order_id="other"
    )
    kill()
    assert rounds(1).confirmed_at is None
    assert held() == {}
    assert rounds(2).confirmed_at is not None
    assert [(o.side, o.type, o.status) for o in closings()] == [("sell", "market", "filled")] * 3
    assert sorted(o.quantity for o in closings()) == [3, 5, 10]


def test_a_short_position_is_bought_back(place: Place) -> None:
    assert place(side="sell").status == "filled"
    kill()
    rounds(1)
    assert held() == {}
    assert [order.side for order in closings()] == ["buy"]


def test_one_strategy_s_share_is_closed_and_the_rest_stays(buy: Place) -> None:
    one, other = uuid4(), uuid4()
    buy("ACME", 10, strategy_id=one)
    buy("ACME", 4, strategy_id=other)
    buy("BETA", 5, strategy_id=other)
    kill(scope=one)
    rounds(1, 2)
    assert held() == {("Paper account", "ACME"): Decimal(4), ("Paper account", "BETA"): Decimal(5)}
    assert [order.strategy_id for order in closings()] == [one]
    assert KillSweep.objects.get().confirmed_at is not None


def test_a_resting_order_is_cancelled_first_and_does_not_stand_in_the_way(buy: Place, place: Place) -> None:
    buy()
    resting = place(side="sell", order_type="limit", limit_price=Decimal(200), client_order_id="target")
    assert resting.status == "accepted"
    kill()
    rounds(1, 2)
    assert held() == {}
    assert Order.objects.get(client_order_id="target").status == "cancelled"


def test_a_position_beyond_the_order_limit_is_closed_in_parts_none_of_which_is_a_duplicate(buy: Place) -> None:
    buy(quantity=30)
    SafetySettings.objects.update(order_notional_limit=Decimal(1050), duplicate_window_s=3600, daily_trade_limit=1)
    kill()
    rounds(1, 2, 3, 4, 5)
    assert held() == {}
    assert [order.quantity for order in closings()] == [Decimal(10)] * 3
    assert KillSweep.objects.get().confirmed_at is not None


def test_a_stricter_limit_of_the_instrument_bounds_the_parts(buy: Place) -> None:
    buy(quantity=30)
    ScopedLimits.objects.create(scope="instrument", key="ACME", order_notional_limit=Decimal(1550))
    kill()
    rounds(1, 2, 3, 4)
    assert [order.quantity for order in closings()] == [Decimal(15)] * 2
    assert held() == {}


# ------------------------------------------------------------------------------------------------------------- the gate


def test_a_closing_goes_through_the_gate_and_its_verdict_says_by_what_right_it_passed(buy: Place) -> None:
    buy()
    kill()
    rounds(1)
    verdict = GateDecision.objects.get(client_order_id=closings()[0].client_order_id)
    assert verdict.allowed
    assert verdict.facts["state"]["kill_switch_active"] is True
    assert verdict.facts["state"]["flatten_permitted"] is True
    assert verdict.facts["reduces"] is True


def test_any_other_check_of_the_gate_still_denies_a_closing_and_the_sweep_says_so_and_tries_again(
    buy: Place,
) -> None:
    buy()
    held_in = Position.objects.get().instrument
    held_in.enabled = False
    held_in.save()
    kill()
    sweep = rounds(1, 2)
    assert held() == {("Paper account", "ACME"): Decimal(10)}
    assert sweep.confirmed_at is None
    (left,) = sweep.remaining["positions"]
    assert (left["symbol"], left["quantity"], left["code"]) == ("ACME", "10", "INSTRUMENT_NOT_ALLOWED")
    # Not again in every round: the verdict would be the same, and each is kept.
    assert len(closings()) == 1
    held_in.enabled = True
    held_in.save()
    assert rounds(3).remaining["positions"]
    assert rounds(60, 61).confirmed_at is not None
    assert [order.status for order in closings()] == ["denied", "filled"]


def test_a_closing_that_is_denied_again_and_again_is_tried_less_and_less_often_and_never_given_up(buy: Place) -> None:
    buy()
    held_in = Position.objects.get().instrument
    held_in.enabled = False
    held_in.save()
    kill()
    # Every 5 s while the waits grow, then on a grid that shows a longest wait that is not 300 s.
    rounds(*range(1, 622, 5), *range(631, 1602, 20))
    tried = [order.created_at for order in closings()]
    waits = [round((after - before).total_seconds()) for before, after in itertools.pairwise(tried)]
    assert waits[:6] == [10, 20, 40, 80, 160, 300]
    assert set(waits[6:]) == {300}
    held_in.enabled = True
    held_in.save()
    assert rounds(2000, 2001).confirmed_at is not None


def test_a_live_position_is_not_closed_around_paper_mode(actor: Actor) -> None:
    live = Account.objects.create(name="Live", mode="live", starting_cash=Decimal(10_000), cash=Decimal(10_000))
    SafetySettings.objects.update(paper_mode=False)
    services.order_place(
        actor=actor, account=live, symbol="ACME", side="buy", quantity=Decimal(1), client_order_id="l", mode="live"
    )
    SafetySettings.objects.update(paper_mode=True)
    kill()
    assert rounds(1).remaining["positions"][0]["code"] == "LIVE_TRADING_DISABLED"
    SafetySettings.objects.update(paper_mode=False)
    rounds(60)
    assert held() == {}


# ------------------------------------------------------------------------------------- nobody else passes a set switch


def permit_for(place_order: Order, sweep: KillSweep, **changes: Any) -> FlattenPermit:
    said = {
        "sweep": sweep,
        "account_id": place_order.account_id,
        "strategy_id": None,
        "symbol": "ACME",
        "side": "sell",
        "quantity": Decimal(10),
        "number": 1,
    }
    return flatten_permit_give(**{**said, **changes})


def test_an_order_that_only_looks_like_a_closing_is_denied(buy: Place, place: Place) -> None:
    buy()
    kill(flatten=False)
    sweep = KillSweep.objects.get()
    for name in ("close", f"flatten-{sweep.pk.hex}-ACME-1"):
        order = place(side="sell", client_order_id=name)
        assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "buy"},
        {"quantity": Decimal(11)},
        {"symbol": "BETA"},
        {"order_type": "limit", "limit_price": Decimal(90)},
        {"strategy_id": UUID(int=5)},
    ],
)
def test_a_permit_is_for_the_order_it_names_and_no_other(buy: Place, place: Place, changes: dict[str, Any]) -> None:
    buy("ACME", 20)
    buy("BETA", 20)
    kill()
    permit = permit_for(Order.objects.first(), KillSweep.objects.get())
    said = {"side": "sell", "quantity": Decimal(10), "client_order_id": permit.client_order_id, **changes}
    order = place(**said)
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")


def test_a_permit_for_more_than_is_held_does_not_open_a_position(buy: Place, place: Place) -> None:
    buy("ACME", 4)
    kill()
    permit = permit_for(Order.objects.first(), KillSweep.objects.get())
    order = place(side="sell", quantity=Decimal(10), client_order_id=permit.client_order_id)
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")


def test_a_permit_ends_with_the_halt_it_was_given_in(buy: Place, place: Place, operator_actor: Actor) -> None:
    buy()
    kill()
    permit = permit_for(Order.objects.first(), KillSweep.objects.get())
    safety.resume(actor=operator_actor, reason="ok")
    safety.kill(actor=operator_actor, flatten=True)
    order = place(side="sell", client_order_id=permit.client_order_id)
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")


def test_who_stops_everything_without_closing_also_stops_the_closing_of_one_strategy(buy: Place) -> None:
    strategy = uuid4()
    buy(strategy_id=strategy)
    kill(scope=strategy)
    kill(flatten=False)
    rounds(1)
    assert held() == {("Paper account", "ACME"): Decimal(10)}
    assert [order.code for order in closings()] == ["KILL_SWITCH_ACTIVE"]


def test_a_switch_that_cannot_be_read_lets_no_closing_pass_either(
    buy: Place, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy()
    kill()
    permit = permit_for(Order.objects.first(), KillSweep.objects.get())

    def unreadable(scope: str) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(killswitch.sentinel, "is_set", unreadable)
    order = place(side="sell", client_order_id=permit.client_order_id)
    assert (order.status, order.code) == ("denied", "KILL_SWITCH_ACTIVE")


def test_the_last_check_before_the_broker_asks_for_the_permit_again(
    buy: Place, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halt ends and another one without closing begins between the gate and the broker."""
    buy()
    kill()
    commit = intents.intent_commit

    def commit_then_halt_anew(**said: Any) -> Order:
        order = commit(**said)
        safety.resume(actor=operator_actor, reason="ok")
        safety.kill(actor=operator_actor)
        return order

    monkeypatch.setattr(orders, "intent_commit", commit_then_halt_anew)
    rounds(1)
    assert [(order.status, order.code) for order in closings()] == [("denied", "KILL_SWITCH_ACTIVE")]
    assert held() == {("Paper account", "ACME"): Decimal(10)}


# --------------------------------------------------------------------------------------------------- once, come what may


@pytest.mark.parametrize("fault", ["submit lost on the way back", "submit lost on the way there"])
def test_a_closing_whose_answer_was_lost_is_looked_up_and_never_sent_twice(buy: Place, line: Line, fault: str) -> None:
    buy()
    faults, _ = line
    kill()
    faults.add(fault)
    rounds(1)
    faults.clear()
    rounds(2, 3)
    assert held() in ({}, {("Paper account", "ACME"): Decimal(10)})
    assert len(closings()) == 1


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["permit", "intent", "answer"])
def test_a_process_that_dies_anywhere_in_a_closing_leaves_exactly_one_to_the_next(
    buy: Place, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    buy()
    kill()

    def die(*args: Any, **said: Any) -> Any:
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        if where == "permit":
            patch.setattr(flattening, "_send", die)
        elif where == "intent":
            patch.setattr(orders, "_send", die)
        else:
            patch.setattr(orders, "fills_apply", die)
        rounds(1)
    rounds(2, 3, 4)
    assert held() == {}
    assert [order.status for order in closings()] == ["filled"]
    assert FlattenPermit.objects.count() == 1


def test_a_position_that_changed_after_the_permit_is_closed_by_the_next_one(
    buy: Place, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy("ACME", 10)
    kill()
    with monkeypatch.context() as patch:
        patch.setattr(flattening, "_send", lambda permit, position: ("", ""))
        rounds(1)
    # A late fill of somebody's sale, so that the permit is for more than is held.
    Position.objects.update(quantity=Decimal(6))
    rounds(2)
    assert [order.code for order in closings()] == ["KILL_SWITCH_ACTIVE"]
    rounds(60)
    assert [(order.status, order.quantity) for order in closings()] == [("denied", 10), ("filled", 6)]


def test_a_resume_ends_the_closing_and_takes_back_what_still_rests_of_it(
    prices: Prices, buy: Place, operator_actor: Actor
) -> None:
    buy("ACME")
    # A position in a market whose next price is not there yet, so that its closing rests.
    series = prices.series("GAMMA", [(100.0, 101.0, 99.0, 100.0)] * 3, clock="live")
    Position.objects.update(instrument=series.instrument, source="prices-live")
    kill()
    rounds(1)
    (closing,) = closings()
    assert closing.status == "accepted"
    # The duty that cancels what a kill stands over leaves it alone.
    with clock.frozen(START + timedelta(seconds=1)):
        services.orders_settle(wall=START + timedelta(seconds=1))
    assert closings()[0].status == "accepted"
    with clock.frozen(START + timedelta(seconds=2)):
        safety.resume(actor=operator_actor, reason="ok")
    rounds(3)
    assert [order.status for order in closings()] == ["cancelled"]


def test_what_the_broker_holds_and_the_desk_does_not_know_is_told_and_not_called_flat(
    buy: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "held_at_broker", lambda account, wall: {"BETA": Decimal(7)})
    kill()
    sweep = rounds(1, 2)
    assert sweep.confirmed_at is None
    assert [(row["symbol"], row["quantity"], row["code"]) for row in sweep.remaining["positions"]] == [
        ("BETA", "7", "NOT_IN_LEDGER")
    ]


def test_a_fraction_of_a_share_is_closed_at_a_broker_that_takes_fractions_for_the_day_only(
    book: Book, buy: Place
) -> None:
    Instrument.objects.filter(symbol="ACME").update(quantity_precision=9, lot_size=Decimal("0.000000001"))
    buy(quantity=Decimal("2.5"), time_in_force="day")
    kill()
    assert rounds(1, 2, 3).confirmed_at is not None
    assert held() == {}
    assert [(body["side"], body["qty"], body["time_in_force"]) for body in book.bodies] == [
        ("buy", "2.5", "day"),
        ("sell", "2.5", "day"),
    ]
