"""What safety tells webhooks, and that telling never stands in the way of stopping."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from safety import killswitch, services, webhooks
from safety.models import AlertEvent
from tests.support.webhooks import maker
from tradingsite.common.actor import Actor
from tradingsite.common.ids import uuid7
from tradingsite.common.outbound import Reply
from tradingsite.common.webhooks import sending
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(actor: Actor, settings: Any) -> Webhook:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    return maker(actor)("http://127.0.0.1:9/", event_types=["*"])[0]


def told(type_: str) -> list[dict[str, Any]]:
    """Return the data of each event of a type, having seen that it has the members of the example."""
    found = [json.loads(body) for body in WebhookDelivery.objects.filter(type=type_).values_list("body", flat=True)]
    for event in found:
        assert event["type"] == type_
        assert set(event["data"]) == set(event_types.get(type_).example)
    return [event["data"] for event in found]


def test_a_kill_and_a_resume_are_told_with_their_alerts(
    webhook: Webhook, operator_actor: Actor, data_dir: Path
) -> None:
    services.kill(actor=operator_actor, reason="prices look wrong")
    services.kill(actor=operator_actor, reason="again")
    services.resume(actor=operator_actor, reason="prices were right")
    by = operator_actor.name
    assert sorted(told("kill_switch.changed"), key=lambda data: not data["active"]) == [
        {"scope": "all", "active": True, "reason": "prices look wrong", "by": by},
        {"scope": "all", "active": False, "reason": "prices were right", "by": by},
    ]
    assert {data["kind"] for data in told("alert.triggered")} == {"kill_switch"}
    assert {UUID(data["id"]) for data in told("alert.triggered")} == set(
        AlertEvent.objects.values_list("pk", flat=True)
    )


def test_a_kill_of_one_strategy_is_news_of_that_strategy(
    actor: Actor, operator_actor: Actor, data_dir: Path, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    strategy, other = uuid7(), uuid7()
    for which in (strategy, other):
        maker(actor)("http://127.0.0.1:9/", event_types=["kill_switch.changed"], strategy_id=which, name=str(which))
    services.kill(actor=operator_actor, reason="it is out of hand", scope=strategy)
    assert WebhookDelivery.objects.get().webhook.strategy_id == strategy


def test_what_keeps_webhooks_from_being_told_does_not_keep_the_desk_from_being_stopped(
    webhook: Webhook, operator_actor: Actor, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(webhooks, "announce", fails)
    with pytest.raises(DatabaseError), transaction.atomic():
        fails()
    result = services.kill(actor=operator_actor, reason="stop")
    assert (result.sources, result.degraded) == (("database", "file"), False)
    assert killswitch.state().active
    assert AlertEvent.objects.count() == 1
    assert not WebhookDelivery.objects.exists()


def test_a_webhook_that_the_desk_disables_raises_an_alert_that_others_are_told_of(
    webhook: Webhook, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = maker(actor)("http://127.0.0.1:9/other", event_types=["alert.triggered"], name="Other")
    services.alert_raise(kind="notify", name="Notice", severity="info", message="m", actor=actor)
    WebhookDelivery.objects.filter(webhook=other).delete()
    monkeypatch.setattr(sending, "call", lambda *_, **__: Reply(410, {}, b"", 0.1))
    assert sending.send_due(webhook.pk) == 1
    alert = AlertEvent.objects.get(kind="webhook_disabled")
    assert (alert.name, alert.severity) == ("Webhook Trial was disabled", "warning")
    assert "410 Gone" in alert.message
    assert [data["id"] for data in told("alert.triggered") if data["kind"] == "webhook_disabled"] == [str(alert.pk)]
    assert WebhookDelivery.objects.filter(webhook=other).count() == 1
