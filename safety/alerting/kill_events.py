"""What rules of the kind kill_switch are told: every kill and every resumption, from their own ledger."""

from collections.abc import Sequence
from datetime import datetime

from safety.alerting.contracts import occurrence_sources
from safety.alerting.observations import Occurrence
from safety.choices import AlertKind, KillAction
from safety.models import EVERYTHING, KillSwitchEvent


class KillEvents:
    """Kills and resumptions."""

    slug: str = AlertKind.KILL_SWITCH.value

    def between(self, since: datetime, until: datetime) -> Sequence[Occurrence]:
        wanted = KillAction.values
        rows = KillSwitchEvent.objects.filter(at__gte=since, at__lt=until, action__in=wanted).order_by("at", "id")
        return [
            Occurrence(key=f"kill {row.pk}", at=row.at, text=_text(row), facts={"scope": row.scope, "on": row.action})
            for row in rows
        ]


def _text(row: KillSwitchEvent) -> str:
    what = "everything" if row.scope == EVERYTHING else f"strategy {row.scope}"
    did = f"stopped {what}" if row.action == KillAction.KILLED else f"let {what} go on"
    return f"{row.actor_name} {did}: {row.reason or 'no reason was given'}"


def register() -> None:
    occurrence_sources.register(KillEvents())
