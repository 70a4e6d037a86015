"""The words of a run and of its steps, and which may follow which."""

from collections.abc import Mapping

from django.db import models


class ExecutionStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class StepStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    # Its run failed before its turn came.
    SKIPPED = "skipped", "Skipped"
    CANCELLED = "cancelled", "Cancelled"


class Trigger(models.TextChoices):
    """Who or what started a run."""

    USER = "user", "User"
    SCHEDULE = "schedule", "Schedule"
    AGENT = "agent", "Agent"
    WEBHOOK = "webhook", "Webhook"


class Mode(models.TextChoices):
    PAPER = "paper", "Paper"
    LIVE = "live", "Live"


class OnError(models.TextChoices):
    """What a failed step does to its run."""

    FAIL = "fail", "Fail the run"
    CONTINUE = "continue", "Go on with the next step"


class TaskStatus(models.TextChoices):
    """Celery's words for the state of a task, in which the list of tasks speaks of runs."""

    PENDING = "PENDING", "Pending"
    STARTED = "STARTED", "Started"
    SUCCESS = "SUCCESS", "Success"
    FAILURE = "FAILURE", "Failure"
    RETRY = "RETRY", "Retry"
    REVOKED = "REVOKED", "Revoked"


TERMINAL = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
UNFINISHED = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})

# RUNNING → PENDING is a worker that hands over, or one whose lease ran out. FAILED and CANCELLED → PENDING is a retry.
EXECUTION_TRANSITIONS: Mapping[str, frozenset[str]] = {
    ExecutionStatus.PENDING: frozenset({ExecutionStatus.RUNNING, ExecutionStatus.CANCELLED, ExecutionStatus.FAILED}),
    ExecutionStatus.RUNNING: frozenset({ExecutionStatus.RUNNING, ExecutionStatus.PENDING, *TERMINAL}),
    ExecutionStatus.COMPLETED: frozenset(),
    ExecutionStatus.FAILED: frozenset({ExecutionStatus.PENDING}),
    ExecutionStatus.CANCELLED: frozenset({ExecutionStatus.PENDING}),
}

# RUNNING → RUNNING is a step whose worker died and that starts again; RUNNING → PENDING waits for its next attempt or
# for another worker. A completed step is never left.
STEP_TRANSITIONS: Mapping[str, frozenset[str]] = {
    StepStatus.PENDING: frozenset({StepStatus.RUNNING, StepStatus.SKIPPED, StepStatus.CANCELLED}),
    StepStatus.RUNNING: frozenset(
        {
            StepStatus.RUNNING,
            StepStatus.PENDING,
            StepStatus.COMPLETED,
            StepStatus.FAILED,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.COMPLETED: frozenset(),
    StepStatus.FAILED: frozenset({StepStatus.PENDING}),
    StepStatus.SKIPPED: frozenset({StepStatus.PENDING}),
    StepStatus.CANCELLED: frozenset({StepStatus.PENDING}),
}


def may_follow(before: str, after: str) -> bool:
    """Say whether a run may go from `before` to `after`."""
    return after in EXECUTION_TRANSITIONS[before]


def before_any_of(after: str) -> list[str]:
    """Return the statuses from which a run may go to `after`."""
    return [before for before, following in EXECUTION_TRANSITIONS.items() if after in following]


def steps_before(after: str) -> list[str]:
    """Return the statuses from which a step may go to `after`."""
    return [before for before, following in STEP_TRANSITIONS.items() if after in following]


_TASK_STATUS: Mapping[str, TaskStatus] = {
    ExecutionStatus.RUNNING: TaskStatus.STARTED,
    ExecutionStatus.COMPLETED: TaskStatus.SUCCESS,
    ExecutionStatus.FAILED: TaskStatus.FAILURE,
    ExecutionStatus.CANCELLED: TaskStatus.REVOKED,
}


def task_status(status: str, attempts: int) -> TaskStatus:
    """Return Celery's word for a run: a waiting one whose worker was lost before waits for its RETRY."""
    if status == ExecutionStatus.PENDING:
        return TaskStatus.RETRY if attempts > 0 else TaskStatus.PENDING
    return _TASK_STATUS[status]
