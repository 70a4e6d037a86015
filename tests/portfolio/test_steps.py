"""From decisions to orders, as a run does it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from market.models import BarSeries, Instrument
from portfolio import selectors, services
from portfolio.models import Account, Fill, Order, PaperOrder
from portfolio.steps import OrderConfig, OrderStep, RiskCheckConfig, RiskCheckStep
from safety import services as safety
from safety.models import GateDecision
from tests.portfolio.conftest import Prices
from tests.support.counted import trades_counted
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepError, StepInterrupted
from tradingsite.common.errors import ValidationFailed

pytestmark = pytest.mark.django_db

Decided = Mapping[str, Any]
TENTH = {"method": "equity_fraction", "value": "0.1"}


def decision(symbol: str, action: str, price: str = "102", confidence: float = 0.6) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "action": action,
        "confidence": confidence,
        "r_coefficient": None,
        "reason": "because",
        "price": price,
        "stop": None,
        "target": None,
        "bar_time": "2026-01-02T00:00:00Z",
    }


class Run:
    """A run of risk_check and order over decisions that somebody else made."""

    def __init__(self, actor: Actor) -> None:
        self.logs: list[str] = []
        self.context = StepContext(
            execution_id=uuid4(),
            step_index=4,
            step_name="order",
            attempt=1,
            actor=actor,
            strategy_id=uuid4(),
            strategy_name="s",
            workflow_name="w",
            symbols=("ACME",),
            params={},
            config={},
            as_of=utcnow(),
            mode="paper",
            outputs={},
            log=self.logs.append,
            progress=lambda part: None,
            check=lambda: None,
        )

    def decide(self, *decisions: Decided) -> "Run":
        series = {
            name: {
                "series_id": None,
                "source": "prices-historical",
                "timeframe": "1d",
                "adjustment": "none",
                "version": 1,
                "bars": 3,
                "decision_time": "2026-01-02T00:00:00Z",
                "decision_close": "102",
                "market_now": "2026-01-03T00:00:00Z",
            }
            for name in {made["symbol"] for made in decisions}
        }
        self.context = replace(
            self.context, outputs={"prices": {"series": series}, "signal": {"decisions": list(decisions)}}
        )
        return self

    def check(self, **config: Any) -> Mapping[str, Any]:
        checked = validated(RiskCheckConfig, {"sizing": TENTH, **config})
        output = RiskCheckStep().run(replace(self.context, config=checked)).output
        self.context = replace(self.context, outputs={**self.context.outputs, "risk": output})
        return output

    def order(self, **config: Any) -> list[Mapping[str, Any]]:
        output = OrderStep().run(replace(self.context, config=validated(OrderConfig, config))).output
        orders: list[Mapping[str, Any]] = output["orders"]
        return orders


@pytest.fixture
def run(actor: Actor, account: Account) -> Run:
    return Run(actor)


def test_a_buy_is_sized_by_equity_checked_and_filled(acme: BarSeries, run: Run) -> None:
    [intent] = run.decide(decision("ACME", "BUY")).check()["intents"]
    assert intent == {
        "account_id": str(selectors.account_default().pk),
        "symbol": "ACME",
        "side": "buy",
        "quantity": "98",  # 10000 / 102 = 98.04
        "order_type": "market",
        "reference_price": "102",
        "notional": "9996",
        "reduces": False,
        "source": "prices-historical",
        "timeframe": "1d",
        "adjustment": "none",
        "market_now": "2026-01-03T00:00:00Z",
        "verdict": {"allowed": True, "code": "", "detail": ""},
    }
    assert GateDecision.objects.get().preview
    [order] = run.order()
    assert (order["status"], order["filled_quantity"], order["average_price"]) == ("filled", "98", "103.0515")
    assert order["client_order_id"] == f"{run.context.execution_id}-4-ACME-0"
    row = Order.objects.get()
    assert (row.strategy_id, row.execution_id) == (run.context.strategy_id, run.context.execution_id)
    assert row.created_by_id == run.context.actor.user_id


def test_the_step_again_places_nothing_twice(acme: BarSeries, run: Run) -> None:
    run.decide(decision("ACME", "BUY")).check()
    assert run.order() == run.order()
    assert (Order.objects.count(), PaperOrder.objects.count(), Fill.objects.count()) == (1, 1, 1)


def test_a_sell_closes_all_that_is_held(acme: BarSeries, place: Callable[..., Order], run: Run) -> None:
    place()
    [intent] = run.decide(decision("ACME", "SELL")).check()["intents"]
    assert (intent["side"], intent["quantity"], intent["reduces"]) == ("sell", "10", True)
    run.order()
    assert selectors.position_quantity(selectors.account_default(), "ACME") == 0


def test_why_a_decision_makes_no_order_is_said(
    acme: BarSeries, prices: Prices, place: Callable[..., Order], run: Run
) -> None:
    prices.series("BETA", [(100, 101, 99, 100)] * 3)
    prices.series("DEAR", [(100, 101, 99, 100)] * 3)
    place()
    output = run.decide(
        decision("ACME", "BUY"), decision("BETA", "SELL"), decision("DEAR", "BUY", price="20000"), decision("X", "HOLD")
    ).check()
    assert output["intents"] == []
    assert output["skipped"] == {
        "ACME": "it is held already",
        "BETA": "nothing is held",
        "DEAR": "the size comes to less than one lot",
    }
    assert "BETA: no order, nothing is held" in run.logs
    assert run.order() == []


def another(run: Run) -> Run:
    """Return another run, of another strategy, at the same moment."""
    made = Run(run.context.actor)
    made.context = replace(made.context, strategy_id=uuid4())
    return made


def test_two_runs_that_both_planned_to_sell_all_sell_it_once(
    acme: BarSeries, place: Callable[..., Order], run: Run, account: Account
) -> None:
    place()
    other = another(run)
    for each in (run, other):
        [intent] = each.decide(decision("ACME", "SELL")).check()["intents"]
        assert intent["verdict"]["allowed"]
    assert [run.order()[0]["status"], other.order()[0]["code"]] == ["filled", "POSITION_CHANGED"]
    assert selectors.position_quantity(account, "ACME") == 0


def test_two_runs_that_both_planned_to_open_a_position_open_it_once(
    acme: BarSeries, run: Run, account: Account
) -> None:
    other = another(run)
    run.decide(decision("ACME", "BUY")).check()
    other.decide(decision("ACME", "BUY")).check(sizing={"method": "quantity", "value": "7"})
    assert [run.order()[0]["status"], other.order()[0]["code"]] == ["filled", "POSITION_CHANGED"]
    assert selectors.position_quantity(account, "ACME") == 98
    # What was never sent is none of the day's trades.
    assert trades_counted(account.pk) == 1


def test_a_buy_that_rests_by_now_is_not_added_to(prices: Prices, run: Run, account: Account) -> None:
    prices.series("ACME", [(100, 101, 99, 100)] * 3)
    other = another(run)
    run.decide(decision("ACME", "BUY", "50")).check()
    other.decide(decision("ACME", "BUY")).check(sizing={"method": "quantity", "value": "7"})
    assert run.order(order_type="limit")[0]["status"] == "accepted"
    assert other.order()[0]["code"] == "POSITION_CHANGED"


def test_a_run_trades_in_the_account_that_it_planned_for(
    acme: BarSeries, place: Callable[..., Order], run: Run, account: Account, actor: Actor
) -> None:
    run.decide(decision("ACME", "BUY")).check()
    other = Account(name="Other", starting_cash=Decimal(50_000), is_default=True)
    services.account_save(actor=actor, account=other)
    assert selectors.account_default().pk == other.pk
    assert run.order()[0]["status"] == "filled"
    assert run.order()[0]["status"] == "filled"  # and again, without another content under the same id
    assert selectors.position_quantity(account, "ACME") == 98
    assert selectors.position_quantity(other, "ACME") == 0


def test_sells_can_be_switched_off(acme: BarSeries, place: Callable[..., Order], run: Run) -> None:
    place()
    output = run.decide(decision("ACME", "SELL")).check(close_on_sell="none")
    assert output["skipped"] == {"ACME": "sells are off in this step"}


def test_max_orders_keeps_sells_first_and_then_the_surest_buys(
    acme: BarSeries, prices: Prices, place: Callable[..., Order], run: Run
) -> None:
    for symbol in ("BETA", "GAMMA"):
        prices.series(symbol, [(100, 101, 99, 100)] * 3)
    place()
    output = run.decide(
        decision("BETA", "BUY", "100", 0.6), decision("GAMMA", "BUY", "100", 0.9), decision("ACME", "SELL")
    ).check(max_orders=2)
    assert [(intent["symbol"], intent["side"]) for intent in output["intents"]] == [("ACME", "sell"), ("GAMMA", "buy")]
    assert output["skipped"] == {"BETA": "the run may make 2 orders at most"}


def test_a_preview_counts_the_cash_of_the_buys_before_it(
    acme: BarSeries, prices: Prices, account: Account, run: Run
) -> None:
    prices.series("BETA", [(100, 101, 99, 100)] * 3)
    Account.objects.update(cash=Decimal(15_000), starting_cash=Decimal(15_000))
    first, second = run.decide(decision("ACME", "BUY", confidence=0.9), decision("BETA", "BUY", "100")).check(
        sizing={"method": "notional", "value": "10000"}
    )["intents"]
    assert first["verdict"]["allowed"]
    assert second["verdict"]["code"] == "INSUFFICIENT_CASH"


def test_a_preview_judges_by_the_price_that_the_order_will_be_judged_by(
    acme: BarSeries, run: Run, admin_actor: Actor
) -> None:
    safety.limits_update(actor=admin_actor, changes={"order_notional_limit": "10000"})
    # 98 at the close of 102 are 9,996, and at the open of 103, where the market stands, 10,094.
    [intent] = run.decide(decision("ACME", "BUY")).check()["intents"]
    assert intent["verdict"]["code"] == "ORDER_NOTIONAL_EXCEEDS_LIMIT"
    assert run.order()[0]["code"] == "ORDER_NOTIONAL_EXCEEDS_LIMIT"


def test_a_preview_says_what_the_order_service_itself_would_refuse(acme: BarSeries, run: Run) -> None:
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    [intent] = run.decide(decision("ACME", "BUY")).check()["intents"]
    assert (intent["verdict"]["allowed"], intent["verdict"]["code"]) == (False, "CURRENCY_MISMATCH")
    assert run.order()[0]["code"] == "CURRENCY_MISMATCH"


def test_a_preview_counts_the_trades_of_the_orders_before_it(
    acme: BarSeries, prices: Prices, run: Run, admin_actor: Actor
) -> None:
    safety.limits_update(actor=admin_actor, changes={"daily_trade_limit": 1})
    prices.series("BETA", [(100, 101, 99, 100)] * 3)
    decisions = decision("ACME", "BUY", confidence=0.9), decision("BETA", "BUY", "100")
    intents = run.decide(*decisions).check()["intents"]
    assert [intent["verdict"]["code"] for intent in intents] == ["", "DAILY_TRADES_EXCEEDED"]
    assert [order["code"] for order in run.order()] == ["", "DAILY_TRADES_EXCEEDED"]


def test_a_denied_intent_becomes_a_denied_order(acme: BarSeries, run: Run) -> None:
    [intent] = run.decide(decision("ACME", "BUY")).check(sizing={"method": "quantity", "value": "300"})["intents"]
    assert intent["verdict"]["code"] == "ORDER_NOTIONAL_EXCEEDS_LIMIT"
    [order] = run.order()
    assert (order["status"], order["code"]) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")
    assert PaperOrder.objects.count() == 0


def test_a_kill_before_the_order_step_denies_its_orders(acme: BarSeries, run: Run, operator_actor: Actor) -> None:
    run.decide(decision("ACME", "BUY")).check()
    safety.kill(actor=operator_actor, reason="stop")
    [order] = run.order()
    assert (order["status"], order["code"]) == ("denied", "KILL_SWITCH_ACTIVE")


def test_a_run_that_is_stopped_sends_nothing(acme: BarSeries, run: Run) -> None:
    run.decide(decision("ACME", "BUY")).check()
    asked: list[int] = []

    def stop_at_the_second_look() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise StepInterrupted

    run.context = replace(run.context, check=stop_at_the_second_look)
    with pytest.raises(StepInterrupted):
        run.order()
    assert (Order.objects.get().status, PaperOrder.objects.count()) == ("pending", 0)


@pytest.mark.parametrize(
    ("side", "offset", "limit"), [("BUY", "0.5", "101.49"), ("SELL", "0.5", "102.51"), ("BUY", "0", "102")]
)
def test_a_limit_is_set_off_the_reference_price(
    acme: BarSeries, place: Callable[..., Order], run: Run, side: str, offset: str, limit: str
) -> None:
    if side == "SELL":
        place()
    run.decide(decision("ACME", side)).check()
    run.order(order_type="limit", limit_offset_pct=offset)
    order = Order.objects.get(execution_id=run.context.execution_id)
    assert order.limit_price == Decimal(limit)


def test_without_decisions_or_intents_the_steps_say_what_is_missing(run: Run, account: Account) -> None:
    with pytest.raises(StepError) as refused:
        run.check()
    assert refused.value.code == "NO_DECISIONS"
    with pytest.raises(StepError) as refused:
        run.order()
    assert refused.value.code == "NO_INTENTS"


def test_without_an_account_the_step_says_how_to_make_one(acme: BarSeries, actor: Actor) -> None:
    with pytest.raises(StepError) as refused:
        Run(actor).decide(decision("ACME", "BUY")).check()
    assert refused.value.code == "ACCOUNT_MISSING"


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({}, "sizing"),
        ({"sizing": {"method": "guess"}}, "sizing/method"),
        ({"sizing": {"method": "notional"}}, "sizing/value"),
        ({"sizing": {"method": "equity_fraction", "value": "1.5"}}, "sizing/value"),
        ({"sizing": {"method": "notional", "value": "-1"}}, "sizing/value"),
        ({"sizing": {"method": "notional", "value": "NaN"}}, "sizing/value"),
        ({"sizing": TENTH, "max_orders": 0}, "max_orders"),
        ({"sizing": TENTH, "close_on_sell": "some"}, "close_on_sell"),
        ({"sizing": TENTH, "max_order": 3}, "max_order"),
        ({"sizing": {**TENTH, "extra": 1}}, "sizing/extra"),
    ],
)
def test_a_wrong_config_is_named_by_its_field(config: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        validated(RiskCheckConfig, config)
    assert pointer in {error.pointer for error in refused.value.errors}
