"""Keeping the leases of the chunks that this process carries: one thread renews them all and sees wishes to cancel."""

import time

from django.db.models.functions import Coalesce

from optimize.choices import UNFINISHED, JobStatus
from optimize.claims import LEASE, Claim, renew
from optimize.errors import HandOver, JobCancelled, LeaseLost
from optimize.models import OptimizationJob
from tradingsite.common import keeping
from tradingsite.common.clock import utcnow
from tradingsite.common.keeping import Keeper
from tradingsite.common.lifecycle import stopping


class Lease(keeping.Lease[Claim]):
    """A chunk's claim that is kept alive, and the reasons to stop that were seen meanwhile."""

    length = LEASE

    def __init__(self, held: Claim) -> None:
        super().__init__(held)
        self.unwanted = False

    def __str__(self) -> str:
        return str(self.claim.chunk_id)

    def check(self) -> None:
        """Return when the chunk may go on. Costs next to nothing.

        Raises:
            LeaseLost, JobCancelled, HandOver: the reason why not.
        """
        if self.stale:
            raise LeaseLost(f"chunk {self.claim.index} of {self.claim.job_id} is carried by another worker")
        if self.unwanted:
            raise JobCancelled
        if stopping.is_set():
            raise HandOver


class LeaseKeeper(Keeper[Claim, Lease]):
    """Keeps the leases of chunks."""

    # Half of what a cancelled job may still work, so that two rounds fit into it.
    every_s = 0.8
    what = "chunk"

    def _begun(self, held: Claim) -> Lease:
        return Lease(held)

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
