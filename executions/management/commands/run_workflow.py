"""`manage.py run_workflow`: start a run, and on request wait for it and tell what came of it."""

import contextlib
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.choices import TERMINAL, ExecutionStatus, Mode
from executions.demo import run_tell
from executions.embedded import EmbeddedWorkers
from executions.heartbeat import carriers_count
from executions.models import WorkflowExecution
from executions.selectors import execution_steps, execution_wait
from executions.services import execution_create
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError
from workflows.errors import WorkflowNotFound
from workflows.models import Strategy, Workflow
from workflows.selectors import workflow_by_name, workflow_get

LOOK_S = 1.0


class Command(BaseCommand):
    help = "Run a workflow with one of its strategies. With --wait: print what it decided, the gate's word, the orders."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workflow", help="Name or id.")
        parser.add_argument("--strategy", default="", help="Name or id; may be left out where there is only one.")
        parser.add_argument("--symbols", default="", help="AAPL,IBM; the strategy's own unless told.")
        parser.add_argument("--mode", choices=Mode.values, default=Mode.PAPER.value)
        parser.add_argument("--priority", type=int, choices=range(10), default=0, metavar="0..9")
        parser.add_argument("--wait", action="store_true", help="Wait for the end; exit 0 only for a completed run.")
        parser.add_argument("--timeout", type=float, default=600.0, help="Seconds to wait at most.")

    def handle(self, **options: Any) -> None:
        try:
            workflow = _workflow(options["workflow"])
            strategy = _strategy(workflow, options["strategy"])
            execution = execution_create(
                actor=Actor.system("run_workflow"),
                workflow=workflow,
                strategy=strategy,
                symbols=[symbol.strip() for symbol in options["symbols"].split(",") if symbol.strip()],
                priority=options["priority"],
                mode=options["mode"],
            )
        except AppError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Run {execution.pk} of “{workflow.name}” with “{strategy.name}” on {', '.join(execution.symbols)}"
        )
        alone = carriers_count() == 0
        if not options["wait"]:
            if alone:
                self.stdout.write("No worker is alive: it waits until one starts (manage.py up, or celery worker).")
            return
        # In one process with its broker in memory nobody else could be asked; with a server somebody else will come.
        helper = EmbeddedWorkers(clock=False) if alone and settings.EMBEDDED else contextlib.nullcontext()
        with helper:
            execution = self._follow(execution, options["timeout"])
        if execution.status not in TERMINAL:
            raise CommandError(f"It is still {execution.status}; follow it at /runs/{execution.pk}/.")
        run_tell(execution, self.stdout.write)
        if execution.status != ExecutionStatus.COMPLETED:
            raise CommandError(f"The run ended as {execution.status}.")
        self.stdout.write("The run is completed.")

    def _follow(self, execution: WorkflowExecution, timeout_s: float) -> WorkflowExecution:
        told: set[int] = set()
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            execution = execution_wait(execution.pk, seconds=max(min(LOOK_S, left), 0.0))
            for step in execution_steps(execution.pk):
                if step.completed_at is not None and step.index not in told:
                    told.add(step.index)
                    self.stdout.write(f"  {step.index + 1}. {step.name:<16} {step.status:<10} {step.summary}")
            if execution.status in TERMINAL or left <= 0:
                return execution


def _workflow(named: str) -> Workflow:
    with contextlib.suppress(WorkflowNotFound):
        return workflow_by_name(named)
    return workflow_get(_id(named, f"There is no workflow named {named!r}."))


def _strategy(workflow: Workflow, named: str) -> Strategy:
    mine = Strategy.objects.alive().filter(workflow=workflow)
    if named:
        found: Strategy | None = mine.filter(name=named).first()
        return found or _only(mine.filter(pk=_id(named, f"The workflow has no strategy named {named!r}.")), named)
    return _only(mine.filter(enabled=True), "")


def _only(rows: Any, named: str) -> Strategy:
    found = list(rows[:2])
    if len(found) == 1:
        strategy: Strategy = found[0]
        return strategy
    if named:
        raise CommandError(f"The workflow has no strategy {named!r}.")
    raise CommandError("Say which strategy with --strategy: the workflow has " + ("several." if found else "none."))


def _id(text: str, otherwise: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CommandError(otherwise) from None
