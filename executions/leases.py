"""Keeping the leases of the runs that this process carries: one thread renews them all and sees wishes to cancel."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

from django.db import Error, close_old_connections

from executions.errors import HandOver, LeaseLost, RunCancelled, RunHalted, StepTimedOut
from executions.fence import LEASE, Claim, renew
from executions.models import WorkflowExecution
from safety import killswitch
from tradingsite.common.contracts.steps import StepInterrupted
from tradingsite.common.lifecycle import stopping

logger = logging.getLogger(__name__)

RENEW_S = 1.0
# How long a step may ignore its deadline before its run is given up to another worker.
OVERDUE_S = 10.0


class Lease:
    """A claim that is kept alive, and the reasons to stop that were seen meanwhile."""

    def __init__(self, held: Claim) -> None:
        self.claim = held
        self.lost = False
        self.cancelled = False
        # Why the kill switch stops this run; empty while it does not, and until its strategy is known.
        self.halted = ""
        self.strategy_id: UUID | None = None
        self.deadline: float | None = None
        self.renewed = held.since
        # Writes down what the step has said since it was last heard; None between two steps.
        self.tell: Callable[[], None] | None = None

    def check(self) -> None:
        """Return when the run may go on.

        Raises:
            LeaseLost, RunCancelled, RunHalted, HandOver, StepTimedOut: the reason why not.
        """
        # Not renewed for a lease's length: another worker may have it, whether we were told or not.
        if self.lost or time.monotonic() - self.renewed > LEASE.total_seconds():
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
                self._thread = threading.Thread(target=self._run, name="lease keeper", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[held]

    def active(self) -> int:
        """Return how many runs this process carries."""
        return len(self._leases)

    def _run(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                leases = list(self._leases.values())
                if not leases:
                    self._thread = None
                    return
            self._round(leases)

    def _round(self, leases: list[Lease]) -> None:
        for lease in leases:
            self._keep_guarded(lease)
        # None is held while asleep: connections are few, and a process has one such thread more.
        with contextlib.suppress(Error):
            close_old_connections()

    def _keep_guarded(self, lease: Lease) -> None:
        """Keep one lease; whatever goes wrong with it, the others and this thread go on."""
        try:
            close_old_connections()
            self._keep(lease)
        except (Error, OSError) as error:
            # Not renewed is soon lost: `check` goes by the time of the last renewal.
            logger.warning("the lease of run %s cannot be renewed for now: %s", lease.claim.execution_id, error)
        except Exception:  # one run's fault must not cost the leases of all
            logger.exception("the lease of run %s cannot be renewed for now", lease.claim.execution_id)

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
