"""Looking after the agents' health."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from agents.choices import HealthStatus
from agents.models import Agent
from agents.probes import Finding, probe
from agents.selectors import agent_get
from safety.choices import AlertKind, Severity
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

# Whoever asks again sooner is told what was found: a page that many people watch must not become a flood of calls.
FRESH = timedelta(seconds=5)
# One round: those that were looked at longest ago, a few at a time.
MOST = 200
AT_ONCE = 8
SYSTEM = Actor.system("agents")


@dataclass(frozen=True)
class HealthRound:
    """What a round found: how many agents were asked, and the names of those that changed."""

    asked: int
    failed: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()


def agent_probe(*, agent_id: UUID) -> Agent:
    """Return the agent with its health, probed now unless that was done a moment ago. Not inside a transaction.

    Raises:
        AgentNotFound
    """
    agent = agent_get(agent_id)
    if agent.health_checked_at is not None and utcnow() - agent.health_checked_at < FRESH:
        return agent
    finding, now = probe(agent), utcnow()
    findings_keep(findings=[(agent, finding)], now=now)
    agent.health_status, agent.health_checked_at = finding.status, now
    agent.health_latency_ms, agent.health_error = finding.latency_ms, finding.error
    return agent


def agents_check(*, rested: timedelta = FRESH) -> HealthRound:
    """Probe the enabled agents that nobody probed within `rested`, a few at a time, and raise an alert of what changed.

    Blocks for some seconds; not inside a transaction. Safe beside others that do the same.
    """
    due = Q(health_checked_at=None) | Q(health_checked_at__lte=utcnow() - rested)
    rows = Agent.objects.alive().filter(due, enabled=True).order_by(F("health_checked_at").asc(nulls_first=True), "pk")
    agents = list(rows[:MOST])
    if not agents:
        return HealthRound(0)
    with ThreadPoolExecutor(min(AT_ONCE, len(agents)), thread_name_prefix="agent probe") as pool:
        findings = list(pool.map(probe, agents))
    return findings_keep(findings=list(zip(agents, findings, strict=True)), now=utcnow())


@transaction.atomic
def findings_keep(*, findings: Sequence[tuple[Agent, Finding]], now: datetime) -> HealthRound:
    """Write down what probes found, and raise one alert of the agents that failed and one of those that recovered.

    Of an agent that was changed or removed while it was probed nothing is kept. Whoever writes second finds the status
    that the first one wrote, so that a change is told once.
    """
    found = {agent.pk: (agent.updated_at, finding) for agent, finding in findings}
    rows = Agent.objects.alive().select_for_update(of=("self",), no_key=True).filter(pk__in=found).order_by("pk")
    failed: dict[str, str] = {}
    recovered: dict[str, str] = {}
    for row in rows:
        seen, finding = found[row.pk]
        if row.updated_at != seen:
            continue
        if finding.status == HealthStatus.FAILED and row.health_status != HealthStatus.FAILED:
            failed[row.name] = finding.error
        elif finding.status == HealthStatus.OK and row.health_status == HealthStatus.FAILED:
            recovered[row.name] = "It answers again."
        # Past `updated_at`: what is observed of an agent is no change of it.
        Agent.objects.filter(pk=row.pk).update(
            health_status=finding.status,
            health_checked_at=now,
            health_latency_ms=finding.latency_ms,
            health_error=finding.error,
        )
    _tell("fails", "fail", failed, Severity.WARNING)
    _tell("answers again", "answer again", recovered, Severity.INFO)
    return HealthRound(len(findings), tuple(failed), tuple(recovered))


def _tell(one: str, many: str, agents: Mapping[str, str], severity: Severity) -> None:
    """Raise one alert however many agents it is about: a network that is down takes all of them at once."""
    if not agents:
        return
    name = f"Agent {next(iter(agents))} {one}" if len(agents) == 1 else f"{len(agents)} agents {many}"
    lines = [f"{agent}: {what}" for agent, what in list(agents.items())[:20]]
    if len(agents) > len(lines):
        lines.append(f"and {len(agents) - len(lines)} more.")
    alert_raise(kind=AlertKind.AGENT_HEALTH, name=name, severity=severity, message="\n".join(lines), actor=SYSTEM)
