"""Alert rules in the admin: found with their standing, switched by operators, changed by nobody."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from safety.models import AlertEmail, AlertEvent, AlertRule, AuditLog
from tests.alerts.conftest import Watchman

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]

RULES = "admin:safety_alertrule_changelist"


def act(client: Client, action: str, *rules: AlertRule) -> Any:
    return client.post(reverse(RULES), {"action": action, "_selected_action": [row.pk for row in rules]}, follow=True)


def test_rules_are_listed_with_their_standing_and_found(watch: Watchman, browser: Browser) -> None:
    watch.rule(name="met rule", threshold="50")
    watch.rule("indicator", name="unknown rule", config={"indicator": "rsi", "operator": "above"})
    watch.look()
    page = browser("admin").get(reverse(RULES)).content.decode()
    assert "met" in page
    assert "unknown: TOO_FEW_BARS" in page
    found = browser("admin").get(reverse(RULES), {"q": "unknown rule"}).content.decode()
    assert "met rule" not in found


def test_a_rules_page_shows_its_last_look_and_changes_nothing(watch: Watchman, browser: Browser) -> None:
    rule = watch.rule(threshold="50")
    watch.look()
    address = reverse("admin:safety_alertrule_change", args=[rule.pk])
    page = browser("admin").get(address).content.decode()
    assert "told 1 times" in page
    assert browser("admin").post(address, {"name": "hacked"}).status_code == 403
    assert browser("admin").get(reverse("admin:safety_alertrule_add")).status_code == 403


def test_operators_switch_snooze_and_acknowledge_rules_by_the_services(watch: Watchman, browser: Browser) -> None:
    first, second = watch.rule(threshold="50"), watch.rule(threshold="60")
    watch.look()
    client = browser("admin")
    assert "2 rules disabled." in act(client, "disable", first, second).content.decode()
    assert set(AlertRule.objects.values_list("enabled", flat=True)) == {False}
    act(client, "enable", first)
    act(client, "snooze_a_day", first)
    first.refresh_from_db()
    assert (first.enabled, first.snoozed_until is not None) == (True, True)
    act(client, "unsnooze", first)
    act(client, "acknowledge", first)
    first.refresh_from_db()
    assert first.snoozed_until is None
    assert AlertEvent.objects.get(alert_id=first.pk).acknowledged_by == "admin"
    done = set(AuditLog.objects.filter(target_id=first.pk, actor_name="admin").values_list("action", flat=True))
    assert done == {"alert.update", "alert.snooze", "alert.unsnooze", "alert.acknowledge_all"}


def test_an_e_mail_that_failed_is_found(watch: Watchman, browser: Browser, trader: Any) -> None:
    AlertEmail.objects.create(
        user=trader, subject="Alerts", body="b", status="failed", next_attempt_at=None, last_error="server hung up"
    )
    page = browser("admin").get(reverse("admin:safety_alertemail_changelist"), {"status__exact": "failed"})
    assert "server hung up" in page.content.decode()
