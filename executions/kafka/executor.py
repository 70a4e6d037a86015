"""An executor: reads requests into the inbox, and carries runs from there on threads of its own."""

import logging
import socket
import threading
import time

from django.conf import settings
from django.db import Error, close_old_connections

from executions.kafka import inbox
from executions.kafka.consuming import BACKLOG_MAX, RequestConsumer
from executions.kafka.models import InboxMessage
from executions.kafka.words import REQUEST_QUEUE, Outcome
from executions.runner import run_execution
from tradingsite.common import lifecycle

logger = logging.getLogger(__name__)

IDLE_S = 0.5
PAUSE_S = 1.0
RUNS_END_WITHIN_S, CONSUMER_ENDS_WITHIN_S = 8.0, 2.0
GROUP = "desk-executors"


class Executor:
    """The threads of one executor, started and stopped together.

    Args:
        group: executors of one group share the topic's partitions; all executors of a desk share its inbox.
        concurrency: how many runs it carries at once; as many as a worker of Celery by default.
    """

    def __init__(self, *, group: str = GROUP, concurrency: int | None = None, backlog_max: int = BACKLOG_MAX) -> None:
        self.name = f"executor@{socket.gethostname()}"
        self._arrived = threading.Event()
        self._consumer = RequestConsumer(group, self._arrived, backlog_max=backlog_max)
        self._carriers = [
            threading.Thread(target=self._carry_all, name=f"carrier {number}", daemon=True)
            for number in range(concurrency or settings.CELERY_WORKER_CONCURRENCY)
        ]

    def start(self) -> None:
        lifecycle.worker_name, lifecycle.worker_queues = self.name, (REQUEST_QUEUE,)
        for carrier in self._carriers:
            carrier.start()
        self._consumer.start()

    def stop(self) -> bool:
        """Leave the group, let running steps hand over at their next boundary, and end; False when a step did not.

        What waits in the inbox is left to the other executors, or to the next start.
        """
        lifecycle.stopping.set()
        self._consumer.stop()
        self._arrived.set()
        deadline = time.monotonic() + RUNS_END_WITHIN_S
        for carrier in self._carriers:
            carrier.join(max(deadline - time.monotonic(), 0))
        ended = not any(carrier.is_alive() for carrier in self._carriers)
        if not ended:
            logger.warning("a step did not end in time; its run goes on elsewhere when its lease has run out")
        if not self._consumer.join(CONSUMER_ENDS_WITHIN_S):
            logger.warning("the group was not left in time; it notices when the session has run out")
        return ended

    def _carry_all(self) -> None:
        while not lifecycle.stopping.is_set():
            try:
                close_old_connections()
                row = inbox.take(self.name)
            except (Error, OSError) as error:
                logger.warning("no request can be taken for now: %s", error)
                lifecycle.stopping.wait(PAUSE_S)
                continue
            if row is None:
                close_old_connections()
                self._arrived.wait(IDLE_S)
                self._arrived.clear()
                continue
            _carry(row, self.name)
            close_old_connections()


def _carry(row: InboxMessage, worker: str) -> None:
    """Carry the run of a request that was taken, and write down what became of the request."""
    outcome = Outcome.FAULT
    try:
        outcome = Outcome.CARRIED if run_execution(row.execution_id, worker) else Outcome.NOT_OURS
    except (Error, OSError) as error:
        logger.warning("run %s is left to the watchdog: %s", row.execution_id, error)
    except Exception:  # one run's fault must not cost a carrier
        logger.exception("run %s is left to the watchdog", row.execution_id)
    try:
        inbox.finish(row, outcome)
    except (Error, OSError) as error:
        logger.warning("what became of request %s cannot be written down: %s", row.message_id, error)
