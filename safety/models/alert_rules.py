"""Alert rules, what the last look at each one said, the evaluator's own row, and the e-mails that wait to be sent."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from safety.choices import OCCURRENCE_KINDS, RULE_KINDS, AlertChannel, AlertStatus, EmailStatus, Severity
from tradingsite.common.bases import Entity, SoftDeleted
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField

ROUND_ID = 1


def channels_default() -> list[str]:
    return [AlertChannel.IN_APP.value]


class AlertRule(SoftDeleted, Entity):
    """What is watched for whom. Only services write it; what looks at it say is in its state."""

    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=RULE_KINDS)
    symbol = models.CharField(max_length=32, blank=True, default="")
    threshold = ExactField(null=True, blank=True)
    config = models.JSONField(default=dict, blank=True, help_text="Complete: what was left out has its default.")
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    cooldown_s = models.PositiveIntegerField(default=0, help_text="It raises no second alert for so many seconds.")
    channels = models.JSONField(default=channels_default)
    enabled = models.BooleanField(default=True)
    snoozed_until = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    watched_since = models.DateTimeField(default=utcnow, editable=False, help_text="It knows of nothing earlier.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "alerts"
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], condition=Q(deleted_at=None), name="alert_newest"),
            models.Index(fields=["kind", "id"], condition=Q(deleted_at=None, enabled=True), name="alert_watched"),
        ]

    def __str__(self) -> str:
        return self.name


class AlertState(models.Model):
    """What the last look at a rule said. `revision` counts the changes: who writes names the one that it has read."""

    rule = models.OneToOneField(AlertRule, on_delete=models.CASCADE, primary_key=True, related_name="state")
    revision = models.PositiveIntegerField(default=0)
    met = models.BooleanField(null=True, help_text="The last definite answer; also kept while there is none.")
    problem = models.CharField(max_length=40, blank=True, default="", help_text="Why there is no answer now.")
    detail = models.CharField(max_length=300, blank=True, default="")
    value = ExactField(null=True, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True, help_text="The moment that the value is of.")
    since = models.DateTimeField(null=True, blank=True, help_text="When it came to be so.")
    last_triggered_at = models.DateTimeField(null=True, blank=True)
    triggered_count = models.PositiveIntegerField(default=0)
    suppressed_count = models.PositiveIntegerField(default=0, help_text="Not raised: cooling down, or snoozed.")

    class Meta:
        db_table = "alert_states"

    def __str__(self) -> str:
        return f"{self.problem or self.met} since {self.since}"


class AlertRound(models.Model):
    """The evaluator: one row. Its lease spares several processes the same work; that nothing is told twice does not
    depend on it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROUND_ID, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    rules = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    triggered = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "alert_round"
        verbose_name = "evaluation of alerts"
        verbose_name_plural = "evaluation of alerts"
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=ROUND_ID), name="alert_round_one_row")]

    def __str__(self) -> str:
        return f"{self.rules} rules at {self.finished_at}"


class AlertCursor(models.Model):
    """Up to when the occurrences of a kind have been looked at."""

    kind = models.CharField(primary_key=True, max_length=20)
    until = models.DateTimeField()

    class Meta:
        db_table = "alert_cursors"

    def __str__(self) -> str:
        return f"{self.kind} until {self.until}"


class AlertSighting(models.Model):
    """That a rule has seen an occurrence, whether it raised an alert or was held back. It sees each once."""

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="sightings", db_index=False)
    key = models.CharField(max_length=80)
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "alert_sightings"
        constraints: ClassVar = [models.UniqueConstraint(fields=["rule", "key"], name="alert_sighting_once")]
        indexes: ClassVar = [models.Index(fields=["at"], name="alert_sighting_at")]

    def __str__(self) -> str:
        return self.key


class AlertEmail(Entity):
    """One e-mail of one or more alerts, written with them and sent after their commit. `attempts` counts the claims."""

    # The address is looked up when it is sent: whoever has changed it wants the new one.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    subject = models.CharField(max_length=200)
    body = models.TextField()
    status = models.CharField(max_length=10, choices=EmailStatus.choices, default=EmailStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, default=utcnow)
    claimed_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    sent_to = models.CharField(max_length=254, blank=True, default="")
    last_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        db_table = "alert_emails"
        verbose_name = "e-mail of alerts"
        verbose_name_plural = "e-mails of alerts"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(status=EmailStatus.PENDING) | Q(next_attempt_at__isnull=False),
                name="alert_email_pending_has_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], condition=Q(status=EmailStatus.PENDING), name="alert_email_due"),
            models.Index(fields=["created_at"], name="alert_email_created"),
        ]

    def __str__(self) -> str:
        return self.subject


def status_of(rule: AlertRule, state: AlertState | None) -> AlertStatus:
    """Return what is known of a rule, in one word."""
    if state is not None and state.problem:
        return AlertStatus.UNKNOWN
    if rule.kind in OCCURRENCE_KINDS:
        return AlertStatus.LISTENING
    if state is None or state.met is None:
        return AlertStatus.WAITING
    return AlertStatus.MET if state.met else AlertStatus.CLEAR


def state_of(rule: AlertRule) -> AlertState | None:
    """Return the state of a rule that was read with it; None before the first look."""
    state: Any = getattr(rule, "state", None)
    return state if isinstance(state, AlertState) else None
