"""The sweep of a kill: begun with it, worked on from above in rounds, confirmed by two clean samples."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid5

from django.db import transaction
from django.db.models import F, Q

from safety.choices import AlertKind, Severity
from safety.models import EVERYTHING, KillSweep
from safety.services.alerts import alert_raise
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import CLOCKS_APART

logger = logging.getLogger(__name__)

APART = timedelta(seconds=0.9)
"""How long two rounds, and so two samples, are apart at least."""

WATCH_EVERY = timedelta(seconds=15)
"""How often a halted desk that was confirmed is looked at again: what rests there may have come from elsewhere."""

LATE_AFTER = timedelta(seconds=30)
"""A sweep that is not confirmed by then is told to people."""

SAMPLES = 2

KILL = Actor.system("kill switch")


@dataclass(frozen=True)
class Remaining:
    """What a round of a sweep found that should not be there any more.

    Attributes:
        orders: `{account_id, client_order_id, known}` of each order that still rests; `known` is False for one that
            the desk did not place.
        positions: `{account_id, symbol, quantity, code, detail}` of each position that was to be closed.
        unreachable: names of accounts whose broker could not be asked: nothing is known of them.
    """

    orders: Sequence[Mapping[str, Any]] = field(default_factory=list)
    positions: Sequence[Mapping[str, Any]] = field(default_factory=list)
    unreachable: Sequence[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.orders or self.positions or self.unreachable)

    def as_json(self) -> dict[str, Any]:
        return {
            "orders": list(self.orders),
            "positions": list(self.positions),
            "unreachable": list(self.unreachable),
        }

    def __str__(self) -> str:
        parts = [
            *(f"order {order['client_order_id']}" for order in self.orders),
            *(f"{each['quantity']} {each['symbol']} {each['code']}".rstrip() for each in self.positions),
            *(f"the broker of {name} does not answer" for name in self.unreachable),
        ]
        return ", ".join(parts)


def sweep_begin(*, actor: Actor, scope: str, flatten: bool) -> None:
    """Begin the sweep of a halt, or let the one under way close positions as well. In the kill's transaction."""
    sweep, _ = KillSweep.objects.get_or_create(
        scope=scope, resumed_at=None, defaults={"flatten": flatten, "by": actor.name[:150]}
    )
    if flatten and not sweep.flatten:
        KillSweep.objects.filter(pk=sweep.pk).update(
            flatten=True, clean_samples=0, sampled_at=None, confirmed_at=None, last_round_at=None
        )


def sweep_take(*, wall: datetime) -> list[KillSweep]:
    """Return the sweeps that are due for a round, each claimed: no other process works on them in the same moment."""
    unproven = Q(confirmed_at__isnull=True)
    # A round that no clock that is right can have noted was one of a process whose clock is fast: no kill waits for it.
    ahead = Q(last_round_at__gt=wall + CLOCKS_APART)
    watched = Q(resumed_at__isnull=True) & (ahead | Q(last_round_at__lt=wall - WATCH_EVERY))
    due = KillSweep.objects.filter(unproven | watched).filter(
        Q(last_round_at__isnull=True) | Q(last_round_at__lt=wall - APART) | ahead
    )
    taken = []
    for sweep in due.order_by("id"):
        same = KillSweep.objects.filter(pk=sweep.pk, last_round_at=sweep.last_round_at)
        if same.update(last_round_at=wall, rounds=F("rounds") + 1):
            taken.append(sweep)
    return taken


def sweep_report(*, sweep: KillSweep, remaining: Remaining, wall: datetime) -> KillSweep:
    """Write down what a round found; confirm the sweep when two samples in a row, some time apart, were clean.

    Args:
        sweep: as it was taken; a sample of one that was asked to do more meanwhile says nothing.
    """
    with transaction.atomic():
        row = KillSweep.objects.select_for_update().get(pk=sweep.pk)
        if row.flatten != sweep.flatten:
            return row
        was_confirmed = row.confirmed_at is not None
        row.remaining = remaining.as_json()
        if not remaining.clean:
            row.clean_samples, row.sampled_at, row.confirmed_at = 0, None, None
        elif row.sampled_at is None or not -CLOCKS_APART <= wall - row.sampled_at < APART:
            row.clean_samples = min(row.clean_samples + 1, SAMPLES)
            row.sampled_at = wall
            if row.clean_samples == SAMPLES and row.confirmed_at is None:
                row.confirmed_at = wall
        row.save(update_fields=["remaining", "clean_samples", "sampled_at", "confirmed_at"])
        if row.confirmed_at is not None and not was_confirmed:
            _confirmed(row)
        elif was_confirmed and row.confirmed_at is None:
            _told(row, Severity.CRITICAL, f"{_what(row)} was confirmed, and now there is again: {remaining}.", "")
        elif row.confirmed_at is None and wall - row.killed_at > LATE_AFTER:
            _told(row, Severity.CRITICAL, f"{_what(row)} is not confirmed; what is left: {remaining}.", "late")
    return row


def _confirmed(row: KillSweep) -> None:
    seconds = (row.confirmed_at - row.killed_at).total_seconds() if row.confirmed_at else 0.0
    audit.record(
        actor=KILL,
        action="kill_switch.confirmed",
        target=row,
        after={"scope": row.scope, "flatten": row.flatten, "rounds": row.rounds},
    )
    _told(row, Severity.INFO, f"{_what(row)} is confirmed after {seconds:.1f} s.", f"confirmed {row.confirmed_at}")


def _what(row: KillSweep) -> str:
    scope = "everything" if row.scope == EVERYTHING else f"strategy {row.scope}"
    return f"That no order of {scope} rests{' and no position is left' if row.flatten else ''}"


def _told(row: KillSweep, severity: Severity, message: str, once: str) -> None:
    """Raise an alert; `once` names what is told a single time for each sweep."""
    alert_raise(
        kind=AlertKind.KILL_SWITCH,
        name="Kill switch",
        severity=severity,
        message=message[:2000],
        event_id=uuid5(row.pk, once) if once else None,
        actor=KILL,
    )
