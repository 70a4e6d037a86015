"""The loads that every contender is put under, and what is measured of it. Standard library only: peers have their own
environments.

A run has three steps that do nothing but note when they began and ended, on the system's monotonic clock, which is one
for all processes of the machine. What lies between is the engine.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Protocol

STEPS = 3
ENDS_WITHIN_S = 120.0
REST_S = 1.0
# (began, ended) of each step of a run.
Marks = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Load:
    """How much is asked of a contender in one round.

    Attributes:
        warm: runs before anything is measured.
        idle: runs one after the other, each submitted when the one before has ended.
        rested: runs of an engine that has had nothing to do for `REST_S`.
        steady: runs at `steady_per_s` a second, whether the earlier ones have ended or not.
        burst: runs submitted as fast as `submitters` threads can.
    """

    warm: int
    idle: int
    rested: int
    steady: int
    steady_per_s: float
    burst: int
    submitters: int = 2


@dataclass
class Figures:
    """One round of one contender; times in milliseconds.

    Attributes:
        per_s: runs a second in the burst, from its first submission to its last end.
        idle_done_ms: submission to end, one run at a time.
        rested_done_ms: the same after a rest.
        idle_overhead_ms, steady_overhead_ms: a step's end to the next one's beginning: its writes, and the next one's.
        steady_start_ms: submission to the beginning of the first step, under the steady load.
        notes: what the contender alone can tell.
    """

    per_s: float = 0.0
    idle_done_ms: list[float] = field(default_factory=list)
    rested_done_ms: list[float] = field(default_factory=list)
    idle_overhead_ms: list[float] = field(default_factory=list)
    steady_overhead_ms: list[float] = field(default_factory=list)
    steady_start_ms: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


class Contender(Protocol):
    """An engine that is up and waits for runs."""

    def submit(self) -> str:
        """Return a new run's id; the run survives a crash from here on."""

    def wait(self, run: str) -> None:
        """Return when the end of this run is stored."""

    def wait_all(self, runs: Sequence[str]) -> None:
        """Return when the ends of all these runs are stored."""

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        """Return what the steps of these runs noted; only of runs that completed."""


def measure(contender: Contender, load: Load) -> Figures:
    """Put a contender under the loads, one after the other.

    Raises:
        RuntimeError: a run did not complete, or not all its steps ran.
    """
    figures = Figures()
    with ThreadPoolExecutor(load.submitters) as pool:
        warm = list(pool.map(lambda _: contender.submit(), range(load.warm)))
        contender.wait_all(warm)
        _checked(contender, warm)

        idle = [_alone(contender, figures.idle_done_ms) for _ in range(load.idle)]
        figures.idle_overhead_ms = _overheads(_checked(contender, idle))
        for _ in range(load.rested):
            time.sleep(REST_S)
            _alone(contender, figures.rested_done_ms)

    with ThreadPoolExecutor(max(load.submitters, 8)) as pool:
        submitted_at = dict(pool.map(_submit_timed, *zip(*_ticks(contender, load), strict=True)))
        contender.wait_all(list(submitted_at))
        found = _checked(contender, list(submitted_at))
        figures.steady_start_ms = [(found[run][0][0] - at) * 1000 for run, at in submitted_at.items()]
        figures.steady_overhead_ms = _overheads(found)

    with ThreadPoolExecutor(load.submitters) as pool:
        began = time.monotonic()
        burst = list(pool.map(lambda _: contender.submit(), range(load.burst)))
        contender.wait_all(burst)
        figures.per_s = load.burst / (time.monotonic() - began)
        _checked(contender, burst)
    return figures


def _alone(contender: Contender, took_ms: list[float]) -> str:
    submitted = time.monotonic()
    run = contender.submit()
    contender.wait(run)
    took_ms.append((time.monotonic() - submitted) * 1000)
    return run


def _ticks(contender: Contender, load: Load) -> list[tuple[Contender, float]]:
    first = time.monotonic() + 0.1
    return [(contender, first + number / load.steady_per_s) for number in range(load.steady)]


def _submit_timed(contender: Contender, due: float) -> tuple[str, float]:
    time.sleep(max(due - time.monotonic(), 0.0))
    at = time.monotonic()
    return contender.submit(), at


def _checked(contender: Contender, runs: Sequence[str]) -> Mapping[str, Marks]:
    found = contender.marks(runs)
    whole = sum(len(found.get(run, ())) == STEPS for run in runs)
    if whole != len(runs):
        raise RuntimeError(f"{len(runs) - whole} of {len(runs)} runs did not complete with {STEPS} steps")
    return found


def _overheads(found: Mapping[str, Marks]) -> list[float]:
    return [(later[0] - earlier[1]) * 1000 for marks in found.values() for earlier, later in pairwise(marks)]


def until(what: str, ready: Any, *, pause_s: float, within_s: float = ENDS_WITHIN_S) -> None:
    """Return when `ready()` is true, looked at every `pause_s`.

    Raises:
        TimeoutError: naming `what`, when it is not in time.
    """
    deadline = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:.0f} s")
        time.sleep(pause_s)


@contextlib.contextmanager
def program(
    command: Sequence[str], log: str, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process for the length of the block; what it prints goes to the file `log`."""
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=None if env is None else dict(env))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its threads so far; 0 for one that is not on this machine."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def given() -> dict[str, Any]:
    """Return what `benchmarks/runs.py` asks of this contender: the JSON of its only argument."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    asked["load"] = Load(**asked["load"])
    return asked


def hand_back(figures: Figures) -> None:
    """Print the figures as the last line, which is what `benchmarks/runs.py` reads."""
    print(json.dumps(asdict(figures)), flush=True)
