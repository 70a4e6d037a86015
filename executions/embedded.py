"""The embedded wiring: worker, clock and duties as threads of one process, the same code that runs distributed.

The broker lives in this process's memory and forgets at exit; that loses nothing, since the database holds the truth
and the watchdog brings back what was under way.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from celery import Celery, current_app
from celery.beat import Service
from django.conf import settings
from django.db import Error

from executions.watchdog import requeue_pending
from tradingsite.common import lifecycle
from tradingsite.common.background import Background

if TYPE_CHECKING:
    from executions.kafka.executor import Executor

logger = logging.getLogger(__name__)

READY_TIMEOUT_S = 30.0
# Whoever comes back from the database waits that long for a thread that computes. A page asks it dozens of times.
SWITCH_S = 0.0005
STOP_TIMEOUT_S = 15.0
QUEUES = ("control", "runs", "agents", "optimize")


class Clock:
    """Beat in a thread that outlives a fault of the database: a clock that has died must not look like one that ticks."""

    PAUSE_S = 1.0

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._ended = threading.Event()
        self._service: Service | None = None
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._service is not None:
            self._service.stop()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                # The scheduler is named, since an embedded service would otherwise keep a file in the working folder.
                self._service = Service(self._app, max_interval=1, scheduler_cls=self._app.conf.beat_scheduler)
                self._service.start(embedded_process=True)
            except (Error, OSError) as error:
                logger.warning("the clock cannot work for now: %s", error)
            except Exception:  # nobody would start this thread again
                logger.exception("the clock cannot work for now")
            self._ended.wait(self.PAUSE_S)


class EmbeddedWorkers:
    """A Celery worker, beat and the background duties, started and stopped together.

    Args:
        clock: whether beat runs too; a command that does one thing and ends needs none.
    """

    def __init__(self, *, clock: bool = True) -> None:
        app: Celery = current_app._get_current_object()
        self._consuming = threading.Event()
        self._worker = app.WorkController(
            hostname="embedded@localhost",
            pool_cls="threads",
            concurrency=settings.CELERY_WORKER_CONCURRENCY,
            queues=list(QUEUES),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            ready_callback=self._ready,
        )
        self._worker_thread = threading.Thread(target=self._worker.start, name="celery worker", daemon=True)
        self._clock = Clock(app) if clock else None
        self._background = Background()
        self._executor = _executor()

    def _ready(self, _consumer: Any) -> None:
        self._consuming.set()

    def start(self) -> None:
        """Return when the worker consumes.

        Raises:
            RuntimeError: when it does not within READY_TIMEOUT_S.
        """
        sys.setswitchinterval(SWITCH_S)
        self._worker_thread.start()
        if not self._consuming.wait(READY_TIMEOUT_S):
            raise RuntimeError("the embedded worker did not start; look at the log above")
        if self._executor is not None:
            self._executor.start()
            lifecycle.worker_queues = (*QUEUES, *lifecycle.worker_queues)
        lifecycle.worker_name = "embedded@localhost"
        lifecycle.worker_slots = settings.CELERY_WORKER_CONCURRENCY
        if settings.EMBEDDED:
            # What an earlier process had queued in its memory is gone; the rows are not.
            requeue_pending()
        if self._clock is not None:
            self._clock.start()
        self._background.start()

    def stop(self) -> None:
        """Let running steps hand over at their next boundary, then end every thread."""
        lifecycle.stopping.set()
        if self._clock is not None:
            self._clock.stop()
        self._background.stop()
        if self._executor is not None:
            self._executor.stop()
        self._worker.stop()
        self._worker_thread.join(STOP_TIMEOUT_S)
        if self._worker_thread.is_alive():
            logger.warning("a step did not end in time; its run is resumed at the next start")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _executor() -> "Executor | None":
    """Return what carries runs where they do not come by Celery."""
    if settings.EXECUTION_TRANSPORT != "kafka":
        return None
    # Here, so that a desk without Kafka does not load its client.
    from executions.kafka import executor

    return executor.Executor()
