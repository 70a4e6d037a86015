"""Every change of state of this app, one verb each."""

from agents.services.importing import Imported, agents_import
from agents.services.messages import message_record
from agents.services.probing import agent_probe
from agents.services.registry import agent_create, agent_delete, agent_restore, agent_update

__all__ = [
    "Imported",
    "agent_create",
    "agent_delete",
    "agent_probe",
    "agent_restore",
    "agent_update",
    "agents_import",
    "message_record",
]
