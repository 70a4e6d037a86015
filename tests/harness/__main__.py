"""`python -m tests.harness`: every check and every test, on both databases, with one table at the end.

What could not run is a failure and is listed as one. The last line is `N passed, N failed`: the tests of all passes,
and among the failed also each static check and each pass that did not come through.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults import figures
from tests.harness import checks, services

WORKERS = "2"
# On PostgreSQL the walk over the embedded site would only be repeated: it always runs on SQLite.
SELECTIONS = {"SQLite": "not postgres", "PostgreSQL": "not e2e or postgres"}
# Byte code is written even where the environment asks for none: without it both workers of both passes rewrite the
# assertions of every test module anew, and each process of a desk compiles the site.
_NOT_HANDED_ON = frozenset({"TEST_DATABASE_URL", "TEST_REDIS_URL", "PYTHONDONTWRITEBYTECODE"})


@dataclass(frozen=True)
class Pass:
    """One run of pytest, or why there was none."""

    name: str
    passed: int
    failed: int
    seconds: float
    note: str = ""


def main() -> int:
    options = _options()
    # An end asked for by a process manager takes the same way out as Ctrl-C: the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    outcomes = [] if options.only == "tests" else _run_checks()
    with tempfile.TemporaryDirectory(prefix="desk-faults-") as folder:
        report = Path(os.environ.setdefault(figures.FILE, str(Path(folder) / "report.json")))
        passes = [] if options.only == "checks" else list(_run_tests(options.pytest))
        _print_faults(report)
    _print_table(outcomes, passes, time.monotonic() - began)
    failed = sum(not outcome.ok for outcome in outcomes) + sum(one.failed for one in passes)
    print(f"{sum(one.passed for one in passes)} passed, {failed} failed")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.harness", description=__doc__)
    parser.add_argument("--only", choices=["checks", "tests"], help="leave the other half out")
    parser.add_argument("pytest", nargs="*", help="paths or options handed to pytest, after `--`")
    return parser.parse_args()


def _run_checks() -> list[checks.Outcome]:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda check: check.run(), checks.CHECKS))
    for outcome in outcomes:
        if not outcome.ok:
            _headline(f"{outcome.name} failed")
            print(outcome.output.strip(), flush=True)
    return outcomes


def _run_tests(arguments: list[str]) -> Iterator[Pass]:
    with contextlib.ExitStack() as stack:
        # The walk over web and workers uses them too, so they are up before the first pass.
        found: dict[str, services.Service | str] = {}
        for name, start in (("PostgreSQL", services.postgres), ("Redis", services.redis)):
            try:
                found[name] = stack.enter_context(start())
            except services.ServiceMissing as missing:
                found[name] = str(missing)
        yield _pytest("SQLite", "in a file", {}, arguments)
        absent = [text for text in found.values() if isinstance(text, str)]
        if absent:
            yield Pass("PostgreSQL + Redis", 0, 1, 0.0, "; ".join(absent))
            return
        database, redis = found["PostgreSQL"], found["Redis"]
        assert isinstance(database, services.Service)
        assert isinstance(redis, services.Service)
        env = {"TEST_DATABASE_URL": database.url, "TEST_REDIS_URL": redis.url}
        yield _pytest("PostgreSQL", f"{database.origin}; {redis.origin}", env, arguments)


def _pytest(name: str, note: str, env: dict[str, str], arguments: list[str]) -> Pass:
    _headline(f"tests on {name}")
    began = time.monotonic()
    environment = {key: text for key, text in os.environ.items() if key not in _NOT_HANDED_ON}
    with tempfile.TemporaryDirectory(prefix="desk-harness-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", WORKERS, "--dist", "loadgroup", "-m", SELECTIONS[name]]
        command += ["-p", "no:cacheprovider", "--durations=10", f"--junitxml={report}", *arguments]
        process = subprocess.Popen(command, cwd=checks.ROOT, env={**environment, **env})
        try:
            code = process.wait()
        except (KeyboardInterrupt, SystemExit):
            # pytest got the Ctrl-C as well and takes its own fixtures down; a plain `kill` has reached only us.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.send_signal(signal.SIGINT)
                process.wait(20)
            process.kill()
            raise
        seconds = time.monotonic() - began
        if not report.exists():
            return Pass(name, 0, 1, seconds, f"pytest ended with {code} before it could report")
        total, failed = _counted(report)
    if code or not total:
        # Also when nothing was collected: a pass that proves nothing has not passed.
        failed = max(failed, 1)
    return Pass(name, max(total - failed, 0), failed, seconds, note)


def _counted(report: Path) -> tuple[int, int]:
    """Return how many tests the report holds and how many of them failed, broke or were left out."""
    cases = ElementTree.parse(report).getroot().iter("testcase")
    bad = {"failure", "error", "skipped"}
    results = [any(child.tag in bad for child in case) for case in cases]
    return len(results), sum(results)


def _headline(text: str) -> None:
    print(f"\n=== {text} {'=' * max(0, 100 - len(text))}", flush=True)


def _print_faults(report: Path) -> None:
    if report.exists():
        _headline("faults")
        print(figures.table(figures.read(report)))


def _print_table(outcomes: list[checks.Outcome], passes: list[Pass], seconds: float) -> None:
    _headline("summary")
    for outcome in outcomes:
        print(f"  {'ok  ' if outcome.ok else 'FAIL'}  {outcome.name:<20} {outcome.seconds:6.1f} s")
    for one in passes:
        state = "FAIL" if one.failed else "ok  "
        counts = f"{one.passed} passed, {one.failed} failed"
        print(f"  {state}  {'tests on ' + one.name:<20} {one.seconds:6.1f} s  {counts}  ({one.note})")
    print(f"  all in {seconds:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
