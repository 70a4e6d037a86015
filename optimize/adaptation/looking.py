"""Noticing that an adaptation's bars may be new, and having a worker look at them.

The tick runs each second in every process that carries work: two queries for all adaptations, no bar. What takes time is a
task: a learnt regime costs about a second. A look is claimed for a while and called in one transaction. Where its worker
died, the claim runs out and it is called again; two looks at once write nothing twice.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, Sum

from market.models import BarSeries
from optimize.adaptation import regime_watch, watches
from optimize.adaptation.choices import AdaptationStatus, WatchStatus
from optimize.adaptation.models import AdaptationWatch, LiveAdaptation
from optimize.calls import QUEUE
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import AppError
from tradingsite.common.outbox import enqueue_task

logger = logging.getLogger(__name__)

TASK = "optimize.look"
EVERY_S = 1.0
# After so long a look that was called is called again: its worker died, or its message was lost.
LEASE = timedelta(minutes=1)
# What cannot be looked at is mostly mended by an import or by a change of the strategy, which is seen at once.
AGAIN_AFTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Watched:
    """An adaptation whose bars are looked at, as far as the tick knows it."""

    pk: UUID
    look_at: datetime | None
    looked: str
    changed_at: datetime
    symbols: frozenset[str]

    def stamp(self, series: Mapping[str, str]) -> str:
        """Return what changes whenever a series of its symbols does, or its strategy."""
        parts = [self.changed_at.isoformat(), *(f"{name} {series.get(name, '')}" for name in sorted(self.symbols))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tick() -> int:
    """Call a worker for each adaptation whose bars may be new; return how many those were."""
    watched = _watched()
    if not watched:
        return 0
    series = _series(frozenset().union(*(each.symbols for each in watched)))
    now = utcnow()
    due = [each for each in watched if each.looked != each.stamp(series) or (each.look_at and each.look_at <= now)]
    return sum(_call(each, each.stamp(series), now) for each in due)


def _watched() -> list[Watched]:
    open_ = AdaptationWatch.objects.filter(adaptation=OuterRef("pk"), status=WatchStatus.WATCHING)
    rows = LiveAdaptation.objects.filter(Q(regime__isnull=False) | Exists(open_), status=AdaptationStatus.ACTIVE)
    return [
        Watched(pk, look_at, looked, changed_at, frozenset([*symbols, *([regime["symbol"]] if regime else [])]))
        for pk, look_at, looked, changed_at, symbols, regime in rows.order_by("pk").values_list(
            "pk", "look_at", "looked", "strategy__updated_at", "strategy__symbols", "regime"
        )
    ]


def _series(symbols: Collection[str]) -> dict[str, str]:
    """Return for each symbol what changes with every import of its bars: versions only rise."""
    rows = BarSeries.objects.filter(instrument__symbol__in=symbols).order_by().values_list("instrument__symbol")
    return {symbol: f"{count} {total}" for symbol, count, total in rows.annotate(Count("pk"), Sum("version"))}


@transaction.atomic
def _call(each: Watched, stamp: str, now: datetime) -> bool:
    """Claim a look and call it; False where another process did, or where somebody else holds the row just now."""
    rows = LiveAdaptation.objects.select_for_update(skip_locked=True, no_key=True).filter(
        pk=each.pk, status=AdaptationStatus.ACTIVE, looked=each.looked, look_at=each.look_at
    )
    if not list(rows.values_list("pk")):
        return False
    claimed = now + LEASE
    LiveAdaptation.objects.filter(pk=each.pk).update(looked=stamp, look_at=claimed)
    enqueue_task(TASK, args=[str(each.pk), claimed.isoformat()], queue=QUEUE)
    return True


def look(adaptation_id: UUID, *, claimed: datetime) -> None:
    """Look at the bars of an adaptation: at its regimes, and at what it watches.

    Args:
        claimed: until when this look is claimed; another one may have been called meanwhile.
    """
    rows = LiveAdaptation.objects.select_related("strategy")
    adaptation = rows.filter(pk=adaptation_id, status=AdaptationStatus.ACTIVE).first()
    if adaptation is None:
        return
    now = utcnow()
    wanted = [_guarded(each, adaptation, now) for each in (regime_watch.look, watches.look)]
    again = min((moment for moment in wanted if moment is not None), default=None)
    LiveAdaptation.objects.filter(pk=adaptation_id, look_at=claimed).update(look_at=again)


def _guarded(
    each: Callable[[LiveAdaptation, datetime], datetime | None], adaptation: LiveAdaptation, now: datetime
) -> datetime | None:
    """Look, and return when to look again; what one of them cannot read must not keep the other from looking."""
    try:
        return each(adaptation, now)
    except AppError as error:
        logger.warning("the bars of adaptation %s cannot be looked at: %s", adaptation.pk, error.detail)
        return now + AGAIN_AFTER
