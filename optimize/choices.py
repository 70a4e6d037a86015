"""The words of a job and of its chunks, and which may follow which."""

from collections.abc import Mapping

from django.db import models


class JobKind(models.TextChoices):
    STRATEGY = "strategy", "Search for a strategy's parameters"
    MODEL = "model", "Tuning of a model"
    LOOKAHEAD = "lookahead", "Look-ahead analysis"
    RECURSIVE = "recursive", "Recursive analysis"
    PARITY = "parity", "Parity of live decisions with a backtest"
    ADAPTATION = "adaptation", "Round of a live adaptation"


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    COMPLETE = "complete", "Complete"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class ChunkStatus(models.TextChoices):
    # The one that gathers, until the others are done.
    BLOCKED = "blocked", "Blocked"
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    # Its job ended before its turn came.
    DROPPED = "dropped", "Dropped"


class Verdict(models.TextChoices):
    """What the honesty figures say of a job's best parameters."""

    PROMOTE = "promote", "Promote"
    REVIEW = "review", "Review"
    REJECT = "reject", "Reject"


TERMINAL = frozenset({JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.CANCELLED})
UNFINISHED = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})

JOB_TRANSITIONS: Mapping[str, frozenset[str]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, *TERMINAL}),
    JobStatus.RUNNING: TERMINAL,
    JobStatus.COMPLETE: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
