"""Alerts that were raised."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from safety.choices import AlertKind, Severity
from tradingsite.common.bases import Entity
from tradingsite.common.clock import utcnow


class AlertEvent(Entity):
    """An alert that was raised. Only its acknowledgement is written later."""

    alert_id = models.UUIDField(null=True, blank=True, help_text="The rule that raised it; none for the desk's own.")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    symbol = models.CharField(max_length=32, blank=True, default="")
    value = models.DecimalField(max_digits=28, decimal_places=10, null=True, blank=True)
    threshold = models.DecimalField(max_digits=28, decimal_places=10, null=True, blank=True)
    message = models.TextField()
    triggered_at = models.DateTimeField(default=utcnow)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")
    # What of a rule's observations it is about: of one observation a rule raises one alert, whoever looks.
    observation = models.CharField(max_length=100, blank=True, default="", editable=False)
    email = models.ForeignKey(
        "safety.AlertEmail", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="alerts"
    )

    class Meta:
        db_table = "alert_event"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alert_id", "observation"], condition=~Q(observation=""), name="alert_event_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["alert_id", "-triggered_at", "-id"], name="alert_event_of_rule"),
            models.Index(fields=["-triggered_at", "-id"], name="alert_event_recent"),
            models.Index(fields=["-triggered_at"], condition=Q(acknowledged_at=None), name="alert_event_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.severity} {self.name}: {self.message[:60]}"
