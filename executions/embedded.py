"""The embedded wiring: worker, clock and duties as threads of one process, the same code that runs distributed.

The broker lives in this process's memory and forgets at exit; that loses nothing, since the database holds the truth
and the watchdog brings back what was under way.
"""

import logging
import threading
from types import TracebackType
from typing import Any, Self

from celery import Celery, current_app
from celery.beat import EmbeddedService
from django.conf import settings

from executions.watchdog import requeue_pending
from tradingsite.common import lifecycle
from tradingsite.common.background import Background

logger = logging.getLogger(__name__)

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


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
            queues=["control", "runs", "agents", "optimize"],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            ready_callback=self._ready,
        )
        self._worker_thread = threading.Thread(target=self._worker.start, name="celery worker", daemon=True)
        # Named, since the embedded service would otherwise keep its schedule in a file of the working folder.
        self._beat = EmbeddedService(app, thread=True, scheduler_cls=app.conf.beat_scheduler) if clock else None
        self._background = Background()

    def _ready(self, _consumer: Any) -> None:
        self._consuming.set()

    def start(self) -> None:
        """Return when the worker consumes.

        Raises:
            RuntimeError: when it does not within READY_TIMEOUT_S.
        """
        self._worker_thread.start()
        if not self._consuming.wait(READY_TIMEOUT_S):
            raise RuntimeError("the embedded worker did not start; look at the log above")
        lifecycle.worker_name = "embedded@localhost"
        if settings.EMBEDDED:
            # What an earlier process had queued in its memory is gone; the rows are not.
            requeue_pending()
        if self._beat is not None:
            self._beat.start()
        self._background.start()

    def stop(self) -> None:
        """Let running steps hand over at their next boundary, then end every thread."""
        lifecycle.stopping.set()
        if self._beat is not None:
            self._beat.stop()
        self._background.stop()
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
