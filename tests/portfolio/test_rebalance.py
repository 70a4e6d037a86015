"""Rebalances over HTTP: dry and real, in whole lots, refused in part, and what lies outside of the goal."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from market.models import DataSource, Instrument
from portfolio.models import Account, Order, PaperOrder, Position, Rebalance
from portfolio.selectors import account_default
from safety import services as safety
from safety.models import AuditLog, GateDecision, SafetySettings
from tests.conftest import user_with_role
from tests.portfolio.conftest import Prices
from tests.portfolio.rebalancing_desk import URL, Clients, GoalAt, Rebalancing, held, told
from tests.support.counted import trades_counted
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role
from workflows.models import Strategy

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]


# -------------------------------------------------------------------------------------------------------- dry and real


def test_a_dry_run_is_the_default_and_places_nothing(goal: GoalAt, api: Clients) -> None:
    url = goal(ACME="0.5", BETA="0.3")
    answer = api("trader").post(f"{url}/rebalance", {}, format="json")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["id"], body["dry_run"], body["status"]) == (None, True, "planned")
    assert (body["equity"], body["total_drift"], body["expected_drift"], body["min_trade"]) == (
        "10000",
        "0.8",
        "0",
        "10",
    )
    assert told(answer) == [("ACME", "buy", "50", "planned"), ("BETA", "buy", "30", "planned")]
    first = body["orders"][0]
    assert first["verdict"] == {"allowed": True, "code": "", "detail": ""}
    assert (first["reference_price"], first["notional"], first["order_id"]) == ("100", "5000", None)
    assert body["counts"] == {"orders": 2, "refused": 0, "waiting": 0, "open": 0, "filled": 0}
    assert Order.objects.count() == Rebalance.objects.count() == 0
    assert list(GateDecision.objects.values_list("preview", flat=True)) == [True, True]
    assert trades_counted(account_default().pk) == 0


def test_for_real_the_account_is_brought_to_the_goal(goal: GoalAt, rebalance: Rebalancing, api: Clients) -> None:
    url = goal(ACME="0.5", BETA="0.3")
    answer = rebalance(url)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["status"], body["dry_run"]) == ("completed", False)
    assert body["counts"] == {"orders": 2, "refused": 0, "waiting": 0, "open": 0, "filled": 2}
    assert held() == {"ACME": "50", "BETA": "30"}
    assert api("viewer").get(f"{url}/drift").json()["total_drift"] == "0"
    assert answer["Location"] == f"{url}/rebalances/{body['id']}"
    assert api("viewer").get(answer["Location"]).json() == body
    assert api("viewer").get(f"{url}/rebalances").json()["results"] == [body]
    for told_of, order in zip(body["orders"], Order.objects.order_by("created_at"), strict=True):
        assert (told_of["order_id"], told_of["client_order_id"]) == (str(order.pk), order.client_order_id)
        assert told_of["verdict"] == {"allowed": True, "code": "", "detail": ""}
        assert told_of["filled_quantity"] == told_of["quantity"]
    actions = AuditLog.objects.filter(target_id=body["id"]).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["rebalance.start", "rebalance.complete"]
    again = rebalance(url)
    assert (told(again), again.json()["status"]) == ([], "completed")


def test_a_fraction_of_a_share_is_ordered_for_the_day(goal: GoalAt, rebalance: Rebalancing) -> None:
    Instrument.objects.filter(symbol="ACME").update(quantity_precision=3, lot_size=Decimal("0.001"))
    assert rebalance(goal(ACME="0.505", BETA="0.3")).status_code == 201
    rows = Order.objects.values_list("instrument__symbol", "quantity", "time_in_force")
    assert set(rows) == {("ACME", Decimal("50.5"), "day"), ("BETA", Decimal(30), "gtc")}


def test_the_dry_run_says_what_the_real_one_does(goal: GoalAt, place: Place, rebalance: Rebalancing) -> None:
    Account.objects.update(fee_rate=Decimal("0.001"), slippage=Decimal("0.0005"))
    place(quantity=Decimal(70))
    url = goal(ACME="0.2", BETA="0.8")
    dry, real = rebalance(url, dry_run=True).json(), rebalance(url).json()
    for planned, placed in zip(dry["orders"], real["orders"], strict=True):
        same = ("symbol", "side", "quantity", "reference_price", "verdict")
        assert {name: planned[name] for name in same} == {name: placed[name] for name in same}
        assert Decimal(planned["fee"]) == pytest.approx(Decimal(placed["fee"]))
    assert dry["expected_drift"] == real["expected_drift"]


def test_sells_go_first_and_pay_for_the_buys(goal: GoalAt, place: Place, rebalance: Rebalancing) -> None:
    place(quantity=Decimal(100))
    assert account_default().cash == 0
    answer = rebalance(goal(BETA="0.7", ACME="0.3"))
    assert told(answer) == [("ACME", "sell", "70", "filled"), ("BETA", "buy", "70", "filled")]
    assert held() == {"ACME": "30", "BETA": "70"}


def test_fees_never_bring_the_cash_below_zero(goal: GoalAt, rebalance: Rebalancing) -> None:
    Account.objects.update(fee_rate=Decimal("0.01"), slippage=Decimal("0.005"))
    body = rebalance(goal(ACME="0.5", BETA="0.5")).json()
    assert body["counts"]["filled"] == 2
    account = account_default()
    assert 0 <= account.cash < 300
    assert sum(Decimal(order["fee"]) for order in body["orders"]) == sum(o.fees for o in Order.objects.all()) > 0


def test_lots_and_the_minimum_trade_are_kept(goal: GoalAt, rebalance: Rebalancing) -> None:
    Instrument.objects.filter(symbol="ACME").update(lot_size=7)
    url = goal(ACME="0.5", BETA="0.05")
    body = rebalance(url, min_trade="600").json()
    assert [(o["symbol"], o["quantity"]) for o in body["orders"]] == [("ACME", "49")]
    assert [(s["symbol"], s["code"]) for s in body["skipped"]] == [("BETA", "BELOW_MINIMUM")]
    assert "600" in body["skipped"][0]["detail"]
    assert body["min_trade"] == "600"


def test_open_orders_count_as_filled_and_their_cash_as_spent(
    goal: GoalAt, place: Place, rebalance: Rebalancing
) -> None:
    resting = place(symbol="BETA", order_type="limit", limit_price=Decimal(50), quantity=Decimal(100))
    assert resting.status == "accepted"
    url = goal(ACME="0.6", BETA="0.4")
    for dry_run in (True, False):
        answer = rebalance(url, dry_run=dry_run)
        # Half of the cash is held back for the hundred of BETA, which are more than its target already.
        assert [(o["symbol"], o["quantity"], o["verdict"]["allowed"]) for o in answer.json()["orders"]] == [
            ("ACME", "50", True)
        ]
        assert [(s["symbol"], s["code"]) for s in answer.json()["skipped"]] == [("BETA", "ALREADY_ORDERED")]


# ------------------------------------------------------------------------------------------------- outside of the goal


def test_what_the_goal_does_not_name_is_left_alone_and_said(goal: GoalAt, place: Place, rebalance: Rebalancing) -> None:
    place(symbol="OUT", quantity=Decimal(40))
    answer = rebalance(goal(ACME="1"))
    # Sixty is all that the cash buys beside what is left alone.
    assert told(answer) == [("ACME", "buy", "60", "filled")]
    assert [(s["symbol"], s["code"]) for s in answer.json()["skipped"]] == [("OUT", "OUTSIDE_GOAL")]
    assert answer.json()["expected_drift"] == "0.4"
    assert held()["OUT"] == "40"


def test_what_the_goal_does_not_name_is_sold_when_told(goal: GoalAt, place: Place, rebalance: Rebalancing) -> None:
    place(symbol="OUT", quantity=Decimal(40))
    answer = rebalance(goal(ACME="0.9"), sell_outside=True)
    assert told(answer) == [("OUT", "sell", "40", "filled"), ("ACME", "buy", "90", "filled")]
    assert held() == {"ACME": "90"}


def test_a_position_is_traded_at_the_prices_that_it_was_bought_at(
    goal: GoalAt, place: Place, prices: Prices, rebalance: Rebalancing
) -> None:
    place(quantity=Decimal(50))
    prices.series("ACME", [(999, 999, 999, 999)] * 2, clock="live")
    Instrument.objects.filter(symbol="ACME").update(default_source=DataSource.objects.get(slug="prices-live"))
    answer = rebalance(goal(ACME="0.2"))
    assert told(answer) == [("ACME", "sell", "30", "filled")]
    assert answer.json()["orders"][0]["reference_price"] == "100"


# ---------------------------------------------------------------------------------------------------------- refusals


def test_what_the_gate_refuses_is_said_and_the_rest_is_placed(goal: GoalAt, rebalance: Rebalancing) -> None:
    SafetySettings.objects.update(order_notional_limit=4000)
    url = goal(ACME="0.5", BETA="0.3")
    dry = rebalance(url, dry_run=True).json()
    answer = rebalance(url)
    for body in (dry, answer.json()):
        verdicts = {order["symbol"]: order["verdict"] for order in body["orders"]}
        assert (verdicts["ACME"]["allowed"], verdicts["ACME"]["code"]) == (False, "ORDER_NOTIONAL_EXCEEDS_LIMIT")
        assert "4000" in verdicts["ACME"]["detail"]
        assert verdicts["BETA"]["allowed"]
        assert body["counts"]["refused"] == 1
    assert answer.status_code == 201
    assert told(answer) == [("ACME", "buy", "50", "ORDER_NOTIONAL_EXCEEDS_LIMIT"), ("BETA", "buy", "30", "filled")]
    assert held() == {"BETA": "30"}


def test_a_dry_run_says_which_buys_fail_when_their_sell_is_refused(
    goal: GoalAt, place: Place, rebalance: Rebalancing
) -> None:
    place(quantity=Decimal(70))
    SafetySettings.objects.update(order_notional_limit=5000)
    dry = rebalance(goal(ACME="0.1", BETA="0.3", OUT="0.2"), dry_run=True).json()
    assert [(order["symbol"], order["verdict"]["code"]) for order in dry["orders"]] == [
        ("ACME", "ORDER_NOTIONAL_EXCEEDS_LIMIT"),
        ("BETA", ""),
        ("OUT", "INSUFFICIENT_CASH"),
    ]


def test_a_dry_run_counts_the_orders_before_against_the_days_trades(goal: GoalAt, rebalance: Rebalancing) -> None:
    SafetySettings.objects.update(daily_trade_limit=1)
    url = goal(ACME="0.5", BETA="0.3")
    for dry_run in (True, False):
        body = rebalance(url, dry_run=dry_run).json()
        assert [order["verdict"]["code"] for order in body["orders"]] == ["", "DAILY_TRADES_EXCEEDED"]


def test_what_is_sold_makes_room_for_what_is_bought(goal: GoalAt, place: Place, rebalance: Rebalancing) -> None:
    place(quantity=Decimal(100))
    SafetySettings.objects.update(exposure_limit=10_000)
    url = goal(ACME="0.3", BETA="0.7")
    for dry_run in (True, False):
        assert [order["verdict"]["code"] for order in rebalance(url, dry_run=dry_run).json()["orders"]] == ["", ""]


def test_a_stopped_desk_refuses_every_order_of_it(goal: GoalAt, rebalance: Rebalancing, operator_actor: Actor) -> None:
    safety.kill(actor=operator_actor, reason="stop")
    body = rebalance(goal(ACME="0.5", BETA="0.3")).json()
    assert {order["code"] for order in body["orders"]} == {"KILL_SWITCH_ACTIVE"}
    assert (body["status"], body["counts"]["refused"]) == ("completed", 2)
    assert PaperOrder.objects.count() == 0


def test_orders_are_placed_in_the_name_of_the_goals_strategy(
    goal: GoalAt, rebalance: Rebalancing, api: Clients, operator_actor: Actor
) -> None:
    url, strategy = goal(ACME="0.5"), Strategy.objects.create(name="Crossing").pk
    api("trader").patch(url, {"strategy_id": str(strategy)}, format="json")
    safety.kill(actor=operator_actor, reason="stop it", scope=strategy)
    for dry_run in (True, False):
        [order] = rebalance(url, dry_run=dry_run).json()["orders"]
        assert order["verdict"]["code"] == "KILL_SWITCH_ACTIVE"
    assert Order.objects.get().strategy_id == strategy


def test_a_symbol_without_a_price_is_left_out_and_said(goal: GoalAt, rebalance: Rebalancing) -> None:
    Instrument.objects.create(symbol="BARE")
    body = rebalance(goal(ACME="0.5", BARE="0.3")).json()
    assert [order["symbol"] for order in body["orders"]] == ["ACME"]
    assert [(skip["symbol"], skip["code"]) for skip in body["skipped"]] == [("BARE", "NO_PRICE")]


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_account_that_cannot_be_valued_is_not_rebalanced(
    goal: GoalAt, place: Place, rebalance: Rebalancing, dry_run: bool
) -> None:
    place()
    url = goal(BETA="0.5")
    Position.objects.update(source="gone")
    answer = rebalance(url, dry_run=dry_run)
    assert (answer.status_code, answer.json()["code"]) == (409, "PRICES_MISSING")
    assert "ACME" in answer.json()["detail"]
    Position.objects.update(quantity=0)
    Account.objects.update(cash=0)
    assert rebalance(url, dry_run=dry_run).json()["code"] == "EQUITY_NOT_POSITIVE"


def test_a_goal_that_is_off_can_be_tried_and_not_carried_out(
    goal: GoalAt, rebalance: Rebalancing, api: Clients
) -> None:
    url = goal(ACME="0.5")
    api("trader").patch(url, {"enabled": False}, format="json")
    assert rebalance(url, dry_run=True).status_code == 200
    assert rebalance(url).json()["code"] == "GOAL_DISABLED"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"min_trade": "-1"}, "min_trade"),
        ({"min_trade": 0.5}, "min_trade"),
        ({"min_trade": "NaN"}, "min_trade"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"sell_outside": 7}, "sell_outside"),
        ({"leverage": 2}, "leverage"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(
    goal: GoalAt, rebalance: Rebalancing, body: dict[str, Any], pointer: str
) -> None:
    answer = rebalance(goal(ACME="0.5"), **body)
    assert answer.status_code == 400, answer.content
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert Rebalance.objects.count() == 0


def test_who_may_rebalance(goal: GoalAt, rebalance: Rebalancing, api: Clients) -> None:
    url = goal(ACME="0.5")
    stranger = api(user_with_role(Role.TRADER, "stranger"))
    assert rebalance(url, client=api()).status_code == 401
    assert rebalance(url, client=api("viewer")).status_code == 403
    assert rebalance(url, client=stranger).status_code == 403
    assert Rebalance.objects.count() == 0
    assert rebalance(url, client=stranger, dry_run=True).status_code == 200
    assert rebalance(url, client=api("operator")).status_code == 201


def test_what_is_not_there_is_a_404(goal: GoalAt, rebalance: Rebalancing, api: Clients) -> None:
    url, other = goal(ACME="0.5"), goal(BETA="0.1")
    made = rebalance(url).json()["id"]
    viewer = api("viewer")
    assert viewer.get(f"{other}/rebalances/{made}").json()["code"] == "REBALANCE_UNKNOWN"
    assert viewer.get(f"{url}/rebalances/{uuid4()}").status_code == 404
    assert viewer.get(f"{url}/rebalances/x").status_code == 400
    assert rebalance(f"{URL}/{uuid4()}").json()["code"] == "GOAL_UNKNOWN"
    assert viewer.get(f"{url}/rebalances?colour=red").status_code == 400
