"""Every change of state of this app, one verb each."""

from workflows.selectors import strategy_version_of
from workflows.services.definitions import (
    execution_counted,
    workflow_clone,
    workflow_create,
    workflow_delete,
    workflow_import,
    workflow_restore,
    workflow_update,
    workflow_version_restore,
)
from workflows.services.strategies import (
    strategy_create,
    strategy_delete,
    strategy_restore,
    strategy_team_set,
    strategy_update,
    strategy_version_restore,
)

__all__ = [
    "execution_counted",
    "strategy_create",
    "strategy_delete",
    "strategy_restore",
    "strategy_team_set",
    "strategy_update",
    "strategy_version_of",
    "strategy_version_restore",
    "workflow_clone",
    "workflow_create",
    "workflow_delete",
    "workflow_import",
    "workflow_restore",
    "workflow_update",
    "workflow_version_restore",
]
