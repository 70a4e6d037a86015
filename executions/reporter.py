"""A running step's own words: log lines and progress, written and told at most ten times a second."""

import threading
import time
from typing import Any

from django.db import connection

from executions.fence import fenced
from executions.ledger import RunLedger, storable
from executions.machine import progress_percent
from executions.models import StepExecution
from executions.news import tell_log, tell_progress
from tradingsite.common.clock import rfc3339, utcnow

# A flush tells two messages at most, one of lines and one of progress.
PERIOD_S = 0.25
LINES_MAX = 1000
LINE_MAX = 2000


class Reporter:
    """Collects what one attempt says; lines of earlier attempts stay.

    The step's thread speaks, and either that thread or the lease keeper writes it down: what is said before a long
    silence is heard all the same.
    """

    def __init__(self, ledger: RunLedger, step: StepExecution) -> None:
        self._ledger = ledger
        self._step = step
        self.lines: list[dict[str, Any]] = list(step.logs)
        self._untold: list[dict[str, Any]] = []
        self._within: float | None = None
        self._flushed = 0.0
        self._closed = False
        self._words = threading.Lock()
        self._writing = threading.Lock()

    def log(self, message: str) -> None:
        """Add a line."""
        with self._words:
            if len(self.lines) > LINES_MAX:
                return
            if len(self.lines) == LINES_MAX:
                message = f"further lines are dropped: a step keeps {LINES_MAX}"
            text = storable(str(message))[:LINE_MAX]
            line = {"at": rfc3339(utcnow()), "attempt": self._step.attempts, "message": text}
            self.lines.append(line)
            self._untold.append(line)
        self.flush_if_due()

    def progress(self, within: float) -> None:
        """Say how much of the step is done, 0 to 1."""
        with self._words:
            self._within = within
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write and tell what is new, unless that was done a moment ago or somebody is at it."""
        # Inside a step's own transaction our rows would be locked for its length, and lost if it is rolled back.
        if connection.in_atomic_block or time.monotonic() - self._flushed < PERIOD_S:
            return
        if self._writing.acquire(blocking=False):
            try:
                if not self._closed:
                    self._write()
            finally:
                self._writing.release()

    def close(self) -> list[dict[str, Any]]:
        """Write nothing more, and return all lines; who ends the step writes them with it."""
        with self._writing:
            self._closed = True
        return self.lines

    def _write(self) -> None:
        with self._words:
            untold, within, lines = self._untold, self._within, list(self.lines)
            self._untold, self._within = [], None
        if not untold and within is None:
            return
        self._flushed = time.monotonic()
        run, step = self._ledger.execution, self._step
        fields: dict[str, Any] = {}
        if within is not None:
            fields["progress"] = progress_percent(self._ledger.states(), within=within)
        with fenced(self._ledger.held, **fields):
            if untold:
                StepExecution.objects.filter(pk=step.pk).update(logs=lines)
                tell_log(run.pk, step.index, untold)
            if fields:
                tell_progress(run.pk, fields["progress"])
