"""The notify step: what it tells, when, and in which words."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from safety.models import AlertEvent
from safety.steps import Notify, NotifyConfig
from tests.safety.cases import STRATEGY, D
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated
from tradingsite.common.contracts.steps import StepContext, StepInterrupted, step_types
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.models import LiveEvent

DECISIONS = [
    {"symbol": "AAPL", "action": "BUY", "confidence": 0.8, "reason": "RSI 25 < 30", "price": "101.50"},
    {"symbol": "MSFT", "action": "HOLD", "confidence": 0.1, "reason": "nothing", "price": "50"},
    {"symbol": "IBM", "action": "SELL", "confidence": 0.6, "reason": "RSI 75 > 70", "price": None},
]
ORDERS = [
    {"symbol": "AAPL", "side": "buy", "quantity": "10", "status": "filled", "code": "", "average_price": "101.55"},
    {"symbol": "IBM", "side": "sell", "quantity": "5", "status": "denied", "code": "DUPLICATE_ORDER"},
]
OUTPUTS = {"Decide": {"decisions": DECISIONS}, "Order": {"orders": ORDERS}}


def context(config: dict[str, Any], outputs: dict[str, Any] = OUTPUTS, **changes: Any) -> StepContext:
    base = StepContext(
        execution_id=uuid.UUID(int=7), step_index=4, step_name="Tell", attempt=1, actor=Actor.system("run"),
        strategy_id=STRATEGY, strategy_name="Dip buyer", workflow_name="Dips", symbols=("AAPL", "MSFT", "IBM"),
        params={}, config=validated(NotifyConfig, config), as_of=datetime(2026, 1, 5, tzinfo=UTC), mode="paper",
        outputs=outputs, log=lambda line: None, progress=lambda share: None, check=lambda: None,
    )  # fmt: skip
    return replace(base, **changes)


def told(config: dict[str, Any], **changes: Any) -> list[str]:
    result = Notify().run(context(config, **changes))
    events = {str(event.pk): event for event in AlertEvent.objects.all()}
    assert set(result.output["notified"]) == set(events)
    return [events[key].message for key in result.output["notified"]]


def test_the_step_is_registered() -> None:
    assert step_types.get("notify") is Notify


@pytest.mark.django_db
def test_each_decision_but_hold_is_told() -> None:
    assert told({}) == ["BUY AAPL: RSI 25 < 30", "SELL IBM: RSI 75 > 70"]
    first = AlertEvent.objects.get(symbol="AAPL")
    assert (first.kind, first.name, first.value) == ("notify", "Dips", D("101.5"))
    assert LiveEvent.objects.count() == 2


@pytest.mark.django_db
def test_each_order_is_told_with_its_status() -> None:
    config = {"only_when": "order", "message": "{symbol} {side} {quantity} {status}{code}", "severity": "warning"}
    assert told(config) == ["AAPL buy 10 filled", "IBM sell 5 deniedDUPLICATE_ORDER"]
    assert set(AlertEvent.objects.values_list("severity", flat=True)) == {"warning"}


@pytest.mark.django_db
def test_always_tells_once_whatever_happened() -> None:
    assert told({"only_when": "always"}, outputs={}) == ["Dips looked at AAPL, MSFT, IBM."]


@pytest.mark.django_db
def test_a_run_without_decisions_tells_nothing() -> None:
    assert told({}, outputs={}) == []


@pytest.mark.django_db
def test_a_repeated_step_tells_nobody_twice() -> None:
    first = Notify().run(context({}))
    again = Notify().run(context({}, attempt=2))
    assert first.output == again.output
    assert AlertEvent.objects.count() == LiveEvent.objects.count() == 2


@pytest.mark.django_db
def test_a_step_that_must_stop_tells_nothing() -> None:
    def stop() -> None:
        raise StepInterrupted

    with pytest.raises(StepInterrupted):
        Notify().run(context({}, check=stop))
    assert not AlertEvent.objects.exists()


@pytest.mark.django_db
def test_what_a_decision_says_is_text_and_never_a_template() -> None:
    decision = {**DECISIONS[0], "reason": "{workflow.__class__} {symbol} $symbol %s"}
    messages = told({"message": "{{{reason}}}"}, outputs={"d": {"decisions": [decision]}})
    assert messages == ["{{workflow.__class__} {symbol} $symbol %s}}"]


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"message": "{symbol.__class__}"}, "message"),
        ({"message": "{symbol!r}"}, "message"),
        ({"message": "{0}"}, "message"),
        ({"message": "{"}, "message"),
        ({"message": "{status}"}, "message"),
        ({"only_when": "always", "message": "{symbol}"}, "message"),
        ({"message": ""}, "message"),
        ({"message": "x" * 501}, "message"),
        ({"only_when": "never"}, "only_when"),
        ({"severity": "loud"}, "severity"),
        ({"channel": "mail"}, "channel"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_by_field(config: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        validated(NotifyConfig, config)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def test_an_unknown_placeholder_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValidationFailed) as caught:
        validated(NotifyConfig, {"message": "{ticker}"})
    assert "Unknown here: ticker" in caught.value.errors[0].detail
    assert "symbol" in caught.value.errors[0].detail
