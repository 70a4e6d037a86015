"""Jobs without any figures: a kind that counts, so that the machinery around it can be looked at alone."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from optimize import kernels
from optimize.choices import JobKind
from optimize.leases import keeper
from optimize.models import OptimizationJob
from optimize.services import job_create
from optimize.work import Gathering, Kind, Outcome, Piece, Plan, kinds, stretches
from tradingsite.common.actor import Actor


@dataclass
class Counting(Kind):
    """Adds up the numbers of a range, chunk by chunk; `during` is called within each chunk."""

    slug: ClassVar[str] = "strategy"
    during: Callable[[Piece], None] = lambda piece: None
    gathering: Callable[[Gathering], None] = lambda gathering: None
    ran: list[tuple[int, int]] = field(default_factory=list)

    def plan(self, body: Mapping[str, Any], actor: Actor) -> Plan:
        chunks = stretches(body["total"], body["size"])
        return Plan(request=body, total=body["total"], chunks=chunks, n_folds=2, strategy_type="momentum")

    def run(self, piece: Piece) -> bytes:
        self.ran.append((piece.first, piece.last))
        self.during(piece)
        return json.dumps(list(range(piece.first, piece.last))).encode()

    def gather(self, gathering: Gathering) -> Outcome:
        self.gathering(gathering)
        numbers = [number for _, _, found in gathering.results() for number in json.loads(found)]
        return Outcome({"sum": sum(numbers), "count": len(numbers), "whole": gathering.whole}, best_sharpe=1.5)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    kind = Counting()
    monkeypatch.setitem(kinds._items, "strategy", kind)
    return kind


@pytest.fixture
def ask(actor: Actor, counting: Counting) -> Callable[..., OptimizationJob]:
    """Return a factory of jobs that count: `ask(total, size)`."""

    def make(total: int = 10, size: int = 10) -> OptimizationJob:
        return job_create(actor=actor, kind=JobKind.STRATEGY, body={"total": total, "size": size})

    return make


@pytest.fixture(scope="session")
def warmed() -> None:
    """Have every kernel loaded, as a worker has: a chunk within a test's own transaction cannot keep its lease."""
    kernels.warm()


@pytest.fixture(autouse=True)
def _no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the lease keeper start no thread: it could not see what a test has not committed, and would wake after it."""
    monkeypatch.setattr(keeper, "_thread", threading.current_thread())
