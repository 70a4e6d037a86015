"""What follows the end of a run: noted with the end itself, done soon after in batches.

A run's own transaction stays short and cannot fail for the sake of a figure; a note that was committed is worked off
at least once, and what it leads to bears being done twice.
"""

from collections.abc import Callable, Sequence

from django.db import transaction

from executions import announcements, fires, result_rows, rollup
from executions.models import RunEnding, WorkflowExecution

EVERY_S = 1.0
BATCH = 500

Follower = Callable[[Sequence[RunEnding]], None]

FOLLOWERS: list[Follower] = [result_rows.write, rollup.roll_up, announcements.announce, fires.settle]


def register(follower: Follower) -> None:
    """Have a floor above do something with ended runs too, in the transaction that settles them; it may come twice."""
    FOLLOWERS.append(follower)


def note(run: WorkflowExecution) -> None:
    """Note that the run has just ended, in the transaction that ends it."""
    note_of(run).save(force_insert=True)


def note_of(run: WorkflowExecution) -> RunEnding:
    """Return the note that the run has just ended, to be written with its end."""
    return RunEnding(
        execution_id=run.pk,
        workflow_id=run.workflow_id,
        task_id=run.task_id,
        status=run.status,
        run_created_at=run.created_at,
    )


def settle() -> int:
    """Do what follows from the ends noted so far and return how many those were. Any number may settle at once."""
    done = 0
    while True:
        with transaction.atomic():
            endings = list(RunEnding.objects.select_for_update(skip_locked=True).order_by("id")[:BATCH])
            for follow in FOLLOWERS:
                if endings:
                    follow(endings)
            RunEnding.objects.filter(pk__in=[ending.pk for ending in endings]).delete()
        done += len(endings)
        if len(endings) < BATCH:
            return done
