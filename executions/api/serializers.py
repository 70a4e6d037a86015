"""Shapes of runs."""

from typing import Any, ClassVar

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from executions.choices import TERMINAL, Mode, TaskStatus
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


class BatchItem(WorkflowExecute):
    workflow_id = serializers.UUIDField()


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


class OutputRef(StrictSerializer):
    """Where a large output is fetched."""

    sha256 = serializers.CharField(source="payload.digest")
    size = serializers.IntegerField(source="payload.size", help_text="Bytes of its JSON text.")
    href = serializers.SerializerMethodField()

    def get_href(self, step: StepExecution) -> str:
        return reverse("v1:workflow-execution-step-output", args=[step.execution_id, step.index])


class StepFull(StepBrief):
    started_at = UtcDateTimeField(read_only=True, allow_null=True)
    completed_at = UtcDateTimeField(read_only=True, allow_null=True)
    input = serializers.JSONField(source="config", read_only=True)
    output_ref = serializers.SerializerMethodField(help_text="Of a large output, which `output` does not hold.")

    class Meta(StepBrief.Meta):
        fields: ClassVar = [
            *StepBrief.Meta.fields, "timeout_s", "retries", "on_error", "input", "output", "output_ref", "logs",
            "error_message", "started_at", "completed_at",
        ]  # fmt: skip

    @extend_schema_field(OutputRef(allow_null=True))
    def get_output_ref(self, step: StepExecution) -> dict[str, Any] | None:
        return OutputRef(step).data if step.payload_id is not None else None


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
            *ExecutionRow.Meta.fields, "workflow_definition_id", "workflow_version", "strategy_version", "symbols", "params",
            "input_data", "as_of", "attempts", "max_attempts", "stale_writes", "cancel_requested_at", "created_by",
            "results", "error_message", "steps",
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


class ItemError(StrictSerializer):
    pointer = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class BatchStarted(StrictSerializer):
    """What became of the item at the same place of the request."""

    workflow_execution_id = serializers.UUIDField(source="run.pk", default=None, allow_null=True, read_only=True)
    task_id = serializers.CharField(source="run.task_id", default=None, allow_null=True, read_only=True)
    status = serializers.CharField(source="run.status", default=None, allow_null=True, read_only=True)
    errors = ItemError(  # type: ignore[assignment]  # a field; DRF keeps it apart from the property of this name
        many=True, help_text="Why it was not started; empty when it was."
    )


class TaskRow(StrictSerializer):
    task_id = serializers.CharField()
    task_name = serializers.CharField()
    queue = serializers.CharField()
    strategy_id = serializers.UUIDField()
    strategy_name = serializers.CharField()
    workflow_execution_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=TaskStatus.choices)
    priority = serializers.IntegerField(help_text="9 goes first.")
    progress = serializers.FloatField(help_text="0 to 100.")
    attempts = serializers.IntegerField(help_text="How often a worker took it up; RETRY waits for one more.")
    created_at = UtcDateTimeField()
    started_at = UtcDateTimeField(allow_null=True, help_text="When its run was first taken up.")
    cancel_requested_at = UtcDateTimeField(allow_null=True)


class TaskError(StrictSerializer):
    code = serializers.CharField()
    message = serializers.CharField(allow_blank=True)


class TaskFull(TaskRow):
    max_attempts = serializers.IntegerField()
    completed_at = UtcDateTimeField(allow_null=True)
    result = serializers.JSONField(allow_null=True, help_text="The results of the run, of SUCCESS only.")
    error = TaskError(allow_null=True)
    superseded_by = serializers.CharField(
        allow_null=True, help_text="The run's present task, when it was retried after this one."
    )


class TaskCancelled(StrictSerializer):
    """REVOKED when it is over; STARTED when it was asked to stop, which it does within two seconds."""

    task_id = serializers.CharField()
    workflow_execution_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=TaskStatus.choices)
    execution_status = serializers.CharField()
    cancel_requested_at = UtcDateTimeField(allow_null=True)
    detail = serializers.CharField()


class QueueMetrics(StrictSerializer):
    """How the queue does. Times are seconds, days those of the desk's time zone."""

    tasks_queued = serializers.IntegerField()
    tasks_active = serializers.IntegerField()
    tasks_completed_today = serializers.IntegerField()
    tasks_failed_today = serializers.IntegerField()
    average_duration = serializers.FloatField(
        allow_null=True, help_text="Of what was completed today, without retries."
    )
    worker_count = serializers.IntegerField(help_text="Living workers that take runs.")
    wait_p95 = serializers.FloatField(allow_null=True, help_text="From acceptance to first start, of today's starts.")
    oldest_waiting_s = serializers.FloatField()
    outbox_lag_s = serializers.FloatField(help_text="Age of the oldest message that has not left for the broker.")
    lease_age_max_s = serializers.FloatField(allow_null=True, help_text="Of the worker that was silent for longest.")
