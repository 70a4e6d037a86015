"""Keeping the leases of the runs that this process carries: one thread renews them all and sees wishes to cancel."""

import logging
import time
from collections.abc import Callable
from uuid import UUID

from executions.errors import HandOver, LeaseLost, RunCancelled, RunHalted, StepTimedOut
from executions.fence import LEASE, Claim, renew
from executions.models import WorkflowExecution
from safety import killswitch
from tradingsite.common import keeping
from tradingsite.common.contracts.steps import StepInterrupted
from tradingsite.common.keeping import Keeper
from tradingsite.common.lifecycle import stopping

logger = logging.getLogger(__name__)

# How long a step may ignore its deadline before its run is given up to another worker.
OVERDUE_S = 10.0


class Lease(keeping.Lease[Claim]):
    """A run's claim that is kept alive, and the reasons to stop that were seen meanwhile."""

    length = LEASE

    def __init__(self, held: Claim) -> None:
        super().__init__(held)
        self.cancelled = False
        # Why the kill switch stops this run; empty while it does not, and until its strategy is known.
        self.halted = ""
        self.strategy_id: UUID | None = None
        self.deadline: float | None = None
        # Writes down what the step has said since it was last heard; None between two steps.
        self.tell: Callable[[], None] | None = None

    def __str__(self) -> str:
        return str(self.claim.execution_id)

    def check(self) -> None:
        """Return when the run may go on.

        Raises:
            LeaseLost, RunCancelled, RunHalted, HandOver, StepTimedOut: the reason why not.
        """
        if self.stale:
            raise LeaseLost(f"run {self.claim.execution_id} is carried by another worker")
        if self.cancelled:
            raise RunCancelled
        if self.halted:
            raise RunHalted(self.halted)
        if stopping.is_set():
            raise HandOver
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise StepTimedOut

    def holds(self) -> bool:
        """Say whether the run may go on."""
        try:
            self.check()
        except StepInterrupted:
            return False
        return True

    def pause(self, seconds: float) -> None:
        """Wait, but not past a reason to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.1))


class LeaseKeeper(Keeper[Claim, Lease]):
    """Keeps the leases of runs."""

    every_s = 1.0
    what = "run"

    def _begun(self, held: Claim) -> Lease:
        return Lease(held)

    def _keep(self, lease: Lease) -> None:
        deadline = lease.deadline
        if deadline is not None and time.monotonic() > deadline + OVERDUE_S:
            logger.error("run %s is given up: its step ignores its time limit", lease.claim.execution_id)
            lease.lost = True
            return
        before = time.monotonic()
        if not renew(lease.claim):
            lease.lost = True
            return
        lease.renewed = before
        lease.cancelled = WorkflowExecution.objects.filter(
            pk=lease.claim.execution_id, cancel_requested_at__isnull=False
        ).exists()
        # What cannot be read stops the next step and every order; a step under way may be in the midst of nothing worse
        # than computing, and a database that blinks must not fail it.
        switch = killswitch.state(strategy_id=lease.strategy_id)
        lease.halted = switch.detail if {killswitch.DATABASE, killswitch.FILE} & set(switch.sources) else ""
        tell = lease.tell
        if tell is not None:
            try:
                tell()
            except LeaseLost:
                lease.lost = True


keeper = LeaseKeeper()
