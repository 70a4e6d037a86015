"""Runs as the desk's tables tell of them, read with psycopg alone: the same for the desk and for the version by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from loads import Marks, until

UNFINISHED = "SELECT count(*) FROM workflow_execution WHERE status IN ('pending', 'running')"
MARKS = """
    SELECT run.id::text, (step.output->>'began')::float8, (step.output->>'ended')::float8
    FROM workflow_execution AS run JOIN step_executions AS step ON step.execution_id = run.id
    WHERE run.id = ANY(%s::uuid[]) AND run.status = 'completed' AND step.status = 'completed'
    ORDER BY run.id, step.index
"""
CHANGES = "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
# Counted by what runs beside the work: leases, heartbeats, the clock.
ASIDE = ("worker_heartbeats", "django_celery_beat")


class Tables:
    """Waits for runs and reads what their steps noted."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def wait(self, run: str) -> None:
        # An index look-up every half millisecond: a fixed share of one core, the same for everybody.
        until(f"run {run}", lambda: not self.one(f"{UNFINISHED} AND id = %s", run), pause_s=0.0005)

    def wait_all(self, runs: Sequence[str]) -> None:
        until("all runs", lambda: not self.one(UNFINISHED), pause_s=0.02)

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        found: dict[str, list[tuple[float, float]]] = {}
        for run, began, ended in self._connection.execute(MARKS, [list(runs)]):
            found.setdefault(run, []).append((began, ended))
        return found

    def row(self, sql: str, *values: Any) -> tuple[Any, ...]:
        """Return the only row."""
        (row,) = self._connection.execute(sql, values).fetchall()
        return row

    def one(self, sql: str, *values: Any) -> Any:
        """Return the only row's first value."""
        return self.row(sql, *values)[0]

    def backends(self) -> list[int]:
        """Return the server's processes that work for this database."""
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        return [pid for (pid,) in self._connection.execute(sql)]

    def changes(self) -> dict[str, tuple[int, int, int]]:
        """Return how many rows of each table were inserted, updated and deleted so far."""
        self._connection.execute("SELECT pg_stat_clear_snapshot()")
        rows = self._connection.execute(CHANGES).fetchall()
        return {name: (i, u, d) for name, i, u, d in rows if not name.startswith(ASIDE)}


def changes_per_run(
    before: Mapping[str, tuple[int, int, int]], after: Mapping[str, tuple[int, int, int]], runs: int
) -> dict[str, str]:
    """Say for each table that runs write to how many rows one run inserts, updates and deletes, rounded."""
    found = {}
    for table, counts in sorted(after.items()):
        parts = [round((now - then) / runs, 1) for now, then in zip(counts, before.get(table, (0, 0, 0)), strict=True)]
        if any(parts):
            found[table] = "+{:g} ~{:g} -{:g}".format(*parts)
    return found
