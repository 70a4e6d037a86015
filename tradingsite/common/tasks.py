"""Celery's doors to the foundations."""

from celery import shared_task

from tradingsite.common import housekeeping


@shared_task(name="common.prune", ignore_result=True)
def prune() -> None:
    housekeeping.prune()
