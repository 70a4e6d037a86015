"""The kill switch's half in the database, and its history."""

from typing import ClassVar

from django.db import models

from safety.choices import KillAction
from safety.models.base import Ledger
from tradingsite.common.clock import utcnow

EVERYTHING = "all"


class KillSwitch(models.Model):
    """One scope's switch in the database; its sentinel file is the other half. Rows stay when it is cleared."""

    scope = models.CharField(primary_key=True, max_length=36, help_text="`all`, or the id of one strategy.")
    active = models.BooleanField(default=False)
    reason = models.TextField(blank=True, default="")
    since = models.DateTimeField(null=True, blank=True)
    by = models.CharField(max_length=150, blank=True, default="")
    by_user_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        db_table = "kill_switch"
        verbose_name_plural = "kill switches"

    def __str__(self) -> str:
        return f"Kill switch of {self.scope}: {'set' if self.active else 'clear'}"


class KillSwitchEvent(Ledger):
    """One change of a kill switch."""

    scope = models.CharField(max_length=36)
    action = models.CharField(max_length=10, choices=KillAction.choices)
    reason = models.TextField(blank=True, default="")
    actor_kind = models.CharField(max_length=10)
    actor_name = models.CharField(max_length=150)
    actor_user_id = models.BigIntegerField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True, default="")
    at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "kill_switch_event"
        indexes: ClassVar = [models.Index(fields=["scope", "-at"], name="kill_event_scope_at")]

    def __str__(self) -> str:
        return f"{self.scope} {self.action} by {self.actor_name}"
