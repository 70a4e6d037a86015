"""A step type that does what a test tells it, and runs made of such steps."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from rest_framework import serializers

from executions import runner
from executions.leases import keeper
from executions.models import StepExecution, WorkflowExecution
from executions.runner import run_execution
from executions.services import execution_create
from market.models import DataSource, Instrument
from tradingsite.common import lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types
from workflows.models import Strategy, Workflow
from workflows.services import strategy_create, workflow_create

Act = Callable[[StepContext], StepResult]


class TrialConfig(StepConfig):
    number = serializers.IntegerField(default=0, max_value=1000)


class TrialStep(StepType):
    """Does what `acts` holds under the step's name; otherwise returns its own number."""

    slug: ClassVar[str] = "trial"
    title: ClassVar[str] = "Trial"
    help: ClassVar[str] = "Does what a test says."
    config_class: ClassVar[type[StepConfig]] = TrialConfig
    acts: ClassVar[dict[str, Act]] = {}
    seen: ClassVar[list[StepContext]] = []

    def run(self, context: StepContext) -> StepResult:
        self.seen.append(context)
        act = self.acts.get(context.step_name)
        return act(context) if act is not None else StepResult({"number": context.config["number"]}, "done")


class Trials:
    """Makes runs of trial steps and carries them in this thread."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.acts = TrialStep.acts
        self.count = 0

    @property
    def begun(self) -> list[str]:
        """The names of the steps that were begun, in order."""
        return [context.step_name for context in TrialStep.seen]

    @property
    def contexts(self) -> list[StepContext]:
        return TrialStep.seen

    def workflow(self, *steps: str | dict[str, Any], **default_params: Any) -> Workflow:
        self.count += 1
        written = [
            {"type": "trial", "config": {}, **({"name": step} if isinstance(step, str) else step)} for step in steps
        ]
        return workflow_create(
            actor=self.actor,
            name=f"Trial {self.count}",
            type="custom",
            steps=written,
            default_params=default_params,
        )

    def strategy(self, workflow: Workflow, **fields: Any) -> Strategy:
        return strategy_create(
            actor=self.actor, workflow_id=workflow.pk, **{"name": f"On {workflow.name}", "symbols": ["IBM"], **fields}
        )

    def create(self, *steps: str | dict[str, Any], **fields: Any) -> WorkflowExecution:
        workflow = self.workflow(*(steps or ("one", "two", "three")))
        return execution_create(actor=self.actor, workflow=workflow, strategy=self.strategy(workflow), **fields)

    def carry(self, execution: WorkflowExecution, worker: str = "worker one") -> WorkflowExecution:
        """Do what a worker does with the run's message, and return the run as it is then."""
        run_execution(execution.pk, worker)
        return self.again(execution)

    def again(self, execution: WorkflowExecution) -> WorkflowExecution:
        return WorkflowExecution.objects.get(pk=execution.pk)

    def steps(self, execution: WorkflowExecution) -> list[StepExecution]:
        return list(StepExecution.objects.filter(execution=execution).order_by("index"))

    def statuses(self, execution: WorkflowExecution) -> list[str]:
        return [step.status for step in self.steps(execution)]


@pytest.fixture
def instrument(db: None) -> Instrument:
    source = DataSource.objects.create(slug="trial-prices", title="Trial", kind="import", clock="historical")
    return Instrument.objects.create(symbol="IBM", exchange="XNYS", default_source=source)


@pytest.fixture
def trials(
    actor: Actor, instrument: Instrument, data_dir: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trials]:
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        # Nothing is committed, so another thread would find no run whose lease it could renew.
        while keeper._thread is not None:
            time.sleep(0.05)
        monkeypatch.setattr(keeper, "_thread", threading.current_thread())
    monkeypatch.setattr(runner, "FIRST_PAUSE_S", 0.02)
    TrialStep.acts.clear()
    TrialStep.seen.clear()
    with step_types.temporarily(TrialStep):
        yield Trials(actor)
    lifecycle.stopping.clear()
