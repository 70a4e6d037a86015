"""Keeping the leases of the chunks that this process carries: one thread renews them all and sees wishes to cancel."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from django.db import Error, close_old_connections
from django.db.models.functions import Coalesce

from optimize.choices import UNFINISHED, JobStatus
from optimize.claims import LEASE, Claim, renew
from optimize.errors import HandOver, JobCancelled, LeaseLost
from optimize.models import OptimizationJob
from tradingsite.common.clock import utcnow
from tradingsite.common.lifecycle import stopping

logger = logging.getLogger(__name__)

# Half of what a cancelled job may still work, so that two rounds fit into it.
RENEW_S = 0.8


class Lease:
    """A claim that is kept alive, and the reasons to stop that were seen meanwhile."""

    def __init__(self, held: Claim) -> None:
        self.claim = held
        self.lost = False
        self.unwanted = False
        self.renewed = held.since

    def check(self) -> None:
        """Return when the chunk may go on. Costs next to nothing.

        Raises:
            LeaseLost, JobCancelled, HandOver: the reason why not.
        """
        # Not renewed for a lease's length: another worker may have it, whether we were told or not.
        if self.lost or time.monotonic() - self.renewed > LEASE.total_seconds():
            raise LeaseLost(f"chunk {self.claim.index} of {self.claim.job_id} is carried by another worker")
        if self.unwanted:
            raise JobCancelled
        if stopping.is_set():
            raise HandOver


class LeaseKeeper:
    """The thread; it runs while there is something to keep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[Claim, Lease] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def kept(self, held: Claim) -> Iterator[Lease]:
        """Keep the lease of `held` for the length of the block."""
        lease = Lease(held)
        with self._lock:
            self._leases[held] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chunk lease keeper", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[held]

    def _run(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                leases = list(self._leases.values())
                if not leases:
                    self._thread = None
                    return
            for lease in leases:
                self._keep_guarded(lease)
            with contextlib.suppress(Error):
                close_old_connections()

    def _keep_guarded(self, lease: Lease) -> None:
        """Keep one lease; whatever goes wrong with it, the others and this thread go on."""
        try:
            close_old_connections()
            self._keep(lease)
        except (Error, OSError) as error:
            # Not renewed is soon lost: `check` goes by the time of the last renewal.
            logger.warning("the lease of chunk %s cannot be renewed for now: %s", lease.claim.chunk_id, error)
        except Exception:  # one chunk's fault must not cost the leases of all
            logger.exception("the lease of chunk %s cannot be renewed for now", lease.claim.chunk_id)

    def _keep(self, lease: Lease) -> None:
        before = time.monotonic()
        if not renew(lease.claim):
            lease.lost = True
            return
        lease.renewed = before
        job = OptimizationJob.objects.filter(pk=lease.claim.job_id)
        # That a job runs is told with its progress, and one whose first kernel takes long has none yet; most end before
        # this is asked, and are spared the write.
        now = utcnow()
        job.filter(status=JobStatus.QUEUED).update(status=JobStatus.RUNNING, started_at=Coalesce("started_at", now))
        # What a cancelled job has found so far is still gathered.
        if not lease.claim.gathers:
            lease.unwanted = not job.filter(status__in=UNFINISHED).exists()


keeper = LeaseKeeper()
