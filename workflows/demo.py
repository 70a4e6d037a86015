"""The demo desk: one workflow of each template type, each with a strategy over the sample prices."""

from typing import Any

from django.db import transaction

from tradingsite.common.actor import Actor
from workflows.choices import WorkflowType
from workflows.models import Strategy, Workflow
from workflows.services import strategy_create, workflow_create
from workflows.templates import template

# The strategy of the demo run. On the close of 2013-02-28 it is long GOOG and IBM, and not AAPL.
DEMO_RUN_STRATEGY = "Demo: trend and strength"
DEMO_TEAM_STRATEGY = "Demo: team"

# Each strategy has symbols of its own, so that one's position does not decide for another. An entry is a tenth of the
# equity: 10,000 of the 100,000 that a new account holds, well inside the limits per order and per position.
_DESK: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (WorkflowType.TWO_INDICATOR, "Demo: two indicators", DEMO_RUN_STRATEGY, ("AAPL", "GOOG", "IBM")),
    (WorkflowType.THREE_INDICATOR, "Demo: three indicators", "Demo: three votes", ("MSFT",)),
    (WorkflowType.CUSTOM, "Demo: momentum, not overbought", "Demo: momentum", ("FB",)),
    (WorkflowType.AUTOGEN_MULTI_AGENT, "Demo: team of agents", DEMO_TEAM_STRATEGY, ("AAPL", "MSFT")),
)
_SOURCE = {"source": "sample", "adjustment": "split_dividend"}


def demo_body(type_: str) -> dict[str, Any]:
    """Return a template's body with its prices taken from the sample, whatever an instrument's default source is."""
    body = template(type_)
    for step in body["steps"]:
        if step["type"] == "market_data":
            step["config"].update(_SOURCE)
    return body


@transaction.atomic
def demo_desk_create(*, actor: Actor) -> int:
    """Create what is missing of the demo desk and return how many workflows and strategies that were.

    What somebody deleted stays deleted, and what somebody changed stays changed: only names that never existed are
    made.
    """
    made = 0
    for type_, workflow_name, strategy_name, symbols in _DESK:
        workflow = Workflow.objects.filter(name=workflow_name).order_by("deleted_at", "created_at").first()
        if workflow is None:
            workflow = workflow_create(actor=actor, **{**demo_body(type_), "name": workflow_name})
            made += 1
        known = Strategy.objects.filter(name=strategy_name).exists()
        if not known and workflow.deleted_at is None:
            strategy_create(
                actor=actor,
                name=strategy_name,
                workflow_id=workflow.pk,
                symbols=symbols,
            )
            made += 1
    return made
