"""What a drill of the kill switch leaves: its figures. Everything else of it goes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from safety.models import DayCounter, KillDrill, KillSwitch
from tradingsite.common import audit
from tradingsite.common.actor import Actor


def drill_record(*, actor: Actor, figures: Mapping[str, Any]) -> KillDrill:
    """Keep the figures of a drill, named as the columns of KillDrill."""
    with transaction.atomic():
        drill = KillDrill.objects.create(by=actor.name[:150], **figures)
        audit.record(actor=actor, action="kill_switch.drill", target=drill, after=dict(figures))
    return drill


def drill_forget(*, scope: str, account_ids: Sequence[UUID]) -> None:
    """Remove the drill's own switch, once it is clear, and what its accounts have used of the day's limits."""
    KillSwitch.objects.filter(scope=scope, active=False).delete()
    DayCounter.objects.filter(account_id__in=account_ids).delete()
