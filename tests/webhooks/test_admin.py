"""The log of webhooks in the admin: no secret, nothing to edit, and two things to do."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.receiver import Receiver
from tests.support.webhooks import MakeWebhook
from tests.webhooks.conftest import happen, only_delivery
from tradingsite.common.webhooks.models import Webhook
from tradingsite.common.webhooks.sending import send_due

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def act(client: Client, table: str, action: str, key: object) -> str:
    url = reverse(f"admin:common_{table}_changelist")
    page = client.post(url, {"action": action, "_selected_action": [str(key)]}, follow=True)
    assert page.status_code == 200
    return page.content.decode()


def test_the_pages_show_the_log_and_no_secret(make: MakeWebhook, there: Receiver, browser: Browser) -> None:
    webhook, secret = make(there.url)
    there.answer = lambda request, send: send(500, b"out of paper")
    happen()
    send_due(webhook.pk)
    client = browser("admin")
    shown = client.get(reverse("admin:common_webhook_change", args=[webhook.pk])).content.decode()
    assert there.url in shown
    assert webhook.secret not in shown
    assert secret not in shown
    log = client.get(reverse("admin:common_webhookdelivery_change", args=[only_delivery().pk])).content.decode()
    assert "out of paper" in log
    for table in ("webhook", "webhookdelivery", "webhookattempt"):
        assert client.get(reverse(f"admin:common_{table}_add")).status_code == 403
    assert client.post(reverse("admin:common_webhook_change", args=[webhook.pk]), {"name": "x"}).status_code == 403


def test_an_admin_disables_a_webhook(make: MakeWebhook, there: Receiver, browser: Browser) -> None:
    webhook, _ = make(there.url)
    assert "1 webhooks were disabled" in act(browser("admin"), "webhook", "disable", webhook.pk)
    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_because) == (False, "owner")


def test_an_admin_sends_a_delivery_again_or_is_told_why_not(
    make: MakeWebhook, there: Receiver, browser: Browser
) -> None:
    webhook, _ = make(there.url)
    happen()
    send_due(webhook.pk)
    client = browser("admin")
    act(client, "webhookdelivery", "redeliver", only_delivery().pk)
    assert only_delivery().status == "pending"
    send_due(webhook.pk)
    assert len(there.requests) == 2
    Webhook.objects.update(enabled=False, disabled_because="owner")
    assert "while it is disabled" in act(client, "webhookdelivery", "redeliver", only_delivery().pk)
    assert only_delivery().status == "delivered"
