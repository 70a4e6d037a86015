"""What alert rules need in the background: rounds, e-mails, and the end of old records."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from safety.alerting import emails, rounds
from safety.models.alert_rules import AlertSighting
from tradingsite.common import background, housekeeping

ROUND_EVERY_S = 2.0
# Long past the time in which an occurrence could be met again.
SIGHTINGS_KEPT = timedelta(days=7)


def look() -> object:
    """Do a round, unless another process does it now."""
    return rounds.evaluate_if_due(every_s=ROUND_EVERY_S)


def sightings_old(now: datetime) -> QuerySet[AlertSighting]:
    return AlertSighting.objects.filter(at__lt=now - SIGHTINGS_KEPT)


def register() -> None:
    """Register the duties; each is safe in any number of processes at once."""
    background.register("safety.alerts", look, every_s=ROUND_EVERY_S)
    background.register("safety.alert_emails", emails.send_due, every_s=2.0)
    housekeeping.register("alert_emails", emails.emails_old)
    housekeeping.register("alert_sightings", sightings_old)
