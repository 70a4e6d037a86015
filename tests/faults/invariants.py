"""What must be true of the desk after any fault, asked of the database alone: I1 to I6.

Each check returns what it found wrong, in words. Step types of the tests write a row of `fault_mark` at each start of a
step's body, by the database's clock: what a step did is known from what it left behind, not from its own row.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

Ask = Callable[..., list[tuple[Any, ...]]]

EXPIRED_FOR_S = 10
MARKS = """
    CREATE TABLE IF NOT EXISTS fault_mark (
        id bigserial PRIMARY KEY, execution_id uuid NOT NULL, step text NOT NULL, attempt int NOT NULL, pid int NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


@dataclass(frozen=True)
class Invariant:
    """One promise, and the questions whose rows break it."""

    name: str
    promise: str
    broken_by: tuple[tuple[str, str], ...]

    def violations(self, ask: Ask) -> list[str]:
        return [f"{self.name} {what}: {row}" for what, sql in self.broken_by for row in ask(sql)]


ENDS = "type = 'status' AND data->>'status' IN ('completed', 'failed', 'cancelled')"

I1 = Invariant(
    "I1",
    "each accepted run reaches exactly one terminal state; a retry gives it one life more",
    (
        ("not ended", "SELECT id, status FROM workflow_execution WHERE status IN ('pending', 'running')"),
        (
            "told another number of ends than it had lives",
            f"""
            SELECT r.id, r.status, count(e.id), 1 + (SELECT count(*) FROM earlier_tasks t WHERE t.execution_id = r.id)
            FROM workflow_execution r LEFT JOIN live_event e ON e.stream = 'execution:' || r.id AND {ENDS}
            WHERE r.status NOT IN ('pending', 'running')
            GROUP BY r.id HAVING count(e.id) <> 1 + (SELECT count(*) FROM earlier_tasks t WHERE t.execution_id = r.id)
            """,
        ),
        (
            "its last word is not its state",
            f"""
            SELECT r.id, r.status, e.data->>'status' FROM workflow_execution r JOIN live_event e
                ON e.stream = 'execution:' || r.id AND e.seq = (
                    SELECT max(seq) FROM live_event l WHERE l.stream = e.stream AND {ENDS})
            WHERE r.status NOT IN ('pending', 'running') AND r.status <> e.data->>'status'
            """,
        ),
        (
            "ended with an open step",
            """
            SELECT r.id, r.status, s.name, s.status FROM workflow_execution r JOIN step_executions s
                ON s.execution_id = r.id
            WHERE r.status NOT IN ('pending', 'running') AND s.status IN ('pending', 'running')
            """,
        ),
        (
            "complete with a step that is not",
            """
            SELECT r.id, s.name, s.status FROM workflow_execution r JOIN step_executions s ON s.execution_id = r.id
            WHERE r.status = 'completed' AND NOT (
                s.status = 'completed' OR (s.status = 'failed' AND s.on_error = 'continue'))
            """,
        ),
    ),
)

I2 = Invariant(
    "I2",
    "no completed step runs again",
    (
        (
            "its body began after it was complete",
            """
            SELECT s.execution_id, s.name, m.attempt FROM step_executions s JOIN fault_mark m
                ON m.execution_id = s.execution_id AND m.step = s.name
            WHERE s.status = 'completed' AND m.at > s.completed_at
            """,
        ),
        (
            "an attempt's body began twice",
            "SELECT execution_id, step, attempt, count(*) FROM fault_mark GROUP BY 1, 2, 3 HAVING count(*) > 1",
        ),
        (
            "its body began without an attempt of its own",
            """
            SELECT m.execution_id, m.step, m.attempt, s.attempts FROM fault_mark m JOIN step_executions s
                ON s.execution_id = m.execution_id AND s.name = m.step
            WHERE m.attempt > s.attempts
            """,
        ),
        (
            "it was told complete twice",
            """
            SELECT stream, data->>'name', count(*) FROM live_event
            WHERE type = 'step' AND data->>'status' = 'completed' GROUP BY 1, 2 HAVING count(*) > 1
            """,
        ),
        (
            "it was told to begin after it was told complete",
            """
            SELECT later.stream, later.data->>'name' FROM live_event later JOIN live_event done
                ON done.stream = later.stream AND done.data->>'name' = later.data->>'name' AND done.seq < later.seq
            WHERE later.type = 'step' AND done.type = 'step' AND done.data->>'status' = 'completed'
            """,
        ),
    ),
)

I3 = Invariant(
    "I3",
    "at most one order at the broker per client_order_id, and none that the desk does not know",
    (
        ("two orders", "SELECT client_order_id, count(*) FROM orders GROUP BY 1 HAVING count(*) > 1"),
        ("two at the broker", "SELECT client_order_id, count(*) FROM paper_order GROUP BY 1 HAVING count(*) > 1"),
        (
            "two orders of one step for one symbol",
            """
            SELECT execution_id, instrument_id, count(*) FROM orders WHERE execution_id IS NOT NULL
            GROUP BY 1, 2 HAVING count(*) > 1
            """,
        ),
        (
            "at the broker alone",
            "SELECT client_order_id FROM paper_order WHERE client_order_id NOT IN (SELECT client_order_id FROM orders)",
        ),
        (
            "filled here, unknown at the broker",
            """
            SELECT client_order_id FROM orders
            WHERE status = 'filled' AND client_order_id NOT IN (SELECT client_order_id FROM paper_order)
            """,
        ),
        (
            "the positions are not what was filled",
            """
            SELECT held, bought FROM (SELECT coalesce(sum(quantity), 0) AS held FROM position) p,
                (SELECT coalesce(sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END), 0) AS bought FROM fill) f
            WHERE held <> bought
            """,
        ),
    ),
)

# What the log itself promises, its chain, is verified where it is written.
I4 = Invariant(
    "I4",
    "each creation, cancel and retry of a run has its audit row",
    tuple(
        (
            f"{action} not written down as often as it was done",
            f"""
            SELECT r.id, {done}, count(a.id) FROM workflow_execution r
                LEFT JOIN audit_logs a ON a.target_id = r.id::text AND a.action = 'execution.{action}'
            GROUP BY r.id HAVING {wrong}
            """,
        )
        for action, done, wrong in (
            ("create", "1", "count(a.id) <> 1"),
            # A run's own row keeps its last cancel only; an earlier task that was revoked had one as well.
            (
                "cancel",
                "r.cancel_requested_at",
                "count(a.id) < (r.cancel_requested_at IS NOT NULL)::int + (SELECT count(*) FROM earlier_tasks t"
                " WHERE t.execution_id = r.id AND t.status = 'REVOKED')",
            ),
            (
                "retry",
                "(SELECT count(*) FROM earlier_tasks t WHERE t.execution_id = r.id)",
                "count(a.id) <> (SELECT count(*) FROM earlier_tasks t WHERE t.execution_id = r.id)",
            ),
        )
    ),
)

I5 = Invariant(
    "I5",
    f"no run is running with a lease that expired more than {EXPIRED_FOR_S} s ago",
    (
        (
            "nobody's",
            f"""
            SELECT id, lease_until FROM workflow_execution
            WHERE status = 'running' AND lease_until < now() - interval '{EXPIRED_FOR_S} s'
            """,
        ),
        ("without a lease", "SELECT id FROM workflow_execution WHERE status = 'running' AND lease_until IS NULL"),
    ),
)

I6 = Invariant(
    "I6",
    "at rest nothing waits: no message to send or to take, no end to account for",
    (
        ("to send", "SELECT id, task, last_error FROM outbox_message WHERE published_at IS NULL"),
        ("to take", "SELECT id, task_id FROM kafka_inbox WHERE taken_at IS NULL"),
        ("to account for", "SELECT id, execution_id, status FROM run_endings"),
        (
            "ended without its result row",
            """
            SELECT t.task_id FROM (
                SELECT task_id FROM workflow_execution WHERE status NOT IN ('pending', 'running')
                UNION SELECT task_id FROM earlier_tasks) t
            WHERE t.task_id NOT IN (SELECT task_id FROM django_celery_results_taskresult)
            """,
        ),
    ),
)

ALL = (I1, I2, I3, I4, I5, I6)
TWICE = (I2, I3)


def lost(ask: Ask, accepted: Collection[str]) -> list[str]:
    """Return the accepted runs that have no end, or no row at all."""
    ended = ask(
        "SELECT id::text FROM workflow_execution WHERE id = ANY(%s::uuid[]) AND status NOT IN ('pending', 'running')",
        list(accepted),
    )
    return sorted(set(accepted) - {key for (key,) in ended})
