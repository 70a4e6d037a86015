"""Celery's door to the runner."""

import threading
import time
from uuid import UUID

from celery import Task, current_app, shared_task
from celery.worker import state

from executions.calls import QUEUE, TASK
from executions.runner import run_execution
from tradingsite.common import lifecycle, pulled, wake

# How long a thread goes on without going back to Celery's pool, and how long it waits there for a next run.
ROUND_S = 2.0
LINGER_S = 0.25


class Crew:
    """The threads of this process that carry runs, by turns.

    One that has ended its run looks for the next where it was written, and stays a moment if there is none: it stands
    at the bell, one at a time, and who hears it makes way for the one behind before it goes to work.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._bell = wake.bell(TASK.__eq__)

    def next_call(self, until: float) -> UUID | None:
        """Return the next run that waits, within the time; None when there is none, or the thread is wanted elsewhere."""
        now = time.monotonic()
        until = min(until, now + LINGER_S)
        if now >= until or not self._turn.acquire(timeout=until - now):
            return None
        try:
            while not lifecycle.stopping.is_set() and not _others_wait():
                self._bell.clear()
                found = pulled.take(TASK)
                if found is not None:
                    return UUID(found[0])
                left = until - time.monotonic()
                if left <= 0 or not self._bell.wait(left):
                    return None
        finally:
            self._turn.release()
        return None

    def idle(self) -> int | None:
        """Return how many runs this process's worker could begin at once; None where it takes none from the broker.

        None has to be called while one stands at the bell. What has been fetched from the broker is work already,
        whatever it is, and whether a thread or a child process does it.
        """
        if not lifecycle.worker_slots or QUEUE not in current_app.amqp.queues.consume_from:
            return None
        return 0 if self._turn.locked() else max(lifecycle.worker_slots - len(state.reserved_requests), 0)


def _others_wait() -> bool:
    """Say whether this process has taken a message from the broker for which no thread was free."""
    return len(state.reserved_requests) > len(state.active_requests)


crew = Crew()


@shared_task(name=TASK, bind=True, ignore_result=True)
def run(self: Task, execution_id: str) -> None:
    """Carry this run, and then others as long as a round lasts: a message through the broker costs more than a step."""
    worker = str(self.request.hostname or "worker")
    until = time.monotonic() + ROUND_S
    run_execution(UUID(execution_id), worker)
    while (following := crew.next_call(until)) is not None:
        run_execution(following, worker)
