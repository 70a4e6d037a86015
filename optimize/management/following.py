"""A job followed in the terminal: carried here when no worker would, its progress drawn until it ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from executions.heartbeat import workers_alive
from optimize.carrying import carry
from optimize.choices import JobStatus
from optimize.models import OptimizationJob

QUEUE = "optimize"
LOOK_S = 0.1
# A worker that stops holds its chunk no longer than its lease; then it is carried here.
PAUSE_S = 1.0


def workers_count() -> int:
    """Return how many of the living workers take jobs of the optimiser."""
    return sum(QUEUE in queues for queues in workers_alive().values_list("queues", flat=True))


class Carrier(threading.Thread):
    """Carries one job in this process. What it leaves when it is told to stop, a worker may go on with."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(name=f"optimize {job_id}", daemon=True)
        self._job_id, self.stopped = job_id, threading.Event()

    def run(self) -> None:
        try:
            while not self.stopped.is_set() and not OptimizationJob.objects.only("status").get(pk=self._job_id).ended:
                carry(self._job_id, "manage.py optimize", until=time.monotonic() + LOOK_S)
                self.stopped.wait(LOOK_S)
        finally:
            connection.close()


@contextmanager
def carried(job: OptimizationJob) -> Iterator[bool]:
    """Carry a job in this process while the block runs, where no worker would; yield whether that is so."""
    if workers_count():
        yield False
        return
    carrier = Carrier(job.pk)
    carrier.start()
    try:
        yield True
    finally:
        carrier.stopped.set()
        carrier.join()


def follow(job: OptimizationJob, console: Console, timeout_s: float) -> OptimizationJob:
    """Draw the progress of a job until it ends or the time is over; return it as it is then."""
    columns: tuple[Any, ...] = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fold]}"),
        TimeRemainingColumn(),
    )
    until = time.monotonic() + timeout_s
    with Progress(*columns, console=console) as progress:
        drawn = progress.add_task(job.kind, total=job.total_combinations, fold="")
        while True:
            job = OptimizationJob.objects.get(pk=job.pk)
            fold = f"fold {job.fold} of {job.n_folds}" if job.n_folds else ""
            progress.update(drawn, completed=job.done_combinations, description=str(job.status), fold=fold)
            if job.ended or time.monotonic() >= until:
                return job
            time.sleep(LOOK_S)


def failed(job: OptimizationJob) -> str | None:
    """Return why a followed job has no result to show, or None when it has one."""
    if not job.ended:
        return f"It is still {job.status}; ask GET /api/optimize/{job.pk}."
    if job.status == JobStatus.COMPLETE:
        return None
    reason = f": {job.error_code}: {job.error_detail}" if job.error_code else "."
    return f"It ended as {job.status}{reason}"
