"""How much of each fault: enough to be real within `make test`, and all of it in `make test-faults`."""

import os
from dataclasses import dataclass

LONG = os.environ.get("FAULTS") == "long"


@dataclass(frozen=True)
class Sizes:
    """Counts of runs, kills and requests; times in seconds."""

    runs_killed_under: int
    kills: int
    stopped_s: float
    queued: int
    restarts: int
    retries_at_once: int
    failed_runs: int
    cancels: int


SIZES = (
    Sizes(
        runs_killed_under=150,
        kills=12,
        stopped_s=30,
        queued=1000,
        restarts=3,
        retries_at_once=100,
        failed_runs=100,
        cancels=10,
    )
    if LONG
    else Sizes(
        runs_killed_under=16,
        kills=2,
        stopped_s=8,
        queued=40,
        restarts=1,
        retries_at_once=20,
        failed_runs=5,
        cancels=2,
    )
)
