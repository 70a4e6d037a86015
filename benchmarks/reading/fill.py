"""A million runs as two years of a busy desk leave them behind.

The volume grows over time. One workflow of a hundred makes a fifth of it, one was retired long ago and one is new: for
those two an average over all workflows is wrong, which is what a planner goes by. Nearly all runs are over; a few wait.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.db.models import Count

from executions.models import WorkflowExecution
from portfolio.services import account_ensure_default
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role
from workflows.models import Strategy, Workflow, WorkflowVersion

WORKFLOWS, STRATEGIES_EACH, INLINE, YEARS = 100, 3, 3, 2
HOT, RETIRED, NEW = 0, WORKFLOWS - 2, WORKFLOWS - 1
WAITING, RUNNING = 20, 10
WITH_STEPS = 50_000
BITE = 100_000
USERNAME = "bench"

# Per column what a row holds; `g` offers n, at (created), r1 … r6 (uniform), w (workflow), s (strategy), status, took.
_ID = (
    "(lpad(to_hex((extract(epoch FROM g.at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(g.n %% 4096), 3, '0')"
    " || '8' || substr(md5(g.n::text), 1, 15))::uuid"
)
_ENDED = "g.status IN ('completed', 'failed', 'cancelled')"
_STARTED = (
    "CASE WHEN g.status = 'pending' OR (g.status = 'cancelled' AND g.r5 < 0.5) THEN NULL"
    " ELSE g.at - ln(g.r3) * interval '0.4 s' END"
)
_RUN: Mapping[str, str] = {
    "id": _ID,
    "created_at": "g.at",
    "updated_at": "g.at + g.took",
    "task_id": "md5('task' || g.n)::uuid::text",
    "status": "g.status",
    "triggered_by": "CASE WHEN g.r5 < 0.7 THEN 'schedule' WHEN g.r5 < 0.9 THEN 'user' ELSE 'agent' END",
    "priority": "CASE WHEN g.r5 < 0.9 THEN 0 ELSE 5 END",
    "mode": "CASE WHEN g.r6 < 0.9 THEN 'paper' ELSE 'live' END",
    "symbols": """'["AAPL", "MSFT", "IBM", "GOOG"]'::jsonb""",
    "input_data": "'{}'::jsonb",
    "params": """'{"fast": 10, "slow": 30, "risk": "0.01"}'::jsonb""",
    "as_of": "g.at",
    "attempts": "CASE WHEN g.status = 'pending' THEN 0 WHEN g.r5 < 0.97 THEN 1 ELSE 2 END",
    "max_attempts": "5",
    "fence": "1",
    "lease_owner": "CASE WHEN g.status = 'running' THEN 'worker:1' ELSE '' END",
    "lease_until": "CASE WHEN g.status = 'running' THEN now() + interval '6 s' END",
    "queued_at": "g.at",
    "cancel_requested_at": "CASE WHEN g.status = 'cancelled' THEN g.at END",
    "stale_writes": "0",
    "started_at": _STARTED,
    "completed_at": f"CASE WHEN {_ENDED} THEN g.at + interval '1 s' + g.took END",
    "progress": f"CASE WHEN {_ENDED} THEN 100 ELSE 0 END",
    "results": "CASE WHEN g.status = 'completed' THEN %(results)s::jsonb || jsonb_build_object('run', g.n) END",
    "decisions_made": "CASE WHEN g.status = 'completed' THEN 4 ELSE 0 END",
    "orders_placed": "CASE WHEN g.status = 'completed' AND g.r6 < 0.3 THEN 1 ELSE 0 END",
    "buys": "CASE WHEN g.status = 'completed' AND g.r6 < 0.2 THEN 1 ELSE 0 END",
    "sells": "CASE WHEN g.status = 'completed' AND g.r6 >= 0.2 AND g.r6 < 0.3 THEN 1 ELSE 0 END",
    "holds": "CASE WHEN g.status = 'completed' THEN CASE WHEN g.r6 < 0.3 THEN 3 ELSE 4 END ELSE 0 END",
    "r_sum": "CASE WHEN g.status = 'completed' AND g.r6 < 0.3 THEN 1 + g.r5 ELSE 0 END",
    "r_count": "CASE WHEN g.status = 'completed' AND g.r6 < 0.3 THEN 1 ELSE 0 END",
    "error_code": "CASE WHEN g.status = 'failed' THEN 'STEP_FAILED' ELSE '' END",
    "error_message": "CASE WHEN g.status = 'failed' THEN 'step signal: no bars for AAPL' ELSE '' END",
    "created_by_id": "%(user)s",
    "strategy_id": "(%(strategies)s)[g.s + 1]",
    "strategy_version": "1",
    "workflow_id": "CASE WHEN g.w IS NOT NULL THEN (%(workflows)s)[g.w + 1] END",
    "workflow_version_id": "CASE WHEN g.w IS NOT NULL THEN (%(versions)s)[g.w + 1] END",
}

# With volume growing steadily from nothing, the share of runs before a moment is the square of the share of time.
_ROWS = f"""
    SELECT c.*,
           CASE WHEN w IS NULL THEN {WORKFLOWS * STRATEGIES_EACH} + (r2 * {INLINE})::int %% {INLINE}
                ELSE w * {STRATEGIES_EACH} + (r2 * {STRATEGIES_EACH})::int %% {STRATEGIES_EACH} END AS s,
           CASE WHEN n > %(total)s - {WAITING} THEN 'pending'
                WHEN n > %(total)s - {WAITING + RUNNING} THEN 'running'
                WHEN r4 < 0.88 THEN 'completed' WHEN r4 < 0.96 THEN 'failed' ELSE 'cancelled' END AS status
      FROM (SELECT b.*,
                   %(end)s - {YEARS} * 365 * interval '1 day' * (1 - sqrt(n::float / %(total)s))
                       - r6 * interval '0.5 s' AS at,
                   exp(0.5 + 1.2 * sqrt(-2 * ln(r2)) * cos(2 * pi() * r3)) * interval '1 s' AS took,
                   CASE WHEN r1 < 0.20 THEN {HOT} WHEN r1 < 0.21 THEN NULL
                        WHEN r1 < 0.29 AND n < 0.25 * %(total)s THEN {RETIRED}
                        WHEN r1 < 0.23 AND n > 0.998 * %(total)s THEN {NEW}
                        ELSE 1 + (r5 * {WORKFLOWS - 3})::int %% {WORKFLOWS - 3} END AS w
              FROM (SELECT n, 1 - random() AS r1, 1 - random() AS r2, 1 - random() AS r3, 1 - random() AS r4,
                           1 - random() AS r5, 1 - random() AS r6
                      FROM generate_series(%(low)s, %(high)s) AS n) b) c
"""

_STEPS = """
    INSERT INTO step_executions (execution_id, index, name, type, config, retries, on_error, status, attempts, output,
                                 summary, logs, error_code, error_message, started_at, completed_at)
    SELECT e.id, k, 'step ' || k, (ARRAY['market_data', 'signal', 'decide'])[k + 1], '{"period": 14}', 0, 'fail',
           'completed', 1, '{"rows": 200}', 'done', '[]', '', '', e.created_at, e.completed_at
      FROM (SELECT id, created_at, completed_at FROM workflow_execution WHERE status = 'completed'
             ORDER BY created_at DESC LIMIT %s) e, generate_series(0, 2) k
"""

_EARLIER = """
    INSERT INTO earlier_tasks (task_id, execution_id, status, progress, attempts, error_code, error_message)
    SELECT md5('earlier' || id)::uuid::text, id, 'FAILURE', 50, 1, 'STEP_FAILED', 'step signal: no bars'
      FROM workflow_execution WHERE attempts = 2 AND status = 'completed'
"""


@dataclass(frozen=True)
class Desk:
    """Who and what the measurement asks for."""

    hot: Workflow
    retired: Workflow
    new: Workflow
    middling: Workflow
    strategy: Strategy


def _definitions(user: Any) -> Mapping[str, Any]:
    """Make the workflows with a version each, their strategies, and some strategies with steps of their own."""
    steps = [{"name": f"step {k}", "type": "market_data", "config": {"note": "x" * 300}} for k in range(3)]
    workflows = [
        Workflow(name=f"Workflow {k:03}", type="custom", steps=steps, created_by=user) for k in range(WORKFLOWS)
    ]
    Workflow.objects.bulk_create(workflows)
    versions = [
        WorkflowVersion(workflow=row, version_number=1, type="custom", steps=steps, created_by=user)
        for row in workflows
    ]
    WorkflowVersion.objects.bulk_create(versions)
    for workflow, version in zip(workflows, versions, strict=True):
        workflow.current_version = version
    Workflow.objects.bulk_update(workflows, ["current_version"])
    strategies = [
        Strategy(name=f"Strategy {k:03}", workflow=workflows[k // STRATEGIES_EACH], symbols=["AAPL"], created_by=user)
        for k in range(WORKFLOWS * STRATEGIES_EACH)
    ]
    strategies += [
        Strategy(name=f"Inline {k}", param={"steps": steps}, symbols=["IBM"], created_by=user) for k in range(INLINE)
    ]
    Strategy.objects.bulk_create(strategies)
    return {
        "user": user.pk,
        "workflows": [row.pk for row in workflows],
        "versions": [row.pk for row in versions],
        "strategies": [row.pk for row in strategies],
    }


def _results() -> str:
    """Return what a run leaves behind as text, about a kilobyte."""
    reason = "the fast average crossed the slow one from below while the trend was up"
    decision = f'{{"action": "HOLD", "confidence": 0.61, "reason": "{reason}", "r_coefficient": null, "symbol": "%s"}}'
    decisions = ", ".join(decision % symbol for symbol in ("AAPL", "MSFT", "IBM", "GOOG"))
    logs = ", ".join(f'{{"at": "2026-01-05T15:00:0{k}Z", "message": "step {k} done"}}' for k in range(3))
    return (
        f'{{"symbols_processed": 4, "decisions_made": 4, "orders_placed": 0, "execution_logs": [{logs}],'
        f' "decisions": [{decisions}], "orders": []}}'
    )


def migrate() -> None:
    """Bring the database's tables up to date, also of one that was kept."""
    call_command("migrate", interactive=False, verbosity=0)


def runs_write(total: int, user: Any) -> None:
    """Write `total` runs of `user`, with the workflows and strategies they hang on, into the tables as they are."""
    values = {**_definitions(user), "total": total, "end": utcnow() - timedelta(seconds=30), "results": _results()}
    table = WorkflowExecution._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.4)")
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
        columns = [name for (name,) in cursor.fetchall()]
        if unknown := set(columns) - set(_RUN):
            raise LookupError(f"benchmarks/reading/fill.py does not fill these columns of a run: {sorted(unknown)}")
        chosen = ", ".join(_RUN[name] for name in columns)
        statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM ({_ROWS}) g"
        for low in range(1, total + 1, BITE):
            cursor.execute(statement, {**values, "low": low, "high": min(low + BITE - 1, total)})
        cursor.execute(_STEPS, [min(WITH_STEPS, total)])
        cursor.execute(_EARLIER)
    counts = WorkflowExecution.objects.order_by().values_list("workflow_id").annotate(Count("pk"))
    for workflow_id, count in counts:
        Workflow.objects.filter(pk=workflow_id).update(executions_count=count)


@contextlib.contextmanager
def _without_indexes() -> Iterator[None]:
    """Make the indexes of the runs at the end, all at once, which takes a third of the time."""
    with connection.cursor() as cursor:
        # A lost benchmark is filled anew.
        cursor.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)",
            [WorkflowExecution._meta.db_table],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        yield
        for _, definition in indexes:
            cursor.execute(definition)


def fill(total: int, write: Callable[[str], object]) -> None:
    """Fill the empty database with `total` runs and what they hang on."""
    began = time.perf_counter()
    migrate()
    user = get_user_model().objects.create_user(USERNAME, password=None)
    user.groups.add(Group.objects.get(name=Role.VIEWER.slug))
    account_ensure_default(actor=Actor.system("benchmark"))
    with _without_indexes():
        runs_write(total, user)
    write(f"{total:,} runs written after {time.perf_counter() - began:.0f} s")
    call_command("rebuild_metrics", stdout=io.StringIO())
    write(f"the figures of each day counted after {time.perf_counter() - began:.0f} s")
    with connection.cursor() as cursor:
        # What autovacuum does on a living desk.
        cursor.execute("VACUUM (ANALYZE)")
    write(f"filled after {time.perf_counter() - began:.0f} s")


def desk() -> Desk:
    """Return what the measurement asks for by name."""
    named = {row.name: row for row in Workflow.objects.filter(name__startswith="Workflow ")}
    return Desk(
        hot=named[f"Workflow {HOT:03}"],
        retired=named[f"Workflow {RETIRED:03}"],
        new=named[f"Workflow {NEW:03}"],
        middling=named["Workflow 007"],
        strategy=Strategy.objects.get(name="Strategy 022"),
    )
