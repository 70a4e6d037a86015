"""What a kind of job is: it plans in the web process, works in chunks in workers, and gathers what they found.

A kind registers in `optimize.kinds`. The machinery around it (rows, leases, redoing what a lost worker had, progress,
cancelling, the ledger) is the same for all of them.

The web process plans. It must never load numba, a learner or a search library, which cost it seconds and much memory:
import what computes inside `run` and `gather`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from optimize.models import TrialRecord
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.registry import Registry

# More chunks than this would be rows without end; a kind makes them larger instead.
CHUNKS_MAX = 1000


@dataclass(frozen=True)
class Pinned:
    """One series as a job reads it, whatever is imported later.

    Attributes:
        version: of the series; for a generated one the number of its bars.
        fingerprint: SHA-256 of all bars of this version.
    """

    symbol: str
    source: str
    timeframe: str
    adjustment: str
    version: int
    fingerprint: str

    def as_json(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "source": self.source,
            "timeframe": self.timeframe,
            "adjustment": self.adjustment,
            "version": self.version,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True)
class Plan:
    """A job as it is about to be written.

    Attributes:
        request: what was asked, cleaned, every default said; JSON-able. The same request on the same data gives the
            same numbers.
        total: combinations, or whatever else its progress counts; at least 1.
        chunks: `(first, last)` stretches of `range(total)`, without a gap and in order; at most CHUNKS_MAX.
        n_folds: 0 where there are none.
        strategy_type: what the list of jobs shows as such.
    """

    request: Mapping[str, Any]
    total: int
    chunks: Sequence[tuple[int, int]]
    data: Sequence[Pinned] = ()
    n_folds: int = 0
    strategy_type: str = ""
    seed: int = 0


def stretches(total: int, size: int) -> list[tuple[int, int]]:
    """Cut `range(total)` into stretches of about `size`, but not into more than CHUNKS_MAX."""
    size = max(size, -(-total // CHUNKS_MAX), 1)
    return [(first, min(first + size, total)) for first in range(0, total, size)]


@dataclass(frozen=True)
class Asked:
    """A job as its worker sees it."""

    job_id: UUID
    request: Mapping[str, Any]
    data: Sequence[Pinned]
    seed: int
    total: int
    n_folds: int
    created_at: datetime


@dataclass(frozen=True)
class Piece:
    """One chunk under way.

    Attributes:
        first, last: the combinations to look at, `first` to `last - 1`.
        state: what an earlier worker had kept of this chunk when it was lost; None at the first attempt.
        check: returns while the work is wanted; call it every 100 ms or more often.
            Raises WorkStopped, which must pass through.
        progress: `progress(done, fold)` says how many of its combinations are done, and in which fold it is (0 to
            n_folds). Call it as often as you like: what is told is at most ten messages a second.
        keep: stores bytes from which a later attempt goes on, in the form of a result. About once a second at most.
            Raises WorkStopped.
    """

    asked: Asked
    first: int
    last: int
    check: Callable[[], None]
    progress: Callable[[int, int], None]
    keep: Callable[[bytes], None]
    state: bytes | None = None


@dataclass(frozen=True)
class Gathering:
    """All that the chunks of a job found.

    Attributes:
        results: yields `(first, last, bytes)` in order, one in memory at a time. Call it as often as needed.
        whole: False when the job was cancelled: some stretches are missing, or come from `keep`.
    """

    asked: Asked
    results: Callable[[], Iterator[tuple[int, int, bytes]]]
    whole: bool
    check: Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """What a job came to.

    Attributes:
        result: JSON-able, numbers finite or None, parts of it `writing.Written`; what `GET /api/optimize/{id}` answers
            beside status and progress.
        verdict: promote, review or reject; empty where there is none.
        trials: the entry of the trial ledger, not saved yet; it is written with the end of the job.
    """

    result: Mapping[str, Any]
    best_sharpe: float | None = None
    verdict: str = ""
    trials: TrialRecord | None = field(default=None)


class Kind(ABC):
    """One kind of job. `slug` is a JobKind."""

    slug: ClassVar[str]

    @abstractmethod
    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        """Return how the job would be done. In the web process: quick, and without what computes.

        Args:
            body: what a serializer of the route has let through.

        Raises:
            ValidationFailed: naming each wrong field.
        """

    @abstractmethod
    def run(self, piece: Piece) -> bytes:
        """Do one chunk and return what it found, compact. Deterministic: the same for every cut into chunks.

        Raises:
            OptimizationFailed: the job cannot be done; it ends as failed with this code.
            WorkStopped: from `piece.check`.
        """

    @abstractmethod
    def gather(self, gathering: Gathering) -> Outcome:
        """Return what the job came to, from what its chunks found.

        Raises:
            OptimizationFailed, WorkStopped: as there.
        """


kinds: Registry[Kind] = Registry("kind of optimisation")  # type: ignore[type-var]  # its slug is a class's
