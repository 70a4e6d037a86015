"""Every change of state of this app, one verb each."""

from agents.services.messages import message_record
from agents.services.registry import agent_create, agent_delete, agent_restore, agent_update

__all__ = ["agent_create", "agent_delete", "agent_restore", "agent_update", "message_record"]
