"""Every change of state of this app, one verb each."""

from agents.services.advice import answer_record, outcome_record
from agents.services.importing import Imported, agents_import
from agents.services.messages import said_record
from agents.services.probing import agent_probe, agents_check
from agents.services.registry import agent_create, agent_delete, agent_restore, agent_update
from agents.services.returns import returns_fill

__all__ = [
    "Imported",
    "agent_create",
    "agent_delete",
    "agent_probe",
    "agent_restore",
    "agent_update",
    "agents_check",
    "agents_import",
    "answer_record",
    "outcome_record",
    "returns_fill",
    "said_record",
]
