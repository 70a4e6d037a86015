"""Keeping the leases of the work that this process carries: one thread renews them all and sees reasons to stop.

An app says what a lease is of, how it is renewed, and what its worker asks of it (`Lease`, `Keeper`).
"""

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from datetime import timedelta
from typing import ClassVar, Generic, Protocol, TypeVar

from django.db import Error, close_old_connections

logger = logging.getLogger(__name__)


class Held(Hashable, Protocol):
    """A claim: the right to carry a piece of work until somebody claims it anew."""

    @property
    def since(self) -> float:
        """When the lease began, on this process's monotonic clock."""


C = TypeVar("C", bound=Held)


class Lease(ABC, Generic[C]):
    """A claim that is kept alive, and the reasons to stop that were seen meanwhile. Its text names the work in the log.

    Attributes:
        length: how long a claim lasts after it was last renewed.
        lost: somebody else has the work, or it was given up.
        renewed: when it was last renewed, on this process's monotonic clock.
    """

    length: ClassVar[timedelta]

    def __init__(self, held: C) -> None:
        self.claim = held
        self.lost = False
        self.renewed = held.since

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    def stale(self) -> bool:
        """Whether another worker may have the work, told or not: it was not renewed for a lease's length."""
        return self.lost or time.monotonic() - self.renewed > self.length.total_seconds()


L = TypeVar("L", bound=Lease)  # type: ignore[type-arg]


class Keeper(ABC, Generic[C, L]):
    """The thread; it runs while there is something to keep.

    Attributes:
        every_s: seconds between two rounds.
        what: the work in one word, for the thread's name and the log.
    """

    every_s: ClassVar[float]
    what: ClassVar[str]

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[C, L] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def kept(self, held: C) -> Iterator[L]:
        """Keep the lease of `held` for the length of the block."""
        lease = self._begun(held)
        with self._lock:
            self._leases[held] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{self.what} lease keeper", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[held]

    def active(self) -> int:
        """Return how many pieces of work this process carries."""
        return len(self._leases)

    def _run(self) -> None:
        while True:
            time.sleep(self.every_s)
            with self._lock:
                leases = list(self._leases.values())
                if not leases:
                    self._thread = None
                    return
            self._round(leases)

    def _round(self, leases: list[L]) -> None:
        for lease in leases:
            self._keep_guarded(lease)
        # None is held while asleep: connections are few, and a process has one such thread more.
        with contextlib.suppress(Error):
            close_old_connections()

    def _keep_guarded(self, lease: L) -> None:
        """Keep one lease; whatever goes wrong with it, the others and this thread go on."""
        try:
            close_old_connections()
            self._keep(lease)
        except (Error, OSError) as error:
            # Not renewed is soon lost: `stale` goes by the time of the last renewal.
            logger.warning("the lease of %s %s cannot be renewed for now: %s", self.what, lease, error)
        except Exception:  # one lease's fault must not cost the others
            logger.exception("the lease of %s %s cannot be renewed for now", self.what, lease)

    @abstractmethod
    def _begun(self, held: C) -> L:
        """Return a new lease of `held`."""

    @abstractmethod
    def _keep(self, lease: L) -> None:
        """Renew the lease, and write down in it what its worker must know."""
