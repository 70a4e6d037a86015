"""The order in which rows are locked: the schedule, the adaptation, its strategy, its job."""

from uuid import UUID

from optimize.adaptation.errors import AdaptationNotFound
from optimize.adaptation.models import LiveAdaptation
from scheduler.models import Schedule


def locked(adaptation_id: UUID) -> LiveAdaptation:
    """Return an adaptation that nobody else changes before this transaction has ended.

    Raises:
        AdaptationNotFound
    """
    rows = LiveAdaptation.objects.select_for_update(of=("self",)).select_related("strategy")
    found = rows.filter(pk=adaptation_id).first()
    if found is None:
        raise AdaptationNotFound(f"There is no adaptation {adaptation_id}.")
    return found


def locked_with_schedule(adaptation_id: UUID) -> LiveAdaptation:
    """Return the same where the schedule, or one of its fires, changes too: the clock comes to an adaptation from there.

    Raises:
        AdaptationNotFound
    """
    schedules = LiveAdaptation.objects.filter(pk=adaptation_id).values("schedule_id")
    list(Schedule.objects.select_for_update(of=("self",)).filter(pk__in=schedules).values_list("pk"))
    return locked(adaptation_id)
