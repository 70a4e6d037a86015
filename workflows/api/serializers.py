"""The shapes of workflows and strategies in the API."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tradingsite.common.api.serializers import StrictSerializer, UtcDateTimeField, validated
from workflows.choices import OnError, WorkflowType
from workflows.hooks import execution_statistics
from workflows.models import Strategy, StrategyVersion, Workflow, WorkflowVersion


class StepSerializer(StrictSerializer):
    """One step of a definition. `config` is shaped by the step type; `$name` in it stands for a parameter."""

    name = serializers.CharField(max_length=60)
    type = serializers.CharField(max_length=40)
    config = serializers.DictField(default=dict)
    timeout_s = serializers.FloatField(required=False)
    retries = serializers.IntegerField(required=False, min_value=0, max_value=10)
    on_error = serializers.ChoiceField(choices=OnError.choices, required=False)


@extend_schema_field(StepSerializer(many=True))
class StepsField(serializers.JSONField):
    """Steps as they are written; `workflows.definitions` judges them, so that every pointer names the step's field."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """Any JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.", code="invalid")
        return super().to_internal_value(data)


class WorkflowBodySerializer(StrictSerializer):
    """What creates or replaces a workflow."""

    name = serializers.CharField(max_length=200)
    type = serializers.ChoiceField(choices=WorkflowType.choices)
    description = serializers.CharField(max_length=2000, allow_blank=True, default="")
    steps = StepsField()
    default_params = ObjectField(default=dict)

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return the validated body.

        Raises:
            ValidationFailed
        """
        return validated(cls, data)


class WorkflowListItemSerializer(serializers.ModelSerializer[Workflow]):
    """A line of the list."""

    version = serializers.IntegerField(source="current_version.version_number", read_only=True, allow_null=True)
    created_at = UtcDateTimeField(read_only=True)
    updated_at = UtcDateTimeField(read_only=True)

    class Meta:
        model = Workflow
        fields = ("id", "name", "type", "description", "version", "created_at", "updated_at", "executions_count")
        read_only_fields = fields


class WorkflowStrategySerializer(serializers.ModelSerializer[Strategy]):
    """A strategy as its workflow names it."""

    class Meta:
        model = Strategy
        fields = ("id", "name", "strategy_type", "symbols", "enabled")
        read_only_fields = fields


class RecentRunSerializer(serializers.Serializer[Any]):
    """One of the newest runs."""

    id = serializers.CharField()
    status = serializers.CharField()
    strategy_name = serializers.CharField(allow_null=True, required=False)
    started_at = serializers.DateTimeField(allow_null=True, required=False)
    duration = serializers.FloatField(allow_null=True, required=False, help_text="Seconds.")


class ExecutionStatisticsSerializer(serializers.Serializer[Any]):
    """How the workflow's runs went."""

    total_executions = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    success_rate = serializers.FloatField(allow_null=True, help_text="Completed of all that ended, 0 to 1.")
    average_duration = serializers.FloatField(allow_null=True, help_text="Seconds.")
    recent = RecentRunSerializer(many=True)


class WorkflowSerializer(WorkflowListItemSerializer):
    """A workflow with its definition, the strategies that use it and how its runs went."""

    steps = StepSerializer(many=True, read_only=True)
    default_params = ObjectField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    strategies = WorkflowStrategySerializer(many=True, read_only=True)
    recent_executions = serializers.SerializerMethodField()

    class Meta:
        model = Workflow
        fields = (
            *WorkflowListItemSerializer.Meta.fields,
            "steps",
            "default_params",
            "created_by",
            "strategies",
            "recent_executions",
        )
        read_only_fields = fields

    @extend_schema_field(ExecutionStatisticsSerializer)
    def get_recent_executions(self, workflow: Workflow) -> Mapping[str, Any]:
        return execution_statistics(workflow.pk)

    def to_representation(self, instance: Workflow) -> dict[str, Any]:
        data = super().to_representation(instance)
        # As they were written: the serializer above describes them, it must not add or drop a key.
        data["steps"] = instance.steps
        return data


class WorkflowVersionSerializer(serializers.ModelSerializer[WorkflowVersion]):
    """One version, as it was written."""

    steps = StepSerializer(many=True, read_only=True)
    default_params = ObjectField(read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = WorkflowVersion
        fields = ("workflow_id", "version_number", "type", "steps", "default_params", "created_at", "created_by")
        read_only_fields = fields

    def to_representation(self, instance: WorkflowVersion) -> dict[str, Any]:
        data = super().to_representation(instance)
        data["steps"] = instance.steps
        return data


class WorkflowDiffSerializer(serializers.Serializer[Any]):
    """What changed between two versions; steps are matched by name."""

    a = serializers.IntegerField()
    b = serializers.IntegerField()
    type = ObjectField(allow_null=True)
    default_params = ObjectField()
    steps = ObjectField()


class StrategyBodySerializer(StrictSerializer):
    """What creates or replaces a strategy. Without `workflow_id`, `param.steps` holds the steps themselves."""

    name = serializers.CharField(max_length=200)
    strategy_type = serializers.CharField(max_length=40, allow_blank=True, default="")
    workflow_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    symbols = serializers.ListField(child=serializers.CharField(max_length=40), default=list)
    param = ObjectField(default=dict)
    enabled = serializers.BooleanField(default=True)


class StrategyChangeSerializer(StrictSerializer):
    """What changes a strategy; what is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    strategy_type = serializers.CharField(max_length=40, allow_blank=True, required=False)
    workflow_id = serializers.UUIDField(required=False, allow_null=True)
    symbols = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    param = ObjectField(required=False)
    enabled = serializers.BooleanField(required=False)


class StrategySerializer(serializers.ModelSerializer[Strategy]):
    """A strategy."""

    workflow_id = serializers.UUIDField(read_only=True, allow_null=True)
    workflow_name = serializers.CharField(source="workflow.name", read_only=True, allow_null=True, default=None)
    symbols = serializers.ListField(child=serializers.CharField(), read_only=True)
    param = ObjectField(read_only=True)
    version = serializers.IntegerField(source="version_number", read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    updated_at = UtcDateTimeField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Strategy
        fields = (
            "id",
            "name",
            "strategy_type",
            "workflow_id",
            "workflow_name",
            "symbols",
            "param",
            "version",
            "enabled",
            "created_at",
            "updated_at",
            "created_by",
        )
        read_only_fields = fields


class StrategyVersionSerializer(serializers.ModelSerializer[StrategyVersion]):
    """One version of a strategy, as it was written."""

    workflow_id = serializers.UUIDField(read_only=True, allow_null=True)
    symbols = serializers.ListField(child=serializers.CharField(), read_only=True)
    param = ObjectField(read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    actor = serializers.CharField(
        source="actor_name", read_only=True, help_text="Who changed it, also where that was no user; empty if unknown."
    )

    class Meta:
        model = StrategyVersion
        fields = (
            "strategy_id",
            "version_number",
            "workflow_id",
            "strategy_type",
            "symbols",
            "param",
            "reason",
            "created_at",
            "created_by",
            "actor",
        )
        read_only_fields = fields


class StrategyVersionRestoreSerializer(StrictSerializer):
    """Why an old version is the newest again."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class CatalogueSerializer(serializers.Serializer[Any]):
    """A step type, with the JSON Schema of its config."""

    slug = serializers.CharField()
    title = serializers.CharField()
    help = serializers.CharField()
    config_schema = ObjectField()


class StrategyTypeSerializer(serializers.Serializer[Any]):
    """A strategy type, with the JSON Schema of its parameters, the rules between them and its default grid."""

    slug = serializers.CharField()
    title = serializers.CharField()
    help = serializers.CharField()
    params_schema = ObjectField()
    constraints = serializers.ListField(child=ObjectField())
    default_grid = ObjectField()
    combinations = serializers.IntegerField()


class WorkflowTemplateSerializer(WorkflowBodySerializer):
    """A ready-made body of a template type."""
