"""The admin shows everything, changes only by the services, and never touches history."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from safety import killswitch, selectors, services
from safety.models import (
    AlertEvent,
    AuditLog,
    DayCounter,
    DrawdownBreaker,
    GateDecision,
    KillSwitch,
    KillSwitchEvent,
    ReconciliationBlock,
    SafetySettings,
    ScopedLimits,
)
from tests.safety.cases import EXPOSURE, INTENT, STRATEGY, D
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Browser = Callable[..., Client]
LEDGERS = [AlertEvent, AuditLog, DayCounter, DrawdownBreaker, GateDecision, KillSwitchEvent, ReconciliationBlock]
DESK = Actor.system("test")


def url(model: Any, what: str, *arguments: Any) -> str:
    return reverse(f"admin:safety_{model._meta.model_name}_{what}", args=arguments)


def fill() -> None:
    """Put one row into every table."""
    SafetySettings.objects.get_or_create(id=1)
    services.kill(actor=DESK, reason="r", scope=STRATEGY)
    services.order_check(intent=INTENT, exposure=EXPOSURE, actor=DESK, consume=True)
    ScopedLimits.objects.create(scope="strategy", key=str(STRATEGY), position_limit=1)
    for minutes, equity in enumerate((100, 100, 90), -30):
        at = utcnow() + timedelta(minutes=minutes)
        services.breaker_sample(account_id=STRATEGY, equity=D(equity), day_pnl=D(0), at=at)
    services.reconciliation_block(actor=DESK, account_id=STRATEGY, code="CASH_MISMATCH")
    DayCounter.objects.get_or_create(day="2026-01-05", account_id=STRATEGY, name="trades")


@pytest.mark.one_database
@pytest.mark.parametrize("model", [*LEDGERS, KillSwitch, SafetySettings, ScopedLimits])
def test_every_table_is_listed_and_its_rows_open(browser: Browser, model: Any) -> None:
    fill()
    client = browser("admin")
    assert client.get(url(model, "changelist")).status_code == 200
    assert client.get(url(model, "change", model.objects.first().pk)).status_code == 200


def test_every_model_has_a_page() -> None:
    from django.apps import apps

    assert set(apps.get_app_config("safety").get_models()) <= set(admin.site._registry)


@pytest.mark.one_database
@pytest.mark.parametrize("model", LEDGERS)
def test_history_can_neither_be_added_nor_changed_nor_removed(browser: Browser, model: Any) -> None:
    fill()
    row = model.objects.first()
    client = browser("admin")
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "change", row.pk), {"reason": "x"}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    client.post(url(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert model.objects.filter(pk=row.pk).exists()


def form(**changes: Any) -> dict[str, Any]:
    row = selectors.settings_get()
    values = {**selectors.limits_as_json(row), "paper_mode": "on", "version_seen": row.version, "reason": ""}
    return {**values, **changes}


def test_limits_are_changed_through_the_service(browser: Browser) -> None:
    response = browser("admin").post(
        url(SafetySettings, "change", 1), form(daily_trade_limit=7, reason="fewer"), follow=True
    )
    assert response.status_code == 200
    assert selectors.limits_current().daily_trade_limit == 7
    entry = AuditLog.objects.get()
    assert (entry.action, entry.reason, entry.after) == ("limits.update", "fewer", {"daily_trade_limit": 7})


@pytest.mark.parametrize(
    "changes",
    [{"position_limit": "-1"}, {"position_limit": "NaN"}, {"daily_trade_limit": ""}, {"trading_state": "halted"}],
)
def test_a_limit_that_makes_no_sense_is_shown_again(browser: Browser, changes: dict[str, Any]) -> None:
    response = browser("admin").post(url(SafetySettings, "change", 1), form(**changes))
    assert response.status_code == 200
    assert selectors.settings_get().version == 1


def test_two_admins_do_not_overwrite_each_other(browser: Browser, admin_actor: Actor) -> None:
    seen = form(daily_trade_limit=7)
    services.limits_update(actor=admin_actor, changes={"daily_trade_limit": 5})
    assert b"changed the limits meanwhile" in browser("admin").post(url(SafetySettings, "change", 1), seen).content
    assert selectors.limits_current().daily_trade_limit == 5


def act(client: Client, action: str, scope: str = "all", reason: str = "") -> str:
    body = {"action": action, "_selected_action": [scope], "reason": reason}
    return client.post(url(KillSwitch, "changelist"), body, follow=True).content.decode()


def test_the_switch_is_killed_and_resumed_with_a_reason(browser: Browser) -> None:
    client = browser("admin")
    assert "Set." in act(client, "kill", reason="too fast")
    assert killswitch.state().reason == "too fast"
    assert "Say why it is safe to go on." in act(client, "resume")
    assert killswitch.state().active
    assert "resumed" in act(client, "resume", reason="fine now")
    assert not killswitch.state().active


def test_a_new_switch_is_a_kill_of_its_scope(browser: Browser) -> None:
    client = browser("admin")
    client.post(url(KillSwitch, "add"), {"scope": str(STRATEGY), "reason": "odd"})
    assert killswitch.state(strategy_id=STRATEGY).active
    assert client.post(url(KillSwitch, "add"), {"scope": "half", "reason": ""}).status_code == 200
    assert not KillSwitch.objects.filter(scope="half").exists()


def test_a_clerk_with_djangos_own_permissions_but_no_role_may_not_kill(browser: Browser) -> None:
    from django.contrib.auth.models import Permission

    clerk = get_user_model().objects.create_user("clerk", password="x", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="safety"))
    client = browser(clerk)
    act(client, "kill")
    assert not killswitch.state().active
    assert client.get(url(KillSwitch, "add")).status_code == 403
    assert client.post(url(SafetySettings, "change", 1), form(daily_trade_limit=7)).status_code == 403
    clerk.groups.add(Group.objects.get_or_create(name="operator")[0])
    act(browser(clerk), "kill")
    assert killswitch.state().active


def test_the_breaker_is_resumed_in_the_admin_with_a_reason_and_by_an_operator(browser: Browser) -> None:
    fill()
    row = DrawdownBreaker.objects.get()
    page, body = url(DrawdownBreaker, "changelist"), {"action": "resume", "_selected_action": [row.pk]}
    assert b"Say why it is safe to go on." in browser("admin").post(page, {**body, "reason": ""}, follow=True).content
    assert b"resumed" in browser("admin").post(page, {**body, "reason": "looked"}, follow=True).content
    row.refresh_from_db()
    assert (row.peak, row.fall) == (90, 0)


def test_alerts_are_acknowledged_in_the_admin(browser: Browser) -> None:
    event = services.alert_raise(kind="notify", name="n", severity="info", message="m", actor=DESK)
    body = {"action": "acknowledge", "_selected_action": [event.pk]}
    browser("admin").post(url(AlertEvent, "changelist"), body)
    event.refresh_from_db()
    assert event.acknowledged_by == "admin"


def test_the_list_of_switches_says_in_words_what_is_stopped(browser: Browser) -> None:
    services.kill(actor=DESK, reason="odd", scope=STRATEGY)
    page = browser("operator").get(url(KillSwitch, "changelist")).content.decode()
    assert "Stopped" in page
    # As a process kills whose database takes no writes: the row says nothing of it, the file does.
    KillSwitch.objects.update(active=False)
    assert "Stopped" in browser("operator").get(url(KillSwitch, "changelist")).content.decode()


def test_the_list_of_verdicts_says_what_became_of_each_order_and_why(browser: Browser) -> None:
    refusal = ("CURRENCY_MISMATCH", "ACME is priced in JPY.")
    services.order_check(intent=INTENT, exposure=EXPOSURE, actor=DESK, consume=True, refusal=refusal)
    page = browser("operator").get(url(GateDecision, "changelist")).content.decode()
    for said in ("refused", *refusal):
        assert said in page
