"""What a small search costs a warm worker, beside a task that does nothing.

Run: python benchmarks/small_job.py [--jobs 100] [--rounds 3] [--json FILE]. PostgreSQL and Redis as for `runs.py`.

A Celery worker as production starts it carries, one after the other and in turns:

- task: an empty task of Celery, which says over Redis that it was here;
- no-op: a job of the optimiser with the whole life of a search (asked, called for through the outbox, claimed, one chunk,
  gathered, ended with its news), which computes nothing;
- search: 18 combinations, 5 folds, 1,258 bars of one symbol.

Of each: the processor time that the worker's process spends on one, with what it spends at rest taken off, and the time
from the asking to the end, as the median. Target: a search costs at most 1.5 times as much as the no-op. Exits with 1 when
it is missed.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import desk
import redis
from loads import cpu_s, program, until
from runs import REDIS_URL, broker, databases, postgres_url

DATABASE = "bench_small_job"
SMALL = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}
TIMES = 1.5
REST_S = 3.0


def prepare(environment: dict[str, str]) -> None:
    """Make the desk's tables and prices in this process, which is the one that asks."""
    import django

    os.environ.update(environment)
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from market.services import bars_import_source
    from tradingsite.common.actor import Actor

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        # The table takes no other kinds than the desk's own; this database is dropped afterwards.
        cursor.execute("ALTER TABLE optimization_job DROP CONSTRAINT optimization_job_kind_known")
    bars_import_source(actor=Actor.system("measurement"), source="sample")


def loads(client: "redis.Redis") -> dict[str, Callable[[], None]]:
    """Return, by name, what asks for one and returns when it has ended."""
    from idle_jobs.tasks import DONE

    from optimize.api.serializers import OptimizeStrategySerializer
    from optimize.models import OptimizationJob
    from optimize.services import job_create
    from tradingsite.celery import app
    from tradingsite.common.actor import Actor
    from tradingsite.common.api.serializers import validated

    actor = Actor.system("measurement")

    def task() -> None:
        app.send_task("idle_jobs.nothing", queue="optimize", ignore_result=True)
        until("a task", lambda: client.lpop(DONE), pause_s=0.002)

    def job(kind: Any, body: dict[str, Any]) -> None:
        own = OptimizationJob.objects.filter(pk=job_create(actor=actor, kind=kind, body=body).pk)
        until("a job", lambda: own.exclude(completed_at=None).exists(), pause_s=0.002)
        (status,) = own.values_list("status", flat=True)
        assert status == "complete", own.values("error_code", "error_detail").get()

    return {
        "task": task,
        "no-op": lambda: job("nothing", {}),
        "search": lambda: job("strategy", validated(OptimizeStrategySerializer, SMALL)),
    }


def measured(worker: int, one: Callable[[], None], jobs: int, resting: float) -> tuple[float, float]:
    """Return processor milliseconds of the worker for one, and the median milliseconds to its end."""
    took = []
    spent, began = cpu_s(worker), time.perf_counter()
    for _ in range(jobs):
        asked = time.perf_counter()
        one()
        took.append((time.perf_counter() - asked) * 1000)
    passed = time.perf_counter() - began
    return (cpu_s(worker) - spent - resting * passed) * 1000 / jobs, statistics.median(took)


def measure(jobs: int, rounds: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="desk-bench-") as folder, databases([DATABASE]), broker() as client:
        asked = {
            "database_url": postgres_url(DATABASE),
            "redis_url": REDIS_URL,
            "folder": folder,
            "concurrency": 1,
        }
        environment = desk.environment(asked) | {"EXTRA_APPS": "idle_jobs"}
        prepare(environment)
        kinds = loads(client)
        log = str(Path(folder) / "worker.log")
        worker = [*desk.WORKER, *desk.QUIET, "-c", "1", "-n", "desk@%h"]
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        with program(worker, log, environment) as process:
            try:
                # Until its kernels are loaded, and its statements prepared.
                for _ in range(10):
                    for one in kinds.values():
                        one()
                for _ in range(rounds):
                    spent, began = cpu_s(process.pid), time.perf_counter()
                    time.sleep(REST_S)
                    resting = (cpu_s(process.pid) - spent) / (time.perf_counter() - began)
                    for name, one in kinds.items():
                        found[name].append(measured(process.pid, one, jobs, resting))
            except BaseException:
                print(Path(log).read_text(errors="replace")[-4000:])
                raise
        from django.db import connection

        connection.close()
    return {
        name: {
            "cpu_ms": statistics.median(cpu for cpu, _ in figures),
            "wall_ms": statistics.median(wall for _, wall in figures),
        }
        for name, figures in found.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.jobs, arguments.rounds)
    for name, figures in found.items():
        print(f"{name:8} {figures['cpu_ms']:8.1f} ms of the worker's processor {figures['wall_ms']:8.1f} ms to its end")
    times = {what: found["search"][what] / found["no-op"][what] for what in ("cpu_ms", "wall_ms")}
    print(
        f"a search is {times['cpu_ms']:.1f} times a no-op by the processor, {times['wall_ms']:.1f} times by the clock"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    return 1 if times["cpu_ms"] > TIMES else 0


if __name__ == "__main__":
    sys.exit(main())
