"""The shapes of schedules in the API."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduler.choices import FireStatus, GapPolicy, Misfire, Overlap, RepeatPolicy
from scheduler.models import Schedule, ScheduleFire
from scheduler.rules import in_words, next_times
from scheduler.selectors import schedule_status
from scheduler.services import rule_spoken
from tradingsite.common.api.serializers import StrictModelSerializer, StrictSerializer, UtcDateTimeField
from tradingsite.common.clock import rfc3339, utcnow

PREVIEWED = 10

_RULE_SCHEMA = {
    "oneOf": [
        {"type": "string", "description": "A cron expression of five fields.", "example": "30 9 * * mon-fri"},
        {"type": "object", "properties": {"every_s": {"type": "integer"}}, "required": ["every_s"]},
        {
            "type": "object",
            "properties": {
                "market": {"type": "string", "example": "XNYS"},
                "event": {"type": "string", "enum": ["open", "close"]},
                "offset_s": {"type": "integer", "description": "Negative is before."},
            },
            "required": ["market", "event"],
        },
    ]
}


@extend_schema_field(_RULE_SCHEMA)
class RuleField(serializers.JSONField):
    """A cron string, `{"every_s": 300}` or `{"market": "XNYS", "event": "close", "offset_s": -300}`."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ConfigField(serializers.JSONField):
    """The job's config, shaped by its type."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.", code="invalid")
        return super().to_internal_value(data)


class TimingBody(StrictSerializer):
    """When something is due, and what happens around it. Whatever is left out has the default shown."""

    timezone = serializers.CharField(max_length=64, required=False, help_text="IANA name; UTC when left out.")
    enabled = serializers.BooleanField(required=False)
    gap = serializers.ChoiceField(choices=GapPolicy.choices, required=False)
    repeat = serializers.ChoiceField(choices=RepeatPolicy.choices, required=False)
    jitter_s = serializers.IntegerField(required=False, help_text="Start up to so much later, 0 to 3600.")
    start_at = UtcDateTimeField(required=False, allow_null=True)
    end_at = UtcDateTimeField(required=False, allow_null=True)
    misfire = serializers.ChoiceField(choices=Misfire.choices, required=False)
    misfire_grace_s = serializers.IntegerField(required=False, help_text="Later than this is missed.")
    misfire_bound = serializers.IntegerField(required=False, help_text="How many `all` makes up for.")
    overlap = serializers.ChoiceField(choices=Overlap.choices, required=False)
    pause_after = serializers.IntegerField(required=False, help_text="Failures in a row; 0 never pauses.")


class ScheduleBody(TimingBody):
    name = serializers.CharField(max_length=200)
    job_type = serializers.CharField(max_length=60)
    schedule = RuleField()
    config = ConfigField(required=False)


class ScheduleChange(ScheduleBody):
    """Any of the fields; what is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    job_type = serializers.CharField(max_length=60, required=False)
    schedule = RuleField(required=False)


class PreviewBody(TimingBody):
    schedule = RuleField()


class Preview(StrictSerializer):
    """When a rule would be due."""

    description = serializers.CharField()
    next_run_times = serializers.ListField(child=UtcDateTimeField())


class ScheduleRow(StrictModelSerializer):
    status = serializers.SerializerMethodField(help_text="scheduled, running, paused or finished.")
    schedule = serializers.SerializerMethodField()
    description = serializers.SerializerMethodField(help_text="The rule in plain English.")
    next_run_time = UtcDateTimeField(source="next_run_at", read_only=True, allow_null=True)
    last_run_time = UtcDateTimeField(source="last_run_at", read_only=True, allow_null=True)
    last_status = serializers.CharField(read_only=True, allow_blank=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    created_at = UtcDateTimeField(read_only=True)
    updated_at = UtcDateTimeField(read_only=True)
    start_at = UtcDateTimeField(read_only=True, allow_null=True)
    end_at = UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Schedule
        fields: ClassVar = [
            "id", "name", "job_type", "status", "enabled", "schedule", "timezone", "description", "config",
            "next_run_time", "last_run_time", "last_status", "last_result", "last_duration", "failure_streak",
            "paused_reason", "gap", "repeat", "jitter_s", "start_at", "end_at", "misfire", "misfire_grace_s",
            "misfire_bound", "overlap", "pause_after", "created_by", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_status(self, row: Schedule) -> str:
        return schedule_status(row)

    @extend_schema_field(_RULE_SCHEMA)
    def get_schedule(self, row: Schedule) -> Any:
        return rule_spoken(row)

    def get_description(self, row: Schedule) -> str:
        return in_words(row)


class ScheduleDetail(ScheduleRow):
    next_run_times = serializers.SerializerMethodField()

    class Meta(ScheduleRow.Meta):
        fields: ClassVar = [*ScheduleRow.Meta.fields, "next_run_times"]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=UtcDateTimeField()))
    def get_next_run_times(self, row: Schedule) -> list[str]:
        return [rfc3339(moment) for moment in next_times(row, utcnow(), PREVIEWED)]


class Keeper(StrictSerializer):
    name = serializers.CharField()
    host = serializers.CharField()
    pid = serializers.IntegerField()
    started_at = UtcDateTimeField()
    last_seen = UtcDateTimeField()


class ClockStatus(StrictSerializer):
    """The clock as a whole. `no_beat`: it is switched on, and no process keeps it."""

    running = serializers.BooleanField()
    status = serializers.ChoiceField(choices=["running", "stopped", "no_beat"])
    changed_at = UtcDateTimeField()
    changed_by = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    beats = Keeper(many=True)
    lag_s = serializers.FloatField(help_text="How long the oldest due fire waits to be written.")


class SchedulerStatus(StrictSerializer):
    """Every job with its status, and the clock."""

    clock = ClockStatus()
    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = ScheduleRow(many=True)


class Fire(StrictModelSerializer):
    nominal_at = UtcDateTimeField(read_only=True)
    fired_at = UtcDateTimeField(read_only=True)
    started_at = UtcDateTimeField(read_only=True, allow_null=True)
    finished_at = UtcDateTimeField(read_only=True, allow_null=True)
    status = serializers.ChoiceField(choices=FireStatus.choices, read_only=True)
    duration = serializers.SerializerMethodField(help_text="Seconds.")

    class Meta:
        model = ScheduleFire
        fields: ClassVar = [
            "id", "nominal_at", "manual", "actor_name", "status", "fired_at", "started_at", "finished_at", "duration",
            "run_id", "result", "error_code", "error_message",
        ]  # fmt: skip
        read_only_fields = fields

    def get_duration(self, fire: ScheduleFire) -> float | None:
        if fire.started_at is None:
            return None
        return max(((fire.finished_at or utcnow()) - fire.started_at).total_seconds(), 0.0)


class SwitchBody(StrictSerializer):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class EmptyBody(StrictSerializer):
    """A body without members."""


class JobTypeEntry(StrictSerializer):
    type = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    least_role = serializers.CharField()
    starts_run = serializers.BooleanField(help_text="Whether a fire starts a run of its own.")
    config_schema = serializers.DictField()
