"""Every change of an agent."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from agents.errors import AgentNotFound
from agents.models import Agent
from agents.rules import agent_checked
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.owners import require_owner
from workflows.errors import NameTaken, NotDeleted
from workflows.services.guards import Precondition

DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "endpoint": "",
    "health_url": "",
    "api_key_env": "",
    "llm_config": {},
    "system_prompt": "",
    "tools": [],
    "max_iterations": 5,
    "enabled": True,
}
FIELDS = ("name", "kind", *DEFAULTS)
# What a probe asks; a change of these makes its finding old.
_PROBED = ("kind", "endpoint", "health_url", "api_key_env", "llm_config")


def agent_content(agent: Agent) -> dict[str, Any]:
    """Return what the registry says of an agent: the fields that a body, a file and an audit row name."""
    return {name: getattr(agent, name) for name in FIELDS}


def _locked(agent_id: UUID) -> Agent:
    row: Agent | None = Agent.objects.select_for_update(of=("self",)).filter(pk=agent_id).first()
    if row is None:
        raise AgentNotFound(f"There is no agent {agent_id}.")
    return row


def _alive(agent_id: UUID) -> Agent:
    agent = _locked(agent_id)
    if agent.deleted_at is not None:
        raise AgentNotFound(f"There is no agent {agent_id}.")
    return agent


def _save(agent: Agent) -> None:
    """Save an agent whose name is unique among the living; the constraint decides, not a look beforehand."""
    try:
        with transaction.atomic():
            agent.save()
    except IntegrityError as error:
        if "name" not in str(error):
            raise
        raise NameTaken(f"Another agent is named {agent.name!r}; choose another name.") from error


@transaction.atomic
def agent_create(*, actor: Actor, name: str, kind: str, **fields: Any) -> Agent:
    """Register an agent.

    Raises:
        ValidationFailed: naming each wrong field.
        NameTaken
    """
    values = agent_checked({**DEFAULTS, **fields, "name": name, "kind": kind})
    agent = Agent(created_by_id=actor.user_id, **values)
    _save(agent)
    audit.record(actor=actor, action="agent.create", target=agent, after=agent_content(agent))
    return agent


@transaction.atomic
def agent_update(
    *, actor: Actor, agent_id: UUID, changes: Mapping[str, Any], precondition: Precondition | None = None
) -> Agent:
    """Change what `changes` names; `llm_config` and `tools` are replaced as a whole.

    Raises:
        AgentNotFound, ValidationFailed, NameTaken, PermissionDenied
    """
    agent = _alive(agent_id)
    require_owner(actor=actor, created_by_id=agent.created_by_id)
    if precondition is not None:
        precondition(agent)
    before = agent_content(agent)
    if unknown := sorted(set(changes) - set(FIELDS)):
        raise ValidationFailed(
            errors=[FieldError(name, "unknown_field", "There is no such field.") for name in unknown]
        )
    wanted = {**before, **changes}
    # What was valid once may not be so any more, such as a key that was taken back; it must still be switched off.
    if set(changes) - {"enabled", "description"} or (changes.get("enabled") and not agent.enabled):
        wanted = agent_checked(wanted)
    for name, value in wanted.items():
        setattr(agent, name, value)
    if any(before[name] != wanted[name] for name in _PROBED):
        agent.health_status, agent.health_checked_at = Agent._meta.get_field("health_status").get_default(), None
        agent.health_latency_ms, agent.health_error = None, ""
    _save(agent)
    audit.record(actor=actor, action="agent.update", target=agent, before=before, after=agent_content(agent))
    return agent


@transaction.atomic
def agent_delete(*, actor: Actor, agent_id: UUID, precondition: Precondition | None = None) -> None:
    """Hide an agent; what was said with it stays. Steps that name it fail from now on.

    Raises:
        AgentNotFound, PermissionDenied
    """
    agent = _alive(agent_id)
    require_owner(actor=actor, created_by_id=agent.created_by_id)
    if precondition is not None:
        precondition(agent)
    agent.deleted_at = utcnow()
    agent.save(update_fields=["deleted_at"])
    audit.record(actor=actor, action="agent.delete", target=agent, before=agent_content(agent))


@transaction.atomic
def agent_restore(*, actor: Actor, agent_id: UUID) -> Agent:
    """Bring a deleted agent back under its name.

    Raises:
        AgentNotFound, NotDeleted, PermissionDenied
        NameTaken: when another agent took the name meanwhile.
    """
    agent = _locked(agent_id)
    require_owner(actor=actor, created_by_id=agent.created_by_id)
    if agent.deleted_at is None:
        raise NotDeleted(f"Agent {agent.name!r} is not deleted.")
    agent.deleted_at = None
    _save(agent)
    audit.record(actor=actor, action="agent.restore", target=agent, after=agent_content(agent))
    return agent
