"""The invariants hold of a healthy database, and each one sees the damage that it is there to see."""

import uuid

import pytest
from django.db import connection

from executions import endings
from executions.models import WorkflowExecution
from executions.services import execution_cancel, execution_retry
from market.models import Instrument
from portfolio.models import Fill, Order, PaperOrder, Position
from portfolio.services import account_ensure_default
from tests.executions.conftest import Trials
from tests.faults import invariants
from tests.faults.invariants import ALL
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.models import OutboxMessage

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


def ask(sql: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(values) or None)
        return cursor.fetchall() if cursor.description else []


def marked(context: StepContext) -> StepResult:
    ask(
        "INSERT INTO fault_mark (execution_id, step, attempt, pid) VALUES (%s, %s, %s, 1)",
        context.execution_id,
        context.step_name,
        context.attempt,
    )
    return StepResult({})


def stumble(context: StepContext) -> StepResult:
    marked(context)
    if context.attempt == 1:
        raise StepError("once")
    return StepResult({})


def bought(run: WorkflowExecution) -> None:
    """Let the run have bought one share, as the desk's and the broker's books tell it."""
    account, now = account_ensure_default(actor=Actor.system("test")), utcnow()
    instrument = Instrument.objects.get(symbol="IBM")
    prices = {"source": "sample", "timeframe": "1d", "adjustment": "raw"}
    told = {"client_order_id": f"{run.pk}-0-IBM-open", "account": account, "side": "buy", "quantity": 1, **prices}
    seen = {"market_time": now, "bars_seen_until": now, "quotes_seen_until": now}
    order = Order.objects.create(
        **told, instrument=instrument, type="market", mode="paper", status="filled", execution_id=run.pk
    )
    PaperOrder.objects.create(**told, **seen, symbol="IBM", type="market", fee_rate=0, slippage=0, status="filled")
    filled = {"account": account, "instrument": instrument, "quantity": 1}
    Fill.objects.create(
        **filled, order=order, venue_fill_id="one", sequence=1, side="buy", price=1, fee=0, occurred_at=now
    )
    Position.objects.create(**filled, **prices)


@pytest.fixture
def healthy(trials: Trials) -> dict[str, str]:
    """A desk at rest: a run that went well, one that failed and was retried, one that was cancelled; their ids."""
    ask(invariants.MARKS)
    trials.acts["one"] = marked
    trials.acts["two"] = stumble
    well = trials.carry(trials.create("one"))
    failed = trials.carry(trials.create("one", "two"))
    again = trials.carry(execution_retry(actor=trials.actor, execution=failed))
    cancelled = execution_cancel(actor=trials.actor, execution=trials.create("one"))
    assert [run.status for run in (well, failed, again, cancelled)] == ["completed", "failed", "completed", "cancelled"]
    bought(well)
    OutboxMessage.objects.update(published_at=utcnow())
    endings.settle()
    return {"well": str(well.pk), "again": str(again.pk), "cancelled": str(cancelled.pk)}


def found() -> set[str]:
    return {invariant.name for invariant in ALL if invariant.violations(ask)}


def test_a_healthy_desk_breaks_none(healthy: dict[str, str]) -> None:
    assert [violation for invariant in ALL for violation in invariant.violations(ask)] == []
    assert invariants.lost(ask, list(healthy.values())) == []


# Another row like one that is there, which no constraint is in the way of any more.
TWIN = (
    "SET CONSTRAINTS ALL IMMEDIATE",
    """
    DO $$ DECLARE one text; BEGIN
        FOR one IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'u'
        LOOP EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %%I', one); END LOOP;
    END $$
    """,
    "INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(o) || jsonb_build_object("
    "'id', gen_random_uuid(), 'client_order_id', {name}))).* FROM {table} o LIMIT 1",
)


def twin(table: str, name: str) -> tuple[str, ...]:
    return tuple(sql.format(table=table, name=name) for sql in TWIN)


DAMAGE: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "a run that never ended": (
        {"I1"},
        (
            "UPDATE workflow_execution SET status = 'pending', completed_at = NULL WHERE id = %(well)s",
            "DELETE FROM live_event WHERE stream = 'execution:' || %(well)s AND data->>'status' = 'completed'",
        ),
    ),
    "a run that ended twice": (
        {"I1"},
        (
            "INSERT INTO live_event (stream, feed, seq, type, data, at) SELECT stream, feed, 1000, type, data, at"
            " FROM live_event WHERE stream = 'execution:' || %(well)s AND data->>'status' = 'completed'"
            " AND type = 'status'",
        ),
    ),
    "a run whose end was overwritten": (
        {"I1"},
        ("UPDATE workflow_execution SET status = 'failed' WHERE id = %(well)s",),
    ),
    "a cancelled run with a step under way": (
        {"I1"},
        ("UPDATE step_executions SET status = 'running' WHERE execution_id = %(cancelled)s",),
    ),
    "a complete run with a step that was skipped": (
        {"I1"},
        ("UPDATE step_executions SET status = 'skipped' WHERE execution_id = %(well)s",),
    ),
    "a body that began after its step was complete": (
        {"I2"},
        (
            "UPDATE step_executions SET attempts = 2 WHERE execution_id = %(well)s",
            "INSERT INTO fault_mark (execution_id, step, attempt, pid) VALUES (%(well)s, 'one', 2, 1)",
        ),
    ),
    "a body that began twice in one attempt": (
        {"I2"},
        (
            "INSERT INTO fault_mark (execution_id, step, attempt, pid, at)"
            " SELECT execution_id, step, attempt, pid, at FROM fault_mark WHERE execution_id = %(well)s",
        ),
    ),
    "a body that began before its attempt was written": (
        {"I2"},
        ("UPDATE step_executions SET attempts = 0 WHERE execution_id = %(well)s",),
    ),
    "a step that completed twice": (
        {"I2"},
        (
            "INSERT INTO live_event (stream, feed, seq, type, data, at) SELECT stream, feed, 1000, type, data, at"
            " FROM live_event WHERE stream = 'execution:' || %(well)s AND data->>'status' = 'completed'"
            " AND type = 'step'",
        ),
    ),
    "an order that was placed twice": ({"I3"}, twin("orders", "o.client_order_id")),
    "an order that reached the broker twice": ({"I3"}, twin("paper_order", "o.client_order_id")),
    "an order that only the broker knows": ({"I3"}, twin("paper_order", "'another'")),
    "an order that the broker never got": ({"I3"}, ("DELETE FROM paper_order",)),
    "a step that ordered twice under two names": (
        {"I3"},
        (*twin("orders", "'another'"), *twin("paper_order", "'another'")),
    ),
    "a position that nobody bought": ({"I3"}, ("UPDATE position SET quantity = quantity + 1",)),
    "a creation that was not written down": (
        {"I4"},
        ("DELETE FROM audit_logs WHERE target_id = %(well)s AND action = 'execution.create'",),
    ),
    "a cancel that was not written down": (
        {"I4"},
        ("DELETE FROM audit_logs WHERE target_id = %(cancelled)s AND action = 'execution.cancel'",),
    ),
    "a retry that was not written down": (
        {"I4"},
        ("DELETE FROM audit_logs WHERE target_id = %(again)s AND action = 'execution.retry'",),
    ),
    "a run that is nobody's": (
        {"I1", "I5"},
        (
            "UPDATE workflow_execution SET status = 'running', completed_at = NULL,"
            " lease_until = now() - interval '11 s' WHERE id = %(well)s",
        ),
    ),
    "a message that never left": (
        {"I6"},
        ("UPDATE outbox_message SET published_at = NULL",),
    ),
    "an end that nothing followed from": (
        {"I6"},
        ("DELETE FROM django_celery_results_taskresult",),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_seen_by_the_invariant_that_speaks_of_it(healthy: dict[str, str], damage: str) -> None:
    expected, statements = DAMAGE[damage]
    for sql in statements:
        with connection.cursor() as cursor:
            cursor.execute(sql, healthy)
            assert cursor.rowcount != 0, f"no damage done: {sql}"
    assert found() == expected


def test_a_run_without_a_row_counts_as_lost(healthy: dict[str, str]) -> None:
    nobody = str(uuid.uuid4())
    assert invariants.lost(ask, [healthy["well"], nobody]) == [nobody]


def test_every_invariant_is_broken_by_some_damage() -> None:
    assert set().union(*(expected for expected, _ in DAMAGE.values())) == {one.name for one in ALL}
