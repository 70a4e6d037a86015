"""The desk itself: a Celery worker as production starts it, and this process as the one that people submit to."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from database import Tables, changes_per_run
from loads import STEPS, Figures, Load, cpu_s, given, hand_back, measure, program, until

ROOT = Path(__file__).resolve().parents[2]
QUEUES = "control,runs,agents,optimize"
WORKER = [sys.executable, "-m", "celery", "-A", "tradingsite", "worker", "-P", "threads", "-Q", QUEUES]
QUIET = ["--without-gossip", "--without-mingle", "-l", "WARNING"]


def environment(asked: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a desk on the servers that were asked for."""
    return {
        **os.environ,
        "DATABASE_URL": asked["database_url"].replace("postgresql://", "postgres://", 1),
        "REDIS_URL": asked["redis_url"],
        "DATA_DIR": asked["folder"],
        "SECRET_KEY": "only-for-measurements-0123456789abcdefghijklmnopqrstuvwxyz",
        "EXTRA_APPS": "timed_steps",
        "WORKER_CONCURRENCY": str(asked["concurrency"]),
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).resolve().parent)]),
    }


def prepare(asked: dict[str, Any]) -> None:
    """Make the desk's tables, and the workflow that all runs are of."""
    import django

    os.environ.update(environment(asked))
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    django.setup()
    from django.core.management import call_command

    from market.models import DataSource, Instrument
    from tradingsite.common.actor import Actor
    from workflows.models import Workflow
    from workflows.services import strategy_create, workflow_create

    call_command("migrate", verbosity=0)
    if Workflow.objects.exists():
        return
    actor = Actor.system("measurement")
    source = DataSource.objects.create(slug="measured", title="Measured", kind="import", clock="historical")
    Instrument.objects.create(symbol="IBM", exchange="XNYS", default_source=source)
    steps = [{"name": name, "type": "timed", "config": {}} for name in ("first", "second", "third")[:STEPS]]
    workflow = workflow_create(actor=actor, name="Three steps", type="custom", steps=steps)
    strategy_create(actor=actor, workflow_id=workflow.pk, name="Three steps", symbols=["IBM"])


class Desk(Tables):
    """Runs are submitted by the service that the API calls."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        from tradingsite.common.actor import Actor
        from workflows.models import Workflow

        self._actor = Actor.system("measurement")
        self._workflow = Workflow.objects.select_related("current_version").get()
        self._strategy = self._workflow.strategies.get()

    def submit(self) -> str:
        from executions.services import execution_create

        run = execution_create(actor=self._actor, workflow=self._workflow, strategy=self._strategy)
        return str(run.pk)


def measured(contender: Tables, load: Load, worker: int) -> Figures:
    """Measure, and note what a run costs: rows written by table, and processor time by process."""
    # The server counts rows up to a second late.
    time.sleep(1.5)
    rows, spent = contender.changes(), _spent(contender, worker)
    figures = measure(contender, load)
    spent_then = _spent(contender, worker)
    time.sleep(1.5)
    runs = load.warm + load.idle + load.rested + load.steady + load.burst
    figures.notes["rows_per_run"] = changes_per_run(rows, contender.changes(), runs)
    figures.notes["cpu_ms_per_run"] = {
        part: (spent_then[part] - before) * 1000 / runs for part, before in spent.items()
    }
    return figures


def _spent(contender: Tables, worker: int) -> dict[str, float]:
    """Return the processor seconds so far of who submits, who carries, and of the database if it is on this machine."""
    parts = {"submitting": [os.getpid()], "carrying": [worker], "database": contender.backends()}
    return {part: sum(map(cpu_s, pids)) for part, pids in parts.items()}


def main() -> None:
    asked = given()
    prepare(asked)
    log = str(Path(asked["folder"]) / "worker.log")
    worker = [*WORKER, *QUIET, "-c", str(asked["concurrency"]), "-n", "desk@%h"]
    with program(worker, log, environment(asked)) as process:
        desk = Desk(asked["database_url"])

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the worker ended; see {log}")
            return bool(desk.one("SELECT count(*) FROM worker_heartbeats WHERE last_seen > now() - interval '3 s'"))

        time.sleep(3)
        until("the worker", ready, pause_s=0.1)
        figures = measured(desk, asked["load"], process.pid)
    hand_back(figures)


if __name__ == "__main__":
    main()
