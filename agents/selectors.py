"""Reading agents and what was said with them."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from agents.choices import AgentKind
from agents.errors import AgentNotFound, AgentUnusable
from agents.models import Agent, AgentConversation
from agents.performance import NOTHING, performance_by
from executions.selectors import execution_get


def agent_list(*, deleted: bool = False) -> QuerySet[Agent]:
    """Return the agents of a list, deleted ones only on request."""
    rows: QuerySet[Agent] = Agent.objects.select_related("created_by")
    return rows.dead() if deleted else rows.alive()  # type: ignore[attr-defined]  # of SoftDeletedQuerySet


def agent_get(agent_id: UUID) -> Agent:
    """Return one agent.

    Raises:
        AgentNotFound: also for a deleted one.
    """
    row = agent_list().filter(pk=agent_id).first()
    if row is None:
        raise AgentNotFound(f"There is no agent {agent_id}.")
    return row


def agent_callable(reference: str) -> Agent:
    """Return the agent that a step names, by its name or its id.

    Raises:
        AgentUnusable: there is none, it is switched off, or it is not one that is called at an address.
    """
    rows = Agent.objects.alive()
    try:
        row = rows.filter(pk=UUID(reference)).first()
    except ValueError:
        row = rows.filter(name=reference).first()
    if row is None:
        raise AgentUnusable(f"There is no agent {reference!r} in the registry.")
    if not row.enabled:
        raise AgentUnusable(f"The agent {row.name} is switched off.")
    if row.kind != AgentKind.HTTP:
        raise AgentUnusable(f"The agent {row.name} is of kind {row.kind}; this step calls those of kind http.")
    agent: Agent = row
    return agent


def conversation(execution_id: UUID) -> QuerySet[AgentConversation]:
    """Return the messages between a run and its agents, the oldest first.

    Raises:
        ExecutionNotFound
    """
    execution_get(execution_id)
    return AgentConversation.objects.filter(workflow_execution_id=execution_id).order_by("seq")


def messages_all() -> QuerySet[AgentConversation]:
    """Return every message of every run."""
    return AgentConversation.objects.all()


def agent_performance(agent_id: UUID, messages: QuerySet[AgentConversation]) -> dict[str, Any]:
    """Return the figures of one agent, under whatever names it had.

    Raises:
        AgentNotFound
    """
    agent = agent_get(agent_id)
    found = performance_by("agent_id", messages.filter(agent_id=agent.pk))
    return {**(found[0] if found else NOTHING), "agent_name": agent.name}


def agents_performance(messages: QuerySet[AgentConversation]) -> list[dict[str, Any]]:
    """Return the figures of each agent that spoke, by the name it spoke under."""
    return performance_by("agent_name", messages)
