"""The words of schedules and of their fires."""

from django.db import models


class ScheduleKind(models.TextChoices):
    CRON = "cron", "Cron expression"
    INTERVAL = "interval", "Interval"
    MARKET = "market", "Market session"


class MarketEvent(models.TextChoices):
    OPEN = "open", "Open"
    CLOSE = "close", "Close"


class Misfire(models.TextChoices):
    """What becomes of times that passed while no clock ran."""

    SKIP = "skip", "Skip them"
    ONCE = "once", "Fire once for all of them"
    ALL = "all", "Fire for each of them, the newest up to a bound"


class Overlap(models.TextChoices):
    """What a fire does while an earlier one of its schedule is still at work."""

    SKIP = "skip", "Skip this one"
    QUEUE = "queue", "Wait for the earlier one"
    CANCEL = "cancel", "Cancel the earlier one"


class GapPolicy(models.TextChoices):
    NEXT = "next", "Fire at the first moment after the leap"
    SKIP = "skip", "Skip that day"


class RepeatPolicy(models.TextChoices):
    FIRST = "first", "The first of the two"
    SECOND = "second", "The second of the two"
    BOTH = "both", "Both"


class FireStatus(models.TextChoices):
    # Waits for an earlier fire of its schedule.
    WAITING = "waiting", "Waiting"
    # A worker is called for it.
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    # Its time passed while no clock ran, and the policy is not to make up for it.
    MISSED = "missed", "Missed"
    # An earlier one was still at work.
    SKIPPED = "skipped", "Skipped"


AT_WORK = frozenset({FireStatus.QUEUED, FireStatus.RUNNING})
OPEN_FIRES = frozenset({FireStatus.WAITING, *AT_WORK})
