"""Verdicts are kept, limits are strict, alerts are told, every change is written down."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from safety import selectors, services
from safety.errors import AlertNotFound, LedgerReadOnly
from safety.models import AlertEvent, AuditLog, DayCounter, GateDecision
from tests.safety.cases import EXPOSURE, INTENT, D
from tests.support.counted import trades_counted
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied, PreconditionFailed, ValidationFailed
from tradingsite.common.models import LiveEvent

pytestmark = pytest.mark.django_db

DESK = Actor.system("test")


def check(*, consume: bool = True, intent: Any = INTENT, exposure: Any = EXPOSURE) -> Any:
    with transaction.atomic():
        return services.order_check(intent=intent, exposure=exposure, actor=DESK, consume=consume)


def test_an_allowed_order_is_recorded_and_counted() -> None:
    verdict = check()
    assert verdict.allowed
    decision = GateDecision.objects.get(pk=verdict.decision_id)
    assert (decision.allowed, decision.code, decision.preview) == (True, "", False)
    assert (decision.symbol, decision.side, decision.quantity) == ("AAPL", "buy", "10")
    assert (decision.notional, decision.resulting_value) == (1000, 1000)
    assert decision.facts["exposure"]["cash"] == "100000"
    assert decision.facts["limits"]["daily_trade_limit"] == 20
    assert trades_counted(INTENT.account_id) == 1


def test_a_denied_order_is_recorded_and_not_counted() -> None:
    verdict = check(exposure=replace(EXPOSURE, instrument_enabled=False))
    decision = GateDecision.objects.get(pk=verdict.decision_id)
    assert (decision.allowed, decision.code) == (False, "INSTRUMENT_NOT_ALLOWED")
    assert trades_counted(INTENT.account_id) == 0


def test_a_preview_is_recorded_and_never_counted() -> None:
    verdict = services.order_check(intent=INTENT, exposure=EXPOSURE, actor=DESK, consume=False)
    assert verdict.allowed
    assert GateDecision.objects.get().preview
    assert not DayCounter.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_order_is_only_counted_in_the_transaction_that_sends_it() -> None:
    with pytest.raises(RuntimeError):
        services.order_check(intent=INTENT, exposure=EXPOSURE, actor=DESK, consume=True)


def test_the_last_trade_of_the_day_passes_and_the_next_does_not(admin_actor: Actor) -> None:
    services.limits_update(actor=admin_actor, changes={"daily_trade_limit": 2})
    codes = [check().code for _ in range(3)]
    assert codes == ["", "", "DAILY_TRADES_EXCEEDED"]
    reducing = replace(INTENT, side="sell")
    assert check(intent=reducing, exposure=replace(EXPOSURE, position_quantity=D(10))).allowed
    assert trades_counted(INTENT.account_id) == 3


def test_a_kill_denies_the_next_order_of_the_killed_strategy_only() -> None:
    services.kill(actor=DESK, reason="odd", scope=INTENT.strategy_id or "")
    assert check().code == "KILL_SWITCH_ACTIVE"
    assert check(intent=replace(INTENT, strategy_id=uuid4())).allowed


@pytest.mark.parametrize("quantity", [D("NaN"), D("1E+999999"), D("Infinity"), D("1" * 90), D("1E-90")])
def test_an_order_beyond_all_sense_is_recorded_as_well(quantity: Decimal) -> None:
    assert check(intent=replace(INTENT, quantity=quantity)).code == "QUANTITY_INVALID"
    assert GateDecision.objects.count() == 1


def test_verdicts_are_never_changed_or_removed() -> None:
    check()
    decision = GateDecision.objects.get()
    for change in (decision.save, decision.delete, GateDecision.objects.all().delete):
        with pytest.raises(LedgerReadOnly):
            change()
    with pytest.raises(LedgerReadOnly):
        GateDecision.objects.update(allowed=True)


# ------------------------------------------------------------------------------------------------------------ limits


def test_limits_are_changed_by_an_admin_and_written_down(admin_actor: Actor) -> None:
    row = services.limits_update(
        actor=admin_actor, changes={"position_limit": "60000", "paper_mode": False}, reason="bigger account"
    )
    assert (row.version, row.updated_by) == (2, "admin")
    assert selectors.limits_current().position_limit == 60_000
    entry = AuditLog.objects.get()
    assert (entry.action, entry.reason, entry.actor_name) == ("limits.update", "bigger account", "admin")
    assert entry.before == {"paper_mode": True, "position_limit": "50000"}
    assert entry.after == {"paper_mode": False, "position_limit": "60000"}


def test_a_change_to_the_same_values_changes_nothing(admin_actor: Actor) -> None:
    row = services.limits_update(actor=admin_actor, changes={"position_limit": "50000.00"})
    assert row.version == 1
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_loss", "5"),
        ("position_limit", "-1"),
        ("position_limit", "NaN"),
        ("position_limit", "Infinity"),
        ("position_limit", None),
        ("position_limit", ""),
        ("position_limit", 5000.5),
        ("position_limit", "1e30"),
        ("order_notional_limit", "0.00000000001"),
        ("daily_trade_limit", -1),
        ("daily_trade_limit", 2.5),
        ("daily_trade_limit", "20"),
        ("daily_trade_limit", None),
        ("daily_trade_limit", True),
        ("daily_trade_limit", 10**12),
        ("duplicate_window_s", 86_401),
        ("open_wait_limit_s", -1),
        ("open_wait_limit_s", None),
        ("data_max_age_s", "60"),
        ("price_collar", "1.1"),
        ("price_collar", "-0.1"),
        ("exposure_limit", "sNaN"),
        ("daily_loss_limit", "-5000"),
        ("daily_loss_limit", None),
        ("drawdown_limit", "-0.2"),
        ("drawdown_limit", "20"),
        ("drawdown_limit", ""),
        ("order_rate_limit", 1.5),
        ("breaker_warn_at", "0"),
        ("breaker_warn_at", "-0.1"),
        ("breaker_kill_at", "1.01"),
        ("breaker_kill_at", "0.14"),
        ("breaker_reduce_at", "0.26"),
        ("breaker_reduce_at", None),
        ("paper_mode", None),
        ("paper_mode", "false"),
        ("trading_state", "halted"),
        ("trading_state", "paused"),
        ("trading_state", None),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(admin_actor: Actor, name: str, value: Any) -> None:
    with pytest.raises(ValidationFailed) as caught:
        services.limits_update(actor=admin_actor, changes={name: value, "duplicate_window_s": 30} | {name: value})
    assert [error.pointer for error in caught.value.errors] == [name]
    assert selectors.settings_get().version == 1


def test_only_an_admin_changes_limits(operator_actor: Actor) -> None:
    for actor in (operator_actor, DESK):
        with pytest.raises(PermissionDenied):
            services.limits_update(actor=actor, changes={"daily_trade_limit": 1000})


def test_a_change_based_on_an_old_version_is_refused(admin_actor: Actor) -> None:
    services.limits_update(actor=admin_actor, changes={"daily_trade_limit": 5}, expected_version=1)
    with pytest.raises(PreconditionFailed):
        services.limits_update(actor=admin_actor, changes={"daily_trade_limit": 6}, expected_version=1)


# ------------------------------------------------------------------------------------------------------------ status


def test_the_status_shows_every_limit_with_its_use_today(admin_actor: Actor) -> None:
    services.limits_update(actor=admin_actor, changes={"order_notional_limit": "2000"})
    check()
    check(intent=replace(INTENT, quantity=D(21)))
    status = selectors.safety_status()
    assert (status["paper_mode"], status["trading_state"]) == (True, "active")
    assert (status["trades_today"], status["daily_trade_limit"]) == (1, 20)
    assert status["position_limit"] == "50000"
    assert status["limits"]["order_notional_limit"] == {
        "limit": "2000",
        "used_today": "1000",
        "code": "ORDER_NOTIONAL_EXCEEDS_LIMIT",
        "denied_today": 1,
    }
    assert status["limits"]["daily_trade_limit"]["used_today"] == 1
    assert status["kill_switch"] == {"active": False, "reason": "", "since": None, "by": "", "sources": []}


def test_the_status_of_a_killed_desk_is_halted() -> None:
    services.kill(actor=DESK, reason="too fast")
    status = selectors.safety_status()
    assert status["trading_state"] == "halted"
    switch = status["kill_switch"]
    assert (switch["active"], switch["reason"], switch["by"]) == (True, "too fast", "test")
    assert switch["sources"] == ["database", "file"]
    assert switch["since"].endswith("Z")


# ------------------------------------------------------------------------------------------------- alerts and audit


def test_an_alert_is_kept_and_told() -> None:
    event = services.alert_raise(
        kind="price_above", name="AAPL high", severity="warning", message="AAPL is above 200", symbol="AAPL",
        value=D("201.50"), threshold=D(200), actor=DESK,
    )  # fmt: skip
    live = LiveEvent.objects.get()
    assert (live.stream, live.type) == ("alerts", "alert")
    assert live.data["id"] == str(event.pk)
    assert (live.data["value"], live.data["threshold"]) == ("201.5", "200")


def test_an_alert_of_an_unknown_kind_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError):
        services.alert_raise(kind="x", name="n", severity="info", message="m", actor=DESK)
    assert not AlertEvent.objects.exists()


def test_an_alert_is_acknowledged_once_and_by_one(operator_actor: Actor) -> None:
    event = services.alert_raise(kind="notify", name="n", severity="info", message="m", actor=DESK)
    first = services.alert_acknowledge(actor=operator_actor, alert_id=event.pk)
    again = services.alert_acknowledge(actor=DESK, alert_id=event.pk)
    assert first.acknowledged_at == again.acknowledged_at
    assert again.acknowledged_by == "operator"
    assert list(LiveEvent.objects.order_by("seq").values_list("type", flat=True)) == ["alert", "alert_acknowledged"]
    with pytest.raises(AlertNotFound):
        services.alert_acknowledge(actor=operator_actor, alert_id=uuid4())


def test_an_audit_row_names_who_did_what_to_which_row_and_why(operator_actor: Actor) -> None:
    event = services.alert_raise(kind="notify", name="n", severity="info", message="m", actor=DESK)
    actor = replace(operator_actor, request_id="request-1")
    audit.record(actor=actor, action="thing.do", target=event, before={"a": D("1.5")}, after=None, reason="because")
    row = AuditLog.objects.get()
    assert (row.actor_kind, row.actor_name, row.actor_role, row.door) == ("user", "operator", "operator", "request")
    assert (row.action, row.target_type, row.target_id) == ("thing.do", "safety.alertevent", str(event.pk))
    assert (row.before, row.after, row.reason, row.request_id) == ({"a": "1.5"}, None, "because", "request-1")
    with pytest.raises(LedgerReadOnly):
        row.delete()


def test_a_change_that_rolls_back_leaves_no_audit_row(admin_actor: Actor) -> None:
    with transaction.atomic():
        services.limits_update(actor=admin_actor, changes={"daily_trade_limit": 5})
        transaction.set_rollback(True)
    assert not AuditLog.objects.exists()
