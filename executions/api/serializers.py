"""Shapes of runs."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from executions.choices import TERMINAL, Mode
from executions.models import StepExecution, WorkflowExecution
from tradingsite.common.api.serializers import StrictModelSerializer, StrictSerializer, SymbolField, UtcDateTimeField
from tradingsite.common.clock import utcnow

SYMBOLS_MAX = 500


class StrategyExecute(StrictSerializer):
    symbols = serializers.ListField(child=SymbolField(), required=False, default=list, max_length=SYMBOLS_MAX)
    priority = serializers.IntegerField(min_value=0, max_value=9, required=False, default=0, help_text="9 goes first.")
    input_data = serializers.DictField(
        required=False, default=dict, help_text="Overrides of the workflow's parameters for this run."
    )
    mode = serializers.ChoiceField(choices=Mode.choices, required=False, default=Mode.PAPER)


class WorkflowExecute(StrategyExecute):
    strategy_id = serializers.UUIDField()


class RunLinks(StrictSerializer):
    self = serializers.CharField()
    steps = serializers.CharField()
    events = serializers.CharField()
    cancel = serializers.CharField()


class ExecutionAccepted(StrictSerializer):
    workflow_execution_id = serializers.UUIDField()
    task_id = serializers.CharField()
    status = serializers.CharField()
    links = RunLinks()


class _Run(StrictModelSerializer):
    workflow_name = serializers.CharField(source="workflow.name", default=None, allow_null=True, read_only=True)
    strategy_name = serializers.CharField(source="strategy.name", read_only=True)
    duration = serializers.SerializerMethodField(help_text="Seconds; of a running run up to now.")
    created_at = UtcDateTimeField(read_only=True)
    started_at = UtcDateTimeField(read_only=True, allow_null=True)
    completed_at = UtcDateTimeField(read_only=True, allow_null=True)

    def get_duration(self, run: WorkflowExecution) -> float | None:
        if run.started_at is None:
            return None
        end = run.completed_at if run.status in TERMINAL and run.completed_at else utcnow()
        return max((end - run.started_at).total_seconds(), 0.0)


class ExecutionRow(_Run):
    class Meta:
        model = WorkflowExecution
        fields: ClassVar = [
            "id", "workflow_id", "workflow_name", "strategy_id", "strategy_name", "task_id", "status", "progress",
            "mode", "triggered_by", "priority", "created_at", "started_at", "completed_at", "duration",
            "decisions_made", "orders_placed", "error_code",
        ]  # fmt: skip


class StepBrief(StrictModelSerializer):
    duration = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = StepExecution
        fields: ClassVar = ["index", "name", "type", "status", "attempts", "duration", "summary", "error_code"]


class StepFull(StepBrief):
    started_at = UtcDateTimeField(read_only=True, allow_null=True)
    completed_at = UtcDateTimeField(read_only=True, allow_null=True)
    input = serializers.JSONField(source="config", read_only=True)

    class Meta(StepBrief.Meta):
        fields: ClassVar = [
            *StepBrief.Meta.fields, "timeout_s", "retries", "on_error", "input", "output", "logs", "error_message",
            "started_at", "completed_at",
        ]  # fmt: skip


class ExecutionDetail(_Run):
    as_of = UtcDateTimeField(read_only=True)
    cancel_requested_at = UtcDateTimeField(read_only=True, allow_null=True)
    workflow_definition_id = serializers.UUIDField(source="workflow_version_id", read_only=True, allow_null=True)
    workflow_version = serializers.IntegerField(
        source="workflow_version.version_number", default=None, allow_null=True, read_only=True
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True, read_only=True)
    steps = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowExecution
        fields: ClassVar = [
            *ExecutionRow.Meta.fields, "workflow_definition_id", "workflow_version", "symbols", "params", "input_data",
            "as_of", "attempts", "max_attempts", "stale_writes", "cancel_requested_at", "created_by", "results",
            "error_message", "steps",
        ]  # fmt: skip

    @extend_schema_field(StepBrief(many=True))
    def get_steps(self, run: WorkflowExecution) -> list[dict[str, Any]]:
        return list(StepBrief(run.steps.order_by("index"), many=True).data)


class CancelRequest(StrictSerializer):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class EmptyRequest(StrictSerializer):
    """A body without members."""


class RunEvent(StrictSerializer):
    """A message as the socket sends it; further members depend on `type`."""

    type = serializers.CharField()
    seq = serializers.IntegerField()
    at = serializers.CharField()
