"""Celery's door to alerts."""

from collections.abc import Sequence

from celery import shared_task

from safety.alerting.rounds import evaluate


@shared_task(name="safety.alerts_evaluate", ignore_result=True)
def alerts_evaluate(symbols: Sequence[str]) -> None:
    """Look at the rules about symbols of which there are new bars."""
    evaluate(symbols=symbols)
