"""A running step's own words: log lines and progress, written and told at most ten times a second."""

import time
from typing import Any

from executions.fence import fenced
from executions.ledger import RunLedger
from executions.machine import progress_percent
from executions.models import StepExecution
from executions.news import tell_log, tell_progress
from tradingsite.common.clock import rfc3339, utcnow

PERIOD_S = 0.1
LINES_MAX = 1000
LINE_MAX = 2000


class Reporter:
    """Collects what one attempt says; lines of earlier attempts stay."""

    def __init__(self, ledger: RunLedger, step: StepExecution) -> None:
        self._ledger = ledger
        self._step = step
        self.lines: list[dict[str, Any]] = list(step.logs)
        self._untold: list[dict[str, Any]] = []
        self._within = 0.0
        self._moved = False
        self._flushed = time.monotonic()

    def log(self, message: str) -> None:
        """Add a line."""
        if len(self.lines) == LINES_MAX:
            message = f"further lines are dropped: a step keeps {LINES_MAX}"
        elif len(self.lines) > LINES_MAX:
            return
        line = {"at": rfc3339(utcnow()), "attempt": self._step.attempts, "message": message[:LINE_MAX]}
        self.lines.append(line)
        self._untold.append(line)
        self._flush_if_due()

    def progress(self, within: float) -> None:
        """Say how much of the step is done, 0 to 1."""
        self._within, self._moved = within, True
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed >= PERIOD_S:
            self.flush()

    def flush(self) -> None:
        """Write and tell what is new."""
        ledger, step = self._ledger, self._step
        fields: dict[str, Any] = {}
        if self._moved:
            ledger.execution.progress = fields["progress"] = progress_percent(ledger.states(), within=self._within)
        if fields or self._untold:
            with fenced(ledger.claim, **fields):
                if self._untold:
                    step.logs = list(self.lines)
                    StepExecution.objects.filter(pk=step.pk).update(logs=step.logs)
                    tell_log(ledger.execution.pk, step.index, self._untold)
                if fields:
                    tell_progress(ledger.execution.pk, fields["progress"])
        self._untold, self._moved, self._flushed = [], False, time.monotonic()
