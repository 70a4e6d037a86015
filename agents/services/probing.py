"""Looking after an agent's health."""

from datetime import timedelta
from uuid import UUID

from agents.models import Agent
from agents.probes import probe
from agents.selectors import agent_get
from tradingsite.common.clock import utcnow

# Whoever asks again sooner is told what was found: a page that many people watch must not become a flood of calls.
FRESH = timedelta(seconds=5)


def agent_probe(*, agent_id: UUID) -> Agent:
    """Return the agent with its health, probed now unless that was done a moment ago. Not inside a transaction.

    Raises:
        AgentNotFound
    """
    agent = agent_get(agent_id)
    if agent.health_checked_at is not None and utcnow() - agent.health_checked_at < FRESH:
        return agent
    finding = probe(agent)
    agent.health_status, agent.health_checked_at = finding.status, utcnow()
    agent.health_latency_ms, agent.health_error = finding.latency_ms, finding.error
    # Only onto what was probed: it may have been given another address meanwhile. And past `updated_at`: what is
    # observed of an agent is no change of it.
    Agent.objects.filter(pk=agent.pk, updated_at=agent.updated_at).update(
        health_status=agent.health_status,
        health_checked_at=agent.health_checked_at,
        health_latency_ms=agent.health_latency_ms,
        health_error=agent.health_error,
    )
    return agent
