"""The same runs by hand: a Celery task and psycopg, with the desk's tables, writes and promises, and nothing between.

What an expert would write who needs this one workflow: prepared statements that do a whole transaction in one round
trip, a connection per thread, live news sent by a thread of its own. As a module it is also the worker's Celery
application.
"""

import json
import os
import queue
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import redis
import statements
from celery import Celery
from celery.signals import worker_ready
from database import Tables
from loads import STEPS, given, hand_back, program, until
from psycopg.types.json import Jsonb

CHANNEL = "by-hand:live"
NAMES = ("first", "second", "third")

app = Celery("byhand", broker=os.environ.get("BYHAND_REDIS_URL"))
app.conf.update(
    task_ignore_result=True,
    task_default_queue="runs",
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    # As the desk asks of its broker: ten priorities, and a connection that notices when it is dead.
    broker_transport_options={
        "visibility_timeout": 3600,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "priority_steps": list(range(10)),
        "sep": ":",
        "queue_order_strategy": "priority",
    },
)

_own = threading.local()
_held: set[str] = set()


def connection() -> psycopg.Connection:
    """Return this thread's connection, which prepares what it is asked twice."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(os.environ["BYHAND_DATABASE_URL"], autocommit=True, prepare_threshold=1)
        _own.finish = statements.finish(_own.connection)
    found: psycopg.Connection = _own.connection
    return found


class News:
    """Sends live events in order, from a thread of its own, as many at once as wait."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def tell(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self._waiting.put(json.dumps(message))

    def _run(self) -> None:
        client = redis.Redis.from_url(os.environ["BYHAND_REDIS_URL"])
        while True:
            texts = [self._waiting.get()]
            while not self._waiting.empty():
                texts.append(self._waiting.get())
            with client.pipeline(transaction=False) as together:
                for text in texts:
                    together.publish(CHANNEL, text)
                together.execute()


news: News


def _told(stream: str, *events: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the parameters that write these events, and have them sent once the statement has returned."""
    found: dict[str, Any] = {"stream": stream}
    for number, (kind, data) in enumerate(events, 1):
        found |= {f"type{number}": kind, f"data{number}": Jsonb(data)}
    return found


def _status(run: str, status: str, progress: float, attempts: int) -> tuple[str, dict[str, Any]]:
    return "status", {"execution_id": run, "status": status, "progress": progress, "attempts": attempts}


def _step(run: str, index: int, status: str, duration: float) -> tuple[str, dict[str, Any]]:
    data = {"execution_id": run, "index": index, "name": NAMES[index], "status": status, "duration": duration}
    return "step", {**data, "attempts": 1, "summary": "done" if status == "completed" else ""}


def _timed() -> dict[str, float]:
    began = time.monotonic()
    return {"began": began, "ended": time.monotonic()}


@app.task(name="byhand.run", ignore_result=True)
def run(run_id: str) -> None:
    """Claim the run, do its steps, each one's output committed before the next begins, and end it."""
    ask = connection().execute
    stream = f"execution:{run_id}"

    def write(statement: str, *events: tuple[str, dict[str, Any]], **values: Any) -> Any:
        row = ask(statement, {"run": run_id, **_told(stream, *events), **values}).fetchone()
        if row is not None:
            news.tell(*({"stream": stream, "type": kind, **data} for kind, data in events))
        return row

    claimed = write(statements.CLAIM, _status(run_id, "running", 0, 1), _step(run_id, 0, "running", 0), begun=0)
    if claimed is None:
        return
    fence, steps = claimed
    _held.add(run_id)
    try:
        lines = []
        for index in range(STEPS):
            output = _timed()
            lines.append({"step": steps[index]["name"], "at": None, "message": "done"})
            ended = _step(run_id, index, "completed", output["ended"] - output["began"])
            progress = round(100.0 * (index + 1) / STEPS, 2)
            values = {"fence": fence, "output": Jsonb(output), "ended": index}
            if index + 1 < STEPS:
                begins = _step(run_id, index + 1, "running", 0)
                left = write(statements.NEXT_STEP, ended, begins, progress=progress, begun=index + 1, **values)
            else:
                results = {"symbols_processed": 0, "decisions_made": 0, "orders_placed": 0, "execution_logs": lines}
                results |= {"decisions": [], "orders": []}
                left = write(_own.finish, ended, _status(run_id, "completed", 100, 1), results=Jsonb(results), **values)
            if left is None:
                return
    finally:
        _held.discard(run_id)


# ---------------------------------------------------------------------------------------------- beside the work


def _relay() -> None:
    """Bring committed messages to the broker, woken by the database."""
    url = os.environ["BYHAND_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as ears, psycopg.connect(url) as hands:
        ears.execute("LISTEN by_hand")
        while True:
            while _drained(hands):
                pass
            for _ in ears.notifies(timeout=0.5, stop_after=1):
                pass


def _drained(hands: psycopg.Connection) -> bool:
    with hands.transaction():
        due = hands.execute(statements.DUE).fetchall()
        for task_id, args, priority in due:
            run.apply_async(args=args, task_id=task_id, queue="runs", priority=9 - priority)
    return len(due) == 100


def _beside() -> None:
    """Renew the leases and settle what ended, every second."""
    with psycopg.connect(os.environ["BYHAND_DATABASE_URL"], autocommit=True) as own:
        settle = statements.settle(own)
        while True:
            if _held:
                own.execute(statements.RENEW, [list(_held)])
            own.execute(settle)
            time.sleep(1.0)


@worker_ready.connect
def _start(**_: Any) -> None:
    global news
    news = News()
    for duty in (_relay, _beside):
        threading.Thread(target=duty, daemon=True).start()
    Path(os.environ["BYHAND_READY"]).touch()


# ---------------------------------------------------------------------------------------------- who submits


class ByHand(Tables):
    """Runs are submitted by one statement."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        workflow, version = self.row("SELECT id, current_version_id FROM workflow")
        (strategy,) = self.row("SELECT id FROM strategy")
        self._after = Jsonb({"strategy_id": str(strategy), "symbols": ["IBM"], "mode": "paper", "triggered_by": "user"})
        shared = {"workflow": f"'{workflow}'::uuid", "version": f"'{version}'::uuid", "strategy": f"'{strategy}'::uuid"}
        self._submit = statements.submit(connection(), shared)

    def submit(self) -> str:
        run_id = _uuid7()
        told = _status(run_id, "pending", 0, 0)
        values = {"run": run_id, "audit": _uuid7(), "task": str(uuid.uuid4()), "after": self._after}
        connection().execute(self._submit, {**values, **_told(f"execution:{run_id}", told)})
        news.tell({"stream": f"execution:{run_id}", "type": told[0], **told[1]})
        return run_id


def _uuid7() -> str:
    """Return a UUID that sorts by time: new rows stand side by side in every index, as the desk's do."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return str(uuid.UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 7 << 76 | 2 << 62))


def main() -> None:
    from desk import measured, prepare

    global news
    asked = given()
    prepare(asked)
    folder = Path(asked["folder"])
    ready = folder / "ready"
    os.environ |= {
        "BYHAND_DATABASE_URL": asked["database_url"],
        "BYHAND_REDIS_URL": asked["redis_url"],
        "BYHAND_READY": str(ready),
        "PYTHONPATH": str(Path(__file__).resolve().parent),
    }
    news = News()
    worker = [sys.executable, "-m", "celery", "-A", "byhand", "worker", "-P", "threads", "-Q", "runs"]
    worker += ["--without-gossip", "--without-mingle", "-l", "WARNING", "-c", str(asked["concurrency"])]
    with program(worker, str(folder / "worker.log"), os.environ) as process:

        def up() -> bool:
            if process.poll() is not None:
                raise RuntimeError("the worker ended")
            return ready.exists()

        until("the worker", up, pause_s=0.1)
        time.sleep(0.5)
        figures = measured(ByHand(asked["database_url"]), asked["load"], process.pid)
    hand_back(figures)


if __name__ == "__main__":
    main()
