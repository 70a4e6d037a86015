"""What of runs can be scheduled."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from rest_framework import serializers

from executions import rollup, services
from executions.choices import Mode, Trigger
from executions.errors import ExecutionFinished
from executions.models import WorkflowExecution
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer, SymbolField
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Job, RunStarter, job_types
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.roles import Role
from workflows.errors import StrategyNotFound
from workflows.models import Strategy
from workflows.selectors import strategy_get

RUN_WORKFLOW = "executions.run_workflow"


class RunWorkflowConfig(StrictSerializer):
    strategy_id = serializers.UUIDField(help_text="The strategy to run, on its workflow as it is when it fires.")
    workflow_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="Refuses to fire when the strategy has left it."
    )
    symbols = serializers.ListField(child=SymbolField(), required=False, default=list, max_length=500)
    priority = serializers.IntegerField(min_value=0, max_value=9, required=False, default=0)
    input_data = serializers.DictField(required=False, default=dict)
    mode = serializers.ChoiceField(choices=Mode.choices, required=False, default=Mode.PAPER)


@job_types.register
class RunWorkflow(RunStarter):
    slug: ClassVar[str] = RUN_WORKFLOW
    title: ClassVar[str] = "Run a workflow"
    help: ClassVar[str] = "Starts a run of a strategy on its workflow."
    config_class: ClassVar[type[StrictSerializer]] = RunWorkflowConfig

    def check(self, *, config: Mapping[str, Any]) -> None:
        self._strategy(config)

    def _strategy(self, config: Mapping[str, Any]) -> Strategy:
        try:
            strategy = strategy_get(UUID(str(config["strategy_id"])))
        except StrategyNotFound as error:
            raise ValidationFailed(errors=[FieldError("strategy_id", "not_found", error.detail)]) from None
        wanted = config.get("workflow_id")
        if wanted is not None and str(strategy.workflow_id) != str(wanted):
            detail = f"Strategy {strategy.name!r} does not belong to this workflow."
            raise ValidationFailed(errors=[FieldError("workflow_id", "mismatch", detail)])
        return strategy

    def start(self, *, actor: Actor, config: Mapping[str, Any]) -> UUID:
        strategy = self._strategy(config)
        run = services.execution_create(
            actor=actor,
            workflow=strategy.workflow,
            strategy=strategy,
            symbols=config["symbols"],
            priority=config["priority"],
            input_data=config["input_data"],
            mode=config["mode"],
            triggered_by=Trigger.SCHEDULE,
        )
        return run.pk

    def cancel(self, *, actor: Actor, run_id: UUID) -> None:
        run = WorkflowExecution.objects.get(pk=run_id)
        try:
            services.execution_cancel(actor=actor, execution=run, reason="a newer fire of its schedule took its place")
        except ExecutionFinished:
            return


class RollUpConfig(StrictSerializer):
    days = serializers.IntegerField(
        min_value=1, max_value=366, required=False, default=2, help_text="How many days back to count anew."
    )


@job_types.register
class RollUpMetrics(Job):
    slug: ClassVar[str] = "executions.roll_up_metrics"
    title: ClassVar[str] = "Roll up metrics"
    help: ClassVar[str] = "Counts the days of every workflow anew from its runs; the desk does it for each run anyway."
    config_class: ClassVar[type[StrictSerializer]] = RollUpConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        zone = rollup.desk_zone()
        today = utcnow().astimezone(zone).date()
        rollup.ensure_coverage()
        for back in range(config["days"]):
            with transaction.atomic():
                rollup.coverage_locked()
                rollup.day_write(zone, today - timedelta(days=back))
        return {"days": config["days"]}
