"""What safety does when something happens on a floor below."""

from typing import Any

from django.dispatch import receiver

from market.events import BarsChanged, bars_changed
from safety.alerting import selectors as alerting
from safety.choices import AlertKind, Severity
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.outbox import enqueue_task
from tradingsite.common.webhooks.events import webhook_disabled
from tradingsite.common.webhooks.models import Webhook


@receiver(webhook_disabled, dispatch_uid="an alert for a webhook that was disabled")
def alert_of_disabled_webhook(webhook: Webhook, reason: str, **_: Any) -> None:
    """Say so where people look, since the webhook itself can say nothing any more."""
    alert_raise(
        kind=AlertKind.WEBHOOK_DISABLED,
        name=f"Webhook {webhook.name} was disabled",
        severity=Severity.WARNING,
        message=f"{reason} It is told nothing more until its owner enables it again.",
        actor=Actor.system("webhooks"),
    )


@receiver(bars_changed, dispatch_uid="alert rules look at new bars")
def look_at_new_bars(event: BarsChanged, **_: Any) -> None:
    """Have a worker look at the rules about these symbols once the bars are there for everybody."""
    if alerting.is_watched(event.symbols):
        enqueue_task("safety.alerts_evaluate", kwargs={"symbols": list(event.symbols)}, queue="control")
