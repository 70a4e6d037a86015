"""The words of an adaptation, of its rounds and of its events."""

from django.db import models


class Mode(models.TextChoices):
    """What becomes of a proposal."""

    SUGGEST = "suggest", "Suggest"  # it is written down and told; nobody can apply it from here
    APPROVE = "approve", "Approve"  # it waits for a person
    AUTO = "auto", "Auto"  # it is applied at once, and watched


class AdaptationStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    STOPPED = "stopped", "Stopped"


class Trigger(models.TextChoices):
    """Why an event came about."""

    SCHEDULE = "schedule", "By the clock"
    REGIME_CHANGE = "regime_change", "A regime changed"
    MANUAL = "manual", "By hand"  # a round that was asked for
    DECISION = "decision", "A person decided"  # approve, reject, rollback
    BREACH = "breach", "A promise was broken"
    STOP = "stop", "The adaptation was stopped"


class EventStatus(models.TextChoices):
    """What came of it. Those of a round: no_change to failed. The others are about an earlier event."""

    NO_CHANGE = "no_change", "No change"
    SUGGESTED = "suggested", "Suggested"
    PROPOSED = "proposed", "Waits for approval"
    APPLIED = "applied", "Applied"
    FROZEN = "frozen", "Frozen"  # something better was found, but nothing may be changed now
    STALE = "stale", "Stale"  # the strategy was changed by somebody else meanwhile
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"
    REJECTED = "rejected", "Rejected"
    SUPERSEDED = "superseded", "Superseded"  # by a newer proposal, or by a stop
    ROLLED_BACK = "rolled_back", "Rolled back"


class WatchStatus(models.TextChoices):
    WATCHING = "watching", "Watching"
    KEPT = "kept", "Kept its promise"
    BREACHED = "breached", "Broke its promise"  # and was rolled back
    ENDED = "ended", "Ended"  # replaced, rejected, rolled back by hand, or the adaptation was stopped


# What an event about an earlier one settles: each of them once.
SETTLES = frozenset({EventStatus.APPLIED, EventStatus.REJECTED, EventStatus.SUPERSEDED})

# The job type of an adaptation's schedule.
JOB = "optimize.adapt_parameters"
