"""Celery's doors to the foundations."""

from uuid import UUID

from celery import shared_task

from tradingsite.common import housekeeping
from tradingsite.common.webhooks.sending import lanes


@shared_task(name="common.prune", ignore_result=True)
def prune() -> None:
    housekeeping.prune()


@shared_task(name="common.webhook_send", ignore_result=True)
def webhook_send(webhook_id: str) -> None:
    """Start sending and leave. Where no thread is to be had now, the duty asks again."""
    lanes.start(UUID(webhook_id))
