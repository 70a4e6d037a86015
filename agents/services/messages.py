"""Writing down what was said with an agent, while it is said."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction
from django.utils.dateparse import parse_datetime

from agents.masking import masked
from agents.models import Agent, AgentConversation
from agents.news import tell
from agents.team.words import Said, SaidType
from executions.ledger import storable
from executions.selectors import execution_get
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.writes import kept, prepared_cursor

MAX_CONTENT = 64 * 1024
# What a socket hears of one message; the rest is read by HTTP.
MAX_TOLD = 4000
# Told under the name of the tool and not of who spoke.
_OF_TOOLS = (SaidType.TOOL_CALL, SaidType.TOOL_RESULT)
# Worked out by the statement that writes the message.
_FOUND = ("seq", "timestamp", "attempt")


@transaction.atomic
def said_record(
    *,
    execution_id: UUID,
    step_index: int,
    said: Said,
    agent: Agent | None = None,
    run_id: UUID | None = None,
    tokens_used: int | None = None,
    decisions: int = 0,
) -> AgentConversation:
    """Add one message to the conversation of a run and tell the sockets of it, in a transaction of its own.

    Two statements, since many conversations are held at once. Not fenced: it happened, even if the run has gone to
    another worker meanwhile. Secrets of the desk are masked; what is longer than MAX_CONTENT characters is cut, and
    says so.

    Args:
        agent: the registered agent that spoke or was asked, when there is one.
        run_id: the run of the autonomous agent that it belongs to.
        tokens_used: for an agent that tells only how many it took in all.
        decisions: how many the answer states.

    Raises:
        ExecutionNotFound: there is no such run.
    """
    content = masked(said.content)
    parts = [count for count in (said.prompt_tokens, said.completion_tokens) if count is not None]
    message = AgentConversation(
        workflow_execution_id=execution_id,
        step_index=step_index,
        agent=agent,
        agent_name=said.agent_name[:60],
        message_type=said.type.value,
        symbol=said.symbol[:15],
        message_content=storable(content[:MAX_CONTENT]),
        truncated=len(content) > MAX_CONTENT,
        timestamp=utcnow(),
        model=storable(said.model[:100]),
        tokens_used=sum(parts) if parts else tokens_used,
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
        cost=said.cost,
        latency_ms=said.latency_ms,
        decisions=decisions,
        error_code=said.error_code[:60],
        tool=storable(said.tool[:60]),
        call_id=storable(said.call_id[:100]),
        cut_off=said.cut_off,
    )
    _insert(message)
    # After the message: whoever holds the stream's counter waits for nothing any more.
    tell("tool_call" if said.type in _OF_TOOLS else "message", _news(message, run_id))
    return message


def _news(message: AgentConversation, run_id: UUID | None) -> dict[str, Any]:
    """Return what the sockets hear of a message; `seq` on the wire is the stream's own, so its place is `message_seq`."""
    return {
        "execution_id": str(message.workflow_execution_id),
        **({"run_id": str(run_id)} if run_id is not None else {}),
        "step_index": message.step_index,
        "message_seq": message.seq,
        "symbol": message.symbol,
        "agent_name": message.agent_name,
        "message_type": message.message_type,
        "message_content": message.message_content[:MAX_TOLD],
        "truncated": message.truncated or len(message.message_content) > MAX_TOLD,
        "tokens_used": message.tokens_used,
        "cost": None if message.cost is None else decimal_string(Decimal(message.cost)),
        "latency_ms": message.latency_ms,
        "model": message.model,
        "tool": message.tool,
        "error_code": message.error_code,
        "cut_off": message.cut_off,
    }


def _insert(message: AgentConversation) -> None:
    """Write a message with the next number of its run; its time is not before that of the message before it.

    Hardly ever do two write to one run at once: a worker that lost it may. Then one of them writes nothing and takes
    the next number, which it sees once the other has committed.
    """
    text, names = _insertion()
    fields = {field.name: field for field in AgentConversation._meta.concrete_fields}
    now = _prepared(fields["timestamp"], message.timestamp)
    step = _prepared(fields["step_index"], message.step_index)
    run = _prepared(fields["workflow_execution"], message.workflow_execution_id)
    values = [_prepared(fields[name], getattr(message, fields[name].attname)) for name in names]
    while True:
        with prepared_cursor() as cursor:
            cursor.execute(text, [*values, now, now, step, run])
            found = cursor.fetchone()
        if found is not None:
            break
        execution_get(message.workflow_execution_id)
    message.seq, message.timestamp, message.attempt = found[0], _moment(found[1]), found[2]
    kept(message)


def _insertion() -> tuple[str, list[str]]:
    """Return the statement, and the fields whose values it takes first; then the time twice, the step and the run."""
    fields = [field for field in AgentConversation._meta.concrete_fields if field.name not in _FOUND]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    postgresql = connection.vendor == "postgresql"
    places = ", ".join(["%s"] * len(fields))
    text = (
        f'INSERT INTO "agent_conversations" ({columns}, "seq", "timestamp", "attempt") SELECT {places}, '
        'COALESCE((SELECT MAX("seq") FROM "agent_conversations" WHERE "workflow_execution_id" = "run"."id"), 0) + 1, '
        f'{"GREATEST" if postgresql else "MAX"}(%s, COALESCE((SELECT "timestamp" FROM "agent_conversations" '
        'WHERE "workflow_execution_id" = "run"."id" ORDER BY "seq" DESC LIMIT 1), %s)), '
        'COALESCE((SELECT NULLIF("attempts", 0) FROM "step_executions" '
        'WHERE "execution_id" = "run"."id" AND "index" = %s), 1) '
        'FROM "workflow_execution" AS "run" WHERE "run"."id" = %s '
        # Taken now and not when the foreign key is checked at the end, when the stream's counter is held.
        f"{'FOR KEY SHARE ' if postgresql else ''}"
        'ON CONFLICT ("workflow_execution_id", "seq") DO NOTHING RETURNING "seq", "timestamp", "attempt"'
    )
    return text, [field.name for field in fields]


def _prepared(field: "models.Field[Any, Any]", value: Any) -> Any:
    return field.get_db_prep_save(value, connection=connection)


def _moment(value: datetime | str) -> datetime:
    """Return a time as the statement gave it back; SQLite knows no zones and means UTC."""
    read = parse_datetime(value) if isinstance(value, str) else value
    assert read is not None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
