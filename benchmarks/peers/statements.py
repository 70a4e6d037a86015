"""The statements of the version by hand: what the desk writes for a run, in as few round trips as PostgreSQL allows.

Written out, nothing generated: one statement each for claiming, for a step's end with the next one's beginning, and for
the end. Every one of them names the fence; a stale one finds no row, and then changes nothing at all.
"""

from collections.abc import Mapping

import psycopg

# What an INSERT leaves out and the table wants all the same gets the empty value of its type, as the desk writes it.
EMPTY = {
    "boolean": "false",
    "jsonb": "'{}'",
    "timestamp with time zone": "now()",
    "character varying": "''",
    "text": "''",
}
WANTED = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_name = %s AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
"""


def insert(connection: psycopg.Connection, table: str, source: str = "", **given: str) -> str:
    """Return an INSERT of these columns, each with its SQL expression, and of all others that the table wants.

    Args:
        source: a FROM clause that the expressions read; without it one row is written.
    """
    wanted = dict(connection.execute(WANTED, [table]).fetchall())
    columns = {name: EMPTY.get(kind, "0") for name, kind in wanted.items()} | given
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(columns.values())} {source}"


def events(count: int, name: str = "event", condition: str = "") -> str:
    """Return the two parts of a WITH that add `count` live events to the run's stream, with numbers without a gap.

    The parameters are `stream`, and `type1`, `data1` and so on.
    """
    rows = ", ".join(f"({n}, %(type{n})s, %(data{n})s::jsonb)" for n in range(1, count + 1))
    return f"""
        stream AS (
            INSERT INTO live_stream (name, seq) SELECT %(stream)s, {count} {condition}
            ON CONFLICT (name) DO UPDATE SET seq = live_stream.seq + {count} RETURNING name, seq
        ),
        {name} AS (
            INSERT INTO live_event (stream, feed, seq, type, data, at)
            SELECT stream.name, 'execution', stream.seq - {count} + new.n, new.type, new.data, now()
            FROM stream, (VALUES {rows}) AS new (n, type, data) RETURNING id, seq
        )
    """


STEP_ENDS = """
    ended AS (
        UPDATE step_executions AS step
        SET status = 'completed', completed_at = now(), output = %(output)s, summary = 'done', logs = '[]'
        FROM ours WHERE step.execution_id = ours.id AND step.index = %(ended)s
    )
"""
STEP_BEGINS = """
    begun AS (
        UPDATE step_executions AS step
        SET status = 'running', attempts = step.attempts + 1, started_at = now(), completed_at = NULL
        FROM ours WHERE step.execution_id = ours.id AND step.index = %(begun)s
    )
"""
OURS = "WHERE id = %(run)s AND fence = %(fence)s AND status = 'running'"

CLAIM = f"""
    WITH ours AS (
        UPDATE workflow_execution
        SET status = 'running', fence = fence + 1, attempts = attempts + 1, lease_owner = 'by hand',
            lease_until = now() + interval '6 s', started_at = coalesce(started_at, now()), updated_at = now()
        WHERE id = %(run)s AND cancel_requested_at IS NULL AND attempts < max_attempts
          AND (status = 'pending' OR status = 'running' AND lease_until < now())
        RETURNING id, fence
    ), {STEP_BEGINS}, {events(2, condition="FROM ours")}
    SELECT ours.fence, (SELECT array_agg(row_to_json(s) ORDER BY s.index) FROM step_executions AS s
                        WHERE s.execution_id = ours.id) FROM ours
"""
NEXT_STEP = f"""
    WITH ours AS (
        UPDATE workflow_execution SET progress = %(progress)s, updated_at = now() {OURS}
        RETURNING id, cancel_requested_at
    ), {STEP_ENDS}, {STEP_BEGINS}, {events(2, condition="FROM ours")}
    SELECT cancel_requested_at FROM ours
"""
RENEW = """
    UPDATE workflow_execution SET lease_until = now() + interval '6 s'
    WHERE id = ANY(%s::uuid[]) AND lease_owner = 'by hand' AND status = 'running'
"""
DUE = """
    WITH due AS (
        SELECT id FROM outbox_message WHERE published_at IS NULL ORDER BY priority DESC, id LIMIT 100
        FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox_message AS message SET published_at = now() FROM due WHERE message.id = due.id
    RETURNING message.task_id, message.args, message.priority
"""


def finish(connection: psycopg.Connection) -> str:
    """Return the statement that ends the last step and the run, and notes that it ended."""
    ending = insert(
        connection,
        "run_endings",
        "FROM ours",
        execution_id="ours.id",
        workflow_id="ours.workflow_id",
        task_id="ours.task_id",
        status="'completed'",
        run_created_at="ours.created_at",
    )
    return f"""
        WITH ours AS (
            UPDATE workflow_execution
            SET status = 'completed', results = %(results)s, completed_at = now(), progress = 100, lease_until = NULL,
                error_code = '', error_message = '', decisions_made = 0, orders_placed = 0, updated_at = now() {OURS}
            RETURNING id, workflow_id, task_id, created_at
        ), {STEP_ENDS}, {events(2, condition="FROM ours")}, ending AS ({ending})
        SELECT id FROM ours
    """


def settle(connection: psycopg.Connection) -> str:
    """Return the statement that takes the noted ends and writes the rows that tools for Celery read."""
    result = insert(
        connection,
        "django_celery_results_taskresult",
        "FROM taken JOIN workflow_execution AS run ON run.id = taken.execution_id",
        task_id="taken.task_id",
        task_name="'executions.run'",
        task_args="json_build_array(run.id)::text",
        task_kwargs="'{}'",
        status="'SUCCESS'",
        worker="run.lease_owner",
        content_type="'application/json'",
        content_encoding="'utf-8'",
        result="run.results::text",
        date_created="run.created_at",
        date_started="run.started_at",
        date_done="run.completed_at",
        meta="'{}'",
    )
    return f"""
        WITH taken AS (
            DELETE FROM run_endings WHERE id IN (
                SELECT id FROM run_endings ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
            ) RETURNING execution_id, task_id
        )
        {result}
    """


def submit(connection: psycopg.Connection, given: Mapping[str, str]) -> str:
    """Return the statement that writes a run with its steps, its message, its first news and its audit row.

    Args:
        given: what all runs share, as SQL literals: `workflow`, `version`, `strategy`.
    """
    run = insert(
        connection,
        "workflow_execution",
        id="%(run)s::uuid",
        workflow_id=given["workflow"],
        workflow_version_id=given["version"],
        strategy_id=given["strategy"],
        task_id="%(task)s",
        status="'pending'",
        triggered_by="'user'",
        mode="'paper'",
        symbols="""'["IBM"]'""",
        max_attempts="5",
    )
    steps = insert(
        connection,
        "step_executions",
        "FROM run, (VALUES (0, 'first'), (1, 'second'), (2, 'third')) AS new (index, name)",
        execution_id="run.id",
        index="new.index",
        name="new.name",
        type="'timed'",
        on_error="'fail'",
        status="'pending'",
        logs="'[]'",
    )
    message = insert(
        connection,
        "outbox_message",
        "FROM run",
        task="'executions.run'",
        task_id="%(task)s",
        queue="'runs'",
        args="jsonb_build_array(run.id)",
    )
    audit = insert(
        connection,
        "audit_logs",
        "FROM run",
        id="%(audit)s::uuid",
        actor_kind="'system'",
        actor_name="'measurement'",
        door="'system'",
        action="'execution.create'",
        target_type="'executions.workflowexecution'",
        target_id="run.id::text",
        target_repr="'run ' || run.id",
        after="%(after)s",
    )
    return f"""
        WITH run AS ({run} RETURNING id), steps AS ({steps}), message AS ({message}), audit AS ({audit}),
        counted AS (UPDATE workflow SET executions_count = executions_count + 1 WHERE id = {given["workflow"]}),
        {events(1, condition="FROM run")}
        SELECT pg_notify('by_hand', '') FROM run
    """
