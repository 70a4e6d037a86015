"""Writing down what was said with an agent."""

from uuid import UUID

from django.db import transaction

from agents.models import Agent, AgentConversation
from executions.ledger import storable
from executions.models import WorkflowExecution
from tradingsite.common.clock import utcnow

MAX_CONTENT = 64 * 1024


@transaction.atomic
def message_record(
    *,
    execution_id: UUID,
    step_index: int,
    agent: Agent,
    message_type: str,
    content: str,
    tokens_used: int | None = None,
    latency_ms: float | None = None,
    decisions: int = 0,
    error_code: str = "",
) -> AgentConversation:
    """Add one message to the conversation of a run, in a transaction of its own.

    Not fenced: it happened, even if the run has gone to another worker meanwhile. What is longer than MAX_CONTENT
    characters is cut, and says so.
    """
    _lock(execution_id)
    said = AgentConversation.objects.filter(workflow_execution_id=execution_id)
    last = said.order_by("-seq").values_list("seq", "timestamp").first()
    now = utcnow()
    return AgentConversation.objects.create(
        workflow_execution_id=execution_id,
        seq=last[0] + 1 if last else 1,
        step_index=step_index,
        agent=agent,
        agent_name=agent.name,
        message_type=message_type,
        message_content=storable(content[:MAX_CONTENT]),
        truncated=len(content) > MAX_CONTENT,
        # Another machine's clock may be behind the one that wrote the message before.
        timestamp=max(now, last[1]) if last else now,
        tokens_used=tokens_used,
        latency_ms=latency_ms,
        decisions=decisions,
        error_code=error_code[:60],
    )


def _lock(execution_id: UUID) -> None:
    """Let those who write to one conversation do it one after the other: a worker that lost its run may still write."""
    WorkflowExecution.objects.select_for_update(no_key=True).only("pk").get(pk=execution_id)
