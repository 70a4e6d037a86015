"""The clock's work: find what is due, write each fire once, and start what it asks for.

Any number of processes may look at once. Due times live in the database; a schedule's row is locked while it fires,
and the fire's nominal time is unique, so that what two clocks see at the same moment is still one fire. A fire, what
it starts and the schedule's next time are one transaction: either all of it is there or none.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from scheduler import work
from scheduler.choices import AT_WORK, FireStatus, Misfire, Overlap
from scheduler.errors import CLOCK_WAS_DOWN, EARLIER_AT_WORK, QUEUE_FULL
from scheduler.models import Clock, Schedule, ScheduleFire
from scheduler.rules import bounds_of, due_time, plan, rule_of
from tradingsite.common.clock import rfc3339, utcnow

logger = logging.getLogger(__name__)

BATCH = 200
QUEUE_MAX = 100
# A rhythm of seconds after days without a clock: what is older is only counted.
LOOK_BACK_MAX = 100_000


def tick() -> int:
    """Fire what is due now and return how many fires were written."""
    if not clock_running():
        return 0
    fired = 0
    due = Schedule.objects.alive().filter(enabled=True, due_at__lte=utcnow())
    for schedule_id in list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH]):
        fired += _fire_guarded(schedule_id)
    return fired


def _fire_guarded(schedule_id: UUID) -> int:
    """Fire one schedule; whatever is wrong with it alone stops it and not the clock.

    Raises:
        django.db.Error: the database is away or takes no writes, which concerns all of them.
    """
    try:
        with transaction.atomic():
            return _fire_due(schedule_id)
    except work.DATABASE_AWAY:
        raise
    except Exception as fault:  # the border to rules and jobs: one that cannot be read must not silence the others
        logger.exception("schedule %s cannot be fired", schedule_id)
        with transaction.atomic():
            schedule = Schedule.objects.select_for_update(of=("self",)).get(pk=schedule_id)
            work.pause(schedule, f"it cannot be fired: {type(fault).__name__}: {fault}")
        return 0


def clock_running() -> bool:
    return not Clock.objects.filter(running=False).exists()


def _fire_due(schedule_id: UUID) -> int:
    schedule = (
        Schedule.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(pk=schedule_id, deleted_at=None, enabled=True, due_at__lte=utcnow())
        .first()
    )
    if schedule is None:
        # Another clock has it, or somebody has changed it.
        return 0
    now = utcnow()
    due = _due(schedule, now)
    if due.missed_count:
        _note_missed(schedule, due)
    fires = [fire for nominal in due.nominals if (fire := _fire(schedule, nominal, catching_up=due.catching_up))]
    plan(schedule, due.last)
    if fires:
        schedule.last_run_at = fires[-1].fired_at
    schedule.save(update_fields=["next_run_at", "due_at", "last_run_at"])
    return len(fires)


@dataclass(frozen=True)
class _Due:
    """What a look at a schedule found: which times to fire, and how many passed without a clock."""

    nominals: list[datetime]
    last: datetime
    missed_count: int
    missed_last: datetime | None
    catching_up: bool


def _due(schedule: Schedule, now: datetime) -> _Due:
    bound = schedule.misfire_bound if schedule.misfire == Misfire.ALL else 1
    late = now - timedelta(seconds=schedule.misfire_grace_s)
    on_time: list[datetime] = []
    missed: deque[datetime] = deque(maxlen=bound)
    missed_count, last = 0, now
    for nominal, due in _passed(schedule, now):
        last = nominal
        if due >= late:
            on_time.append(nominal)
        else:
            missed.append(nominal)
            missed_count += 1
    if schedule.misfire == Misfire.SKIP or (schedule.misfire == Misfire.ONCE and on_time):
        made_up: list[datetime] = []
    else:
        made_up = list(missed)
    lost = missed_count - len(made_up)
    return _Due(
        nominals=[*made_up, *on_time],
        last=last,
        missed_count=lost,
        missed_last=None if not lost else missed[-1] if not made_up else None,
        catching_up=len(made_up) > 1 or (bool(made_up) and bool(on_time)),
    )


def _passed(schedule: Schedule, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the nominal times from the next one on whose fire is due by now, with when it is."""
    assert schedule.next_run_at is not None
    after = schedule.next_run_at - timedelta(microseconds=1)
    for count, nominal in enumerate(bounds_of(schedule).after(rule_of(schedule), after)):
        due = due_time(schedule, nominal)
        if due > now or count > LOOK_BACK_MAX:
            return
        yield nominal, due


def _note_missed(schedule: Schedule, due: _Due) -> None:
    """Leave one row for the times that nobody makes up for, so that a gap in the history has its reason."""
    logger.warning("schedule %s: %s times that passed without a clock are not made up for", schedule, due.missed_count)
    if due.missed_last is None:
        # The times that are made up for tell the gap.
        return
    text = f"{due.missed_count} times passed while no clock ran, the last at {rfc3339(due.missed_last)}"
    _insert(
        ScheduleFire(
            schedule=schedule,
            nominal_at=due.missed_last,
            status=FireStatus.MISSED,
            finished_at=utcnow(),
            error_code=CLOCK_WAS_DOWN,
            error_message=text,
            result={"missed": due.missed_count},
        )
    )


def _insert(fire: ScheduleFire) -> bool:
    """Write a fire unless its nominal time was written already, by whichever clock."""
    ScheduleFire.objects.bulk_create([fire], ignore_conflicts=True)
    return ScheduleFire.objects.filter(pk=fire.pk).exists()


def _fire(schedule: Schedule, nominal: datetime, *, catching_up: bool) -> ScheduleFire | None:
    fire = ScheduleFire(schedule=schedule, nominal_at=nominal, status=FireStatus.WAITING)
    if not _insert(fire):
        return None
    admit(fire, schedule, overlap=Overlap.QUEUE if catching_up else Overlap(schedule.overlap))
    return fire


def fire_by_hand(schedule: Schedule, *, actor_name: str) -> ScheduleFire:
    """Fire a locked schedule now, whatever its rule says; its overlap policy holds."""
    fire = ScheduleFire.objects.create(
        schedule=schedule, nominal_at=utcnow(), manual=True, actor_name=actor_name, status=FireStatus.WAITING
    )
    admit(fire, schedule, overlap=Overlap(schedule.overlap))
    return fire


def admit(fire: ScheduleFire, schedule: Schedule, *, overlap: Overlap) -> None:
    """Start a fire, or do with it what the overlap policy says while earlier ones are open."""
    earlier = schedule.fires.exclude(pk=fire.pk)
    at_work = earlier.filter(status__in=AT_WORK)
    if overlap is Overlap.QUEUE:
        waiting = earlier.filter(status=FireStatus.WAITING)
        if waiting.count() >= QUEUE_MAX:
            text = f"{QUEUE_MAX} earlier fires wait already"
            work.settle_fire(fire, schedule, FireStatus.SKIPPED, code=QUEUE_FULL, message=text)
        elif not at_work.exists() and not waiting.exists():
            work.begin(fire, schedule)
        return
    if at_work.exists():
        if overlap is Overlap.SKIP:
            text = "an earlier fire is still at work"
            work.settle_fire(fire, schedule, FireStatus.SKIPPED, code=EARLIER_AT_WORK, message=text)
            return
        for older in at_work:
            work.cancel(older, schedule)
    work.begin(fire, schedule)


def start_waiting() -> int:
    """Start fires whose turn has come because the earlier ones have ended. One for each schedule a round."""
    if not clock_running():
        return 0
    started = 0
    blocked = ScheduleFire.objects.filter(status__in=AT_WORK).values("schedule_id")
    ready = ScheduleFire.objects.filter(~Q(schedule_id__in=blocked), status=FireStatus.WAITING)
    for schedule_id in set(ready.values_list("schedule_id", flat=True)[:BATCH]):
        with transaction.atomic():
            schedule = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=schedule_id).first()
            if schedule is None or schedule.fires.filter(status__in=AT_WORK).exists():
                continue
            fire = schedule.fires.filter(status=FireStatus.WAITING).order_by("nominal_at", "id").first()
            if fire is not None:
                work.begin(fire, schedule)
                started += 1
    return started
