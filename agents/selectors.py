"""Reading agents and what was said with them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber

from agents.choices import AgentKind
from agents.errors import AgentNotFound, AgentUnusable
from agents.models import Agent, AgentConversation
from agents.performance import USUAL, Period, nothing, performance_by
from executions.selectors import execution_get
from safety.models import AuditLog
from safety.selectors import audit_rows
from tradingsite.common.clock import utcnow


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


def agent_versions(agent_id: UUID) -> QuerySet[AuditLog]:
    """Return the changes of one agent as the audit has them, the newest first; `number` counts them from 1.

    Raises:
        AgentNotFound: a deleted agent is found, since what it was is asked for.
    """
    if not Agent.objects.filter(pk=agent_id).exists():
        raise AgentNotFound(f"There is no agent {agent_id}.")
    rows = audit_rows().filter(target_type=Agent._meta.label_lower, target_id=str(agent_id))
    return rows.annotate(number=Window(RowNumber(), order_by=F("id").asc()))


def agent_callable(reference: str) -> Agent:
    """Return the agent that a step names, by its name or its id.

    Raises:
        AgentUnusable: there is none, it is switched off, or it is not one that is called at an address.
    """
    return _usable(reference, AgentKind.HTTP, "this step calls those")


def agent_model(reference: str) -> Agent:
    """Return the agent whose model a member of a team thinks with, by its name or its id.

    Raises:
        AgentUnusable: there is none, it is switched off, or it is no language model.
    """
    return _usable(reference, AgentKind.LLM, "members think with those")


def _usable(reference: str, kind: AgentKind, wanted: str) -> Agent:
    rows = Agent.objects.alive()
    try:
        row = rows.filter(pk=UUID(reference)).first()
    except ValueError:
        row = rows.filter(name=reference).first()
    if row is None:
        raise AgentUnusable(f"There is no agent {reference!r} in the registry.")
    if not row.enabled:
        raise AgentUnusable(f"The agent {row.name} is switched off.")
    if row.kind != kind:
        raise AgentUnusable(f"The agent {row.name} is of kind {row.kind}; {wanted} of kind {kind}.")
    agent: Agent = row
    return agent


def conversation(execution_id: UUID) -> QuerySet[AgentConversation]:
    """Return the messages between a run and its agents, the oldest first.

    Raises:
        ExecutionNotFound
    """
    execution_get(execution_id)
    return AgentConversation.objects.filter(workflow_execution_id=execution_id).order_by("seq")


def agent_performance(agent_id: UUID, period: Period) -> dict[str, Any]:
    """Return the figures of one agent in a period, under whatever names it had.

    Raises:
        AgentNotFound
    """
    agent = agent_get(agent_id)
    found = performance_by("agent_id", period, agent_id=agent.pk)
    return {**(found[0] if found else nothing()), "agent_name": agent.name}


def agents_performance(period: Period) -> list[dict[str, Any]]:
    """Return the figures of each agent that spoke in a period, by the name it spoke under."""
    return performance_by("agent_name", period)


def period_asked(asked: tuple[datetime | None, datetime | None] | None) -> Period:
    """Return the period that somebody asked for; the usual one up to now when nobody did."""
    return Period(utcnow() - USUAL) if asked is None else Period(*asked)
