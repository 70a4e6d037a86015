"""Rebalances that are asked for twice, whose process dies, and whose buys wait for sells."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from portfolio import duties, orders, rebalances, services
from portfolio.models import Account, Order, PaperOrder, Rebalance, RebalanceLeg
from portfolio.selectors import account_default
from safety.models import SafetySettings
from tests.portfolio.conftest import FIRST_DAY, Prices
from tests.portfolio.rebalancing_desk import URL, Clients, GoalAt, Rebalancing, bind_nobody, held, told
from tradingsite.common import background
from tradingsite.common.actor import Actor
from tradingsite.common.clock import frozen, utcnow
from workflows.models import Strategy

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]

# ------------------------------------------------------------------------------------------------- once, whatever dies


def test_the_same_key_orders_once(goal: GoalAt, rebalance: Rebalancing, prices: Prices) -> None:
    url = goal(ACME="0.5", BETA="0.3")
    first = rebalance(url, key="k1")
    prices.series("ACME", [(50, 50, 50, 50)] * 2)  # by now there would be more to buy
    again = rebalance(url, key="k1")
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert rebalance(url, key="k1", min_trade="5").status_code == 422
    assert (Rebalance.objects.count(), Order.objects.count()) == (1, 2)


class Death(BaseException):
    """What ends a process without a word."""


POINTS = {
    "before the first leg": (rebalances, "_send", 1),
    "after the sells, before the second leg": (rebalances, "_send", 2),
    "before the last leg": (rebalances, "_send", 3),
    "when an intent was committed and nothing sent": (orders, "_send", 1),
    "when it was claimed and nothing sent": (orders, "_submit", 1),
    "when it was sent and the answer was not written": (orders, "fills_apply", 1),
    "after the fill, before the rebalance knew": (orders, "_carry_on", 2),
    "when a buy has its quantity and no order": (rebalances, "order_place", 2),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("who", ["the duty", "the same caller"])
def test_a_rebalance_whose_process_dies_is_carried_on_and_orders_once(
    goal: GoalAt,
    place: Place,
    actor: Actor,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    who: str,
) -> None:
    place(symbol="OUT", quantity=Decimal(60))
    url = goal(ACME="0.5", BETA="0.3")
    goal_id = url.rpartition("/")[2]
    module, name, nth = POINTS[point]
    real, calls = getattr(module, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == nth:
            raise Death
        return real(*args, **kwargs)

    def start() -> Rebalance:
        return services.rebalance_start(actor=actor, goal_id=goal_id, key="k1", sell_outside=True)

    before = Order.objects.count()
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying)
        with pytest.raises(Death):
            start()
    assert len(calls) == nth
    assert Rebalance.objects.get().status == "running"
    if who == "the duty":
        duties.carry_on_rebalances()
        duties.carry_on_rebalances()
    else:
        assert start().pk == start().pk
    assert Rebalance.objects.get().status == "completed"
    ids = list(RebalanceLeg.objects.order_by("number").values_list("client_order_id", flat=True))
    assert len(ids) == 3
    assert Order.objects.count() - before == PaperOrder.objects.count() - before == 3
    assert set(Order.objects.values_list("client_order_id", flat=True)) == {"one", *ids}
    assert held() == {"ACME": "50", "BETA": "30"}
    assert services.positions_check(account=account_default()) == []


@pytest.mark.parametrize("change", [{"enabled": False}, {"strategy_id": "another"}, {"target_weights": {"BETA": "1"}}])
def test_an_order_that_was_sent_is_known_again_whatever_became_of_the_goal(
    goal: GoalAt, actor: Actor, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    goal_id = goal(ACME="0.5").rpartition("/")[2]

    def dying(*args: Any) -> None:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(rebalances, "_link", dying)
        with pytest.raises(Death):
            services.rebalance_start(actor=actor, goal_id=goal_id)
    assert RebalanceLeg.objects.get().waiting
    if "strategy_id" in change:
        change = {"strategy_id": Strategy.objects.create(name="another").pk}
    services.goal_update(actor=actor, goal_id=goal_id, changes=change)
    duties.carry_on_rebalances()
    leg = RebalanceLeg.objects.get()
    assert (leg.order, leg.code) == (Order.objects.get(), "")
    assert (Rebalance.objects.get().status, held()) == ("completed", {"ACME": "50"})


def test_what_somebody_else_sold_meanwhile_is_not_sold_short(
    goal: GoalAt, place: Place, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(quantity=Decimal(100))
    goal_id = goal(ACME="0.2").rpartition("/")[2]

    def dying(*args: Any) -> bool:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(rebalances, "_send", dying)
        with pytest.raises(Death):
            services.rebalance_start(actor=actor, goal_id=goal_id)
    place(client_order_id="two", side="sell", quantity=Decimal(90))
    duties.carry_on_rebalances()
    order = RebalanceLeg.objects.get().order
    assert order is not None
    assert (order.status, order.code, order.quantity) == ("denied", "POSITION_CHANGED", 80)
    assert held() == {"ACME": "10"}


def test_a_fault_of_the_database_gives_the_key_back_and_the_next_call_carries_on(
    goal: GoalAt, rebalance: Rebalancing, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = goal(ACME="0.5", BETA="0.3")
    real, calls = rebalances.order_place, []

    def failing(**kwargs: Any) -> Order:
        calls.append(1)
        if len(calls) == 2:
            raise OperationalError("the server is gone")
        return real(**kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(rebalances, "order_place", failing)
        assert rebalance(url, key="k1").status_code == 503
    answer = rebalance(url, key="k1")
    assert answer.status_code == 201
    assert (Rebalance.objects.count(), Order.objects.count(), held()) == (1, 2, {"ACME": "50", "BETA": "30"})


def test_the_desk_carries_on_by_itself() -> None:
    assert background._duties["portfolio.rebalances"].run is duties.carry_on_rebalances


# --------------------------------------------------------------------------------------------------- waiting for sells


@pytest.fixture
def live(prices: Prices, account: Account, place: Place) -> Callable[..., Any]:
    """A live market at 100 whose next bar comes with the next day; all of the account is ACME. Return its clock."""
    bind_nobody()

    def bars(count: int, price: float = 100.0) -> None:
        for symbol in ("ACME", "BETA"):
            prices.series(symbol, [*[(100.0,) * 4] * (count - 1), (price,) * 4], clock="live")

    def on_day(day: int, price: float = 100.0) -> Any:
        bars(day + 1, price)
        return frozen(FIRST_DAY + timedelta(days=day, hours=6))

    with on_day(1):
        place(quantity=Decimal(100))
    with on_day(2):
        services.orders_settle(wall=utcnow())
    assert held() == {"ACME": "100"}
    return on_day


def make_goal(**weights: str) -> str:
    actor = Actor.system("test")
    made = services.goal_create(actor=actor, name=str(uuid4()), target_weights=weights, drift_threshold="0.05")
    return f"{URL}/{made.pk}"


def test_a_buy_waits_for_the_sell_that_pays_for_it(
    live: Callable[..., Any], rebalance: Rebalancing, api: Clients
) -> None:
    operator = api("operator")
    url = make_goal(ACME="0.4", BETA="0.6")
    with live(3):
        answer = rebalance(url, client=operator)
        assert answer.status_code == 202, answer.content
        assert told(answer) == [("ACME", "sell", "60", "accepted"), ("BETA", "buy", "60", "waiting")]
        assert answer.json()["counts"] == {"orders": 2, "refused": 0, "waiting": 1, "open": 1, "filled": 0}
        duties.carry_on_rebalances()
        assert Order.objects.count() == 2
        second = rebalance(url, client=operator)
        assert (second.status_code, second.json()["code"]) == (409, "REBALANCE_RUNNING")
        assert second.json()["rebalance_id"] == answer.json()["id"]
    with live(4):
        services.orders_settle(wall=utcnow())
        duties.carry_on_rebalances()
        seen = api("viewer").get(answer["Location"]).json()
        assert (seen["status"], seen["orders"][1]["status"]) == ("completed", "accepted")
    with live(5):
        services.orders_settle(wall=utcnow())
    assert held() == {"ACME": "40", "BETA": "60"}


def test_a_buy_takes_what_the_sells_brought(live: Callable[..., Any], rebalance: Rebalancing, api: Clients) -> None:
    url = make_goal(ACME="0.4", BETA="0.6")
    with live(3):
        answer = rebalance(url, client=api("operator"))
    with live(4, price=90.0):
        services.orders_settle(wall=utcnow())
        assert account_default().cash == 60 * 90
    with live(4):
        duties.carry_on_rebalances()
        seen = api("viewer").get(answer["Location"]).json()["orders"][1]
    assert (seen["planned_quantity"], seen["quantity"], seen["status"]) == ("60", "54", "accepted")


def test_a_sell_that_was_refused_leaves_its_buy_with_the_cash_there_is(
    live: Callable[..., Any], rebalance: Rebalancing, api: Clients
) -> None:
    SafetySettings.objects.update(order_notional_limit=5000)
    url = make_goal(ACME="0.4", BETA="0.6")
    with live(3):
        answer = rebalance(url, client=api("operator"))
    assert told(answer) == [
        ("ACME", "sell", "60", "ORDER_NOTIONAL_EXCEEDS_LIMIT"), ("BETA", "buy", "60", "CASH_SHORT"),
    ]  # fmt: skip
    assert answer.json()["orders"][1]["status"] == "given_up"
    assert (answer.status_code, answer.json()["counts"]["refused"]) == (201, 2)


def test_switching_the_goal_off_gives_up_what_was_not_sent(
    live: Callable[..., Any], rebalance: Rebalancing, api: Clients
) -> None:
    operator = api("operator")
    url = make_goal(ACME="0.4", BETA="0.6")
    with live(3):
        answer = rebalance(url, client=operator)
        operator.patch(url, {"enabled": False}, format="json")
        duties.carry_on_rebalances()
        seen = operator.get(answer["Location"]).json()
    assert [order["code"] for order in seen["orders"]] == ["", "GOAL_SWITCHED_OFF"]
    assert seen["status"] == "completed"


def test_a_buy_waits_as_long_as_a_market_may_be_closed_and_a_day_and_no_longer(
    live: Callable[..., Any], rebalance: Rebalancing, api: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    SafetySettings.objects.update(open_wait_limit_s=3 * 86_400)  # over a weekend
    url = make_goal(ACME="0.4", BETA="0.6")
    with live(3):
        answer = rebalance(url, client=api("operator"))
    with frozen(FIRST_DAY + timedelta(days=7, hours=6)):
        duties.carry_on_rebalances()
        assert Rebalance.objects.get().status == "running"
    with frozen(FIRST_DAY + timedelta(days=7, hours=6, seconds=1)):
        duties.carry_on_rebalances()
    seen = api("viewer").get(answer["Location"]).json()
    assert [order["code"] for order in seen["orders"]] == ["", "SELLS_NOT_FILLED"]
    assert seen["status"] == "completed"


def test_one_rebalance_that_cannot_go_on_keeps_no_other_from_it(
    live: Callable[..., Any], rebalance: Rebalancing, api: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live(3):
        rebalance(make_goal(ACME="0.4", BETA="0.6"), client=api("operator"))
        monkeypatch.setattr(rebalances, "_send", _broken)
        assert services.rebalances_carry_on() == 1


def _broken(*args: Any) -> bool:
    raise OSError("the line is down")
