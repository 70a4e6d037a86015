"""The workflow and the strategy that carry the agent's runs: made when first needed, kept as this file has them."""

import contextlib
from typing import Any

from agents.autonomous.choices import Phase
from agents.autonomous.errors import AgentWorkflowChanged
from agents.autonomous.models import SIZING
from tradingsite.common.actor import Actor
from workflows.choices import WorkflowType
from workflows.errors import NameTaken
from workflows.models import Strategy, Workflow
from workflows.services import strategy_create, workflow_create, workflow_update

NAME = "Autonomous agent"
KEEPER = Actor.system("autonomous agent")
DESCRIPTION = "Kept by the desk: the phases of the autonomous agent. It is set at /api/agent; a copy of this workflow does nothing."
# Thinking takes long where models are asked; the run's own budget ends it before.
THINKING_S = 7200.0
PARAMS: dict[str, Any] = {"sizing": dict(SIZING), "max_orders": None}
STEPS: list[dict[str, Any]] = [
    {"name": Phase.OBSERVE.value, "type": "agent_observe", "config": {}, "retries": 2},
    {"name": Phase.ANALYSE.value, "type": "agent_analyse", "config": {}, "timeout_s": THINKING_S},
    {"name": Phase.DECIDE.value, "type": "agent_decide", "config": {}},
    {
        "name": Phase.GATE.value,
        "type": "risk_check",
        "config": {"sizing": "$sizing", "max_orders": "$max_orders"},
        "retries": 2,
    },
    {"name": Phase.ACT.value, "type": "agent_act", "config": {}, "retries": 2},
    {"name": Phase.REFLECT.value, "type": "agent_reflect", "config": {}, "retries": 2},
]


def strategy_kept() -> Strategy:
    """Return the strategy that the agent's runs belong to, with its workflow; both are made where they are missing.

    What an older release of the desk wrote is brought up to this one.

    Raises:
        AgentWorkflowChanged: a person has changed one of them, and the desk does not guess what for.
    """
    workflow = _workflow()
    strategy: Strategy | None = (
        Strategy.objects.alive().select_related("workflow__current_version").filter(name=NAME).first()
    )
    if strategy is None:
        # Another process may make it at this moment.
        with contextlib.suppress(NameTaken):
            strategy_create(actor=KEEPER, name=NAME, workflow_id=workflow.pk)
        strategy = Strategy.objects.alive().select_related("workflow__current_version").get(name=NAME)
    if strategy.workflow_id != workflow.pk or strategy.param or not strategy.enabled:
        raise AgentWorkflowChanged(
            f"The strategy {NAME!r} was changed by hand: it must be enabled, without parameters, and on the workflow "
            f"{NAME!r}. Set it so, or give it another name and the desk makes its own anew."
        )
    return strategy


def _workflow() -> Workflow:
    found = _named()
    if found is None:
        try:
            return workflow_create(
                actor=KEEPER, name=NAME, type=WorkflowType.CUSTOM, steps=STEPS, default_params=PARAMS,
                description=DESCRIPTION,
            )  # fmt: skip
        except NameTaken:
            found = _named()
            assert found is not None  # it was there a moment ago
    if (found.type, found.steps, found.default_params) == (WorkflowType.CUSTOM, STEPS, PARAMS):
        return found
    version = found.current_version
    assert version is not None
    if version.created_by_id is not None:
        raise AgentWorkflowChanged(
            f"The workflow {NAME!r} was changed by hand (version {version.version_number}). Restore the version before "
            "that, or give it another name and the desk makes its own anew.",
            extra={"workflow_id": str(found.pk), "version": version.version_number},
        )
    return workflow_update(
        actor=KEEPER, workflow_id=found.pk, name=NAME, type=WorkflowType.CUSTOM, steps=STEPS, default_params=PARAMS,
        description=DESCRIPTION,
    )  # fmt: skip


def _named() -> Workflow | None:
    found: Workflow | None = Workflow.objects.alive().select_related("current_version").filter(name=NAME).first()
    return found
