"""Bodies and rows of workflows."""

from collections.abc import Callable
from typing import Any

import pytest

from tradingsite.common.actor import Actor
from workflows.models import Strategy, Workflow
from workflows.services import strategy_create, workflow_create
from workflows.templates import template

SYSTEM = Actor.system("tests")


@pytest.fixture
def body() -> dict[str, Any]:
    """A valid body of the two-indicator template: 0 prices, 1 trend, 2 strength, 3 signal, 4 risk, 5 order, 6 tell."""
    return template("two_indicator")


@pytest.fixture
def make_workflow(db: None) -> Callable[..., Workflow]:
    def make(name: str = "W", type_: str = "two_indicator", actor: Actor = SYSTEM, **changes: Any) -> Workflow:
        return workflow_create(actor=actor, **{**template(type_), "name": name, **changes})

    return make


@pytest.fixture
def make_strategy(db: None) -> Callable[..., Strategy]:
    def make(name: str = "S", actor: Actor = SYSTEM, **fields: Any) -> Strategy:
        return strategy_create(actor=actor, name=name, **fields)

    return make
