"""The history of verdicts says what became of each order, and no counter takes an order for what it was not."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from market.models import BarSeries, Instrument
from portfolio import drill
from portfolio.drill import kill_drill
from portfolio.models import Account, Order
from safety import selectors
from safety import services as safety
from safety.errors import LedgerReadOnly
from safety.models import DecisionOutcome, GateDecision, SafetySettings
from tests.portfolio.test_drill import InThisProcess
from tests.support.alpaca import Book
from tests.support.counted import trades_counted
from tests.support.webhooks import maker
from tradingsite.common.actor import Actor
from tradingsite.common.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
NONE = {"passed": 0, "denied": 0, "refused": 0, "stopped": 0, "rejected": 0}


@pytest.fixture
def webhook(actor: Actor, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["order.filled", "order.rejected", "order.denied"])


def verdict_of(order: Order) -> GateDecision:
    return GateDecision.objects.select_related("outcome").get(pk=order.decision_id)


def became(**counts: int) -> None:
    assert selectors.safety_status()["orders_today"] == {**NONE, **counts}


def test_an_order_that_the_desk_refuses_is_no_preview_and_uses_up_nothing(acme: BarSeries, place: Place) -> None:
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    order = place()
    assert (order.status, order.code) == ("denied", "CURRENCY_MISMATCH")
    verdict = verdict_of(order)
    assert (verdict.allowed, verdict.preview, verdict.became) == (True, False, "refused")
    assert (verdict.outcome.code, verdict.outcome.detail) == (order.code, order.detail)
    became(refused=1)
    status = selectors.safety_status()
    assert trades_counted(order.account_id) == status["trades_today"] == 0
    assert status["limits"]["order_rate_limit"]["used_today"] == 0
    assert status["limits"]["order_notional_limit"]["used_today"] == "0"


def test_refused_orders_take_no_place_in_the_rate(acme: BarSeries, place: Place) -> None:
    SafetySettings.objects.update(order_rate_limit=1, duplicate_window_s=0)
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    assert place().code == "CURRENCY_MISMATCH"
    Instrument.objects.filter(symbol="ACME").update(currency="USD")
    assert place(client_order_id="two").code == ""
    assert place(client_order_id="three").code == "ORDER_RATE_EXCEEDED"


def test_what_the_gate_denies_and_the_desk_would_refuse_as_well_is_a_denial(acme: BarSeries, place: Place) -> None:
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    order = place(quantity=Decimal(1_000_000))
    assert order.code == "ORDER_NOTIONAL_EXCEEDS_LIMIT"
    assert (verdict_of(order).became, verdict_of(order).preview) == ("denied", False)
    became(denied=1)
    assert selectors.safety_status()["limits"]["order_notional_limit"]["denied_today"] == 1


def test_an_order_that_the_last_look_at_the_switch_stops_says_so(
    acme: BarSeries, place: Place, operator_actor: Actor
) -> None:
    order = place(before_send=lambda: safety.kill(actor=operator_actor, reason="now"))
    verdict = verdict_of(order)
    assert (verdict.allowed, verdict.became, verdict.outcome.code) == (True, "stopped", "KILL_SWITCH_ACTIVE")
    assert "now" in verdict.outcome.detail
    became(stopped=1)
    assert selectors.safety_status()["limits"]["order_notional_limit"]["used_today"] == "0"


def test_an_order_that_the_broker_rejects_says_so_in_the_brokers_words(book: Book, place: Place) -> None:
    book.cash = Decimal(0)
    order = place()
    assert (order.status, order.code) == ("rejected", "BROKER_REJECTED")
    verdict = verdict_of(order)
    assert (verdict.allowed, verdict.became) == (True, "rejected")
    assert (verdict.outcome.code, verdict.outcome.detail) == (order.code, order.detail)
    became(rejected=1)


def test_an_order_that_goes_its_way_has_passed_and_a_preview_counts_as_nothing(acme: BarSeries, place: Place) -> None:
    order = place()
    assert order.status == "filled"
    assert verdict_of(order).became == "passed"
    GateDecision.objects.create(
        allowed=True, preview=True, client_order_id="p", account_id=order.account_id, symbol="ACME", side="buy",
        order_type="market", quantity="1", mode="paper", actor_name="x",
    )  # fmt: skip
    became(passed=1)


def test_what_was_written_first_of_an_order_stays(acme: BarSeries, place: Place) -> None:
    order = place()
    for kind in ("rejected", "stopped"):
        safety.decision_outcome(decision_id=order.decision_id, kind=kind, code=kind.upper(), detail="")  # type: ignore[arg-type]
    outcome = DecisionOutcome.objects.get()
    assert outcome.kind == "rejected"
    for change in (outcome.save, outcome.delete, DecisionOutcome.objects.all().delete):
        with pytest.raises(LedgerReadOnly):
            change()


def test_the_api_shows_and_finds_what_became_of_an_order(
    acme: BarSeries, place: Place, api: Callable[..., APIClient]
) -> None:
    place()
    Instrument.objects.filter(symbol="ACME").update(currency="JPY")
    place(client_order_id="two", quantity=Decimal(3))
    client = api("viewer")
    refused, passed = client.get("/api/safety/decisions").json()["results"]
    assert (passed["became"], passed["became_code"], passed["became_at"]) == ("passed", "", None)
    assert (refused["became"], refused["became_code"]) == ("refused", "CURRENCY_MISMATCH")
    assert "JPY" in refused["became_detail"]
    assert refused["became_at"].endswith("Z")
    [found] = client.get("/api/safety/decisions?outcome=refused").json()["results"]
    assert found["id"] == refused["id"]
    assert client.get("/api/safety/decisions?outcome=lost").status_code == 400
    assert client.get("/api/safety").json()["orders_today"] == {**NONE, "passed": 1, "refused": 1}


# --------------------------------------------------------------------------------------------------------------- drill


class Looked(InThisProcess):
    """A drill's processes, and a look at the desk's figures while they flow and are denied."""

    seen: list[dict[str, Any]]

    def wait_for_denials(self) -> None:
        super().wait_for_denials()
        for sender in self.senders:
            sender.denied_at = time.time()
        type(self).seen.append(selectors.safety_status())


def test_a_drills_orders_are_marked_and_shown_and_are_in_no_figure_and_no_webhook(
    account: Account,
    operator_actor: Actor,
    api: Callable[..., APIClient],
    monkeypatch: pytest.MonkeyPatch,
    webhook: None,
    prices: Any,
) -> None:
    monkeypatch.setattr(drill, "Senders", Looked)
    monkeypatch.setattr(drill, "WATCH_S", 0.05)
    monkeypatch.setattr(Looked, "seen", [], raising=False)
    before = selectors.safety_status()
    assert kill_drill(actor=operator_actor, processes=2, kills=1).passed
    for status in (*Looked.seen, selectors.safety_status()):
        assert status["orders_today"] == NONE
        assert status["trades_today"] == 0
        for name, limit in status["limits"].items():
            assert limit == before["limits"][name], name
    assert not WebhookDelivery.objects.exists()
    shown = api("viewer").get("/api/safety/decisions?drill=true").json()["results"]
    assert {row["became"] for row in shown} == {"passed", "denied"}
    assert {row["symbol"] for row in shown} == {"KILLDRILL"}
    assert api("viewer").get("/api/safety/decisions?drill=false").json()["results"] == []


def test_an_order_of_the_desks_own_is_none_of_a_drill_whatever_strategy_it_names(
    acme: BarSeries, place: Place, webhook: None
) -> None:
    order = place(strategy_id=drill.STRATEGY)
    assert not verdict_of(order).drill
    became(passed=1)
    assert WebhookDelivery.objects.count() == 1
