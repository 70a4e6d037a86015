"""Reading agents and what was said with them."""

from uuid import UUID

from django.db.models import QuerySet

from agents.errors import AgentNotFound
from agents.models import Agent


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
