"""Shapes of the answers of analytics."""

from rest_framework import serializers

from tradingsite.common.api.serializers import StrictSerializer, UtcDateTimeField


class StatusCounts(StrictSerializer):
    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class DecisionCounts(StrictSerializer):
    BUY = serializers.IntegerField()
    SELL = serializers.IntegerField()
    HOLD = serializers.IntegerField()


class Figures(StrictSerializer):
    """Durations are seconds, rates 0 to 1; null is what no run says anything of."""

    total_executions = serializers.IntegerField()
    by_status = StatusCounts()
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Completed runs of those that completed or failed; cancelled ones did neither."
    )
    average_duration = serializers.FloatField(
        allow_null=True, help_text="From first start to end, of completed runs that were never retried."
    )
    duration_p50 = serializers.FloatField(allow_null=True, help_text="By nearest rank, within 1 % of the true value.")
    duration_p95 = serializers.FloatField(allow_null=True, help_text="By nearest rank, within 1 % of the true value.")
    decisions_breakdown = DecisionCounts()
    orders_placed = serializers.IntegerField(help_text="Those that left the desk; denied ones did not.")
    average_r_coefficient = serializers.FloatField(
        allow_null=True, help_text="Reward over risk, the mean over the decisions that state it."
    )
    completed_trades = serializers.IntegerField(
        help_text="Round trips that are over, counted where the run is counted whose order opened them."
    )
    win_rate = serializers.FloatField(allow_null=True, help_text="Completed trades with a profit after all fees.")


class _Asked(StrictSerializer):
    created_after = UtcDateTimeField(allow_null=True, help_text="The runs counted were created at or after it.")
    created_before = UtcDateTimeField(allow_null=True, help_text="And before it.")


class MetricsAnswer(_Asked, Figures):
    """What a workflow's runs come to."""

    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="The only one whose runs are counted.")


class TrendDay(Figures):
    date = serializers.DateField()


class TrendsAnswer(StrictSerializer):
    """One entry for each day of the desk, also for those without a run."""

    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    time_zone = serializers.CharField(help_text="Its midnights bound the days; a run belongs to that of its creation.")
    days = TrendDay(many=True)


class VersionFigures(Figures):
    version = serializers.IntegerField()


class Differences(StrictSerializer):
    """Each figure of b less that of a; null where one of them is unknown."""

    total_executions = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    average_duration = serializers.FloatField(allow_null=True)
    duration_p50 = serializers.FloatField(allow_null=True)
    duration_p95 = serializers.FloatField(allow_null=True)
    orders_placed = serializers.IntegerField()
    average_r_coefficient = serializers.FloatField(allow_null=True)
    completed_trades = serializers.IntegerField()
    win_rate = serializers.FloatField(allow_null=True)


class RateTestAnswer(StrictSerializer):
    """Whether the success rates differ by more than chance: a two-sided two-proportion z-test."""

    sufficient = serializers.BooleanField(help_text="Whether both versions have runs enough for it.")
    z = serializers.FloatField(allow_null=True)
    p_value = serializers.FloatField(allow_null=True)
    significant = serializers.BooleanField(allow_null=True, help_text="Whether p_value is below 0.05.")
    detail = serializers.CharField()


class VersionsAnswer(_Asked):
    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    a = VersionFigures()
    b = VersionFigures()
    differences = Differences()
    success_rate_test = RateTestAnswer()


class ComparedWorkflow(Figures):
    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()


class CompareAnswer(_Asked):
    workflows = ComparedWorkflow(many=True)
    best = serializers.DictField(
        child=serializers.ListField(child=serializers.UUIDField()),
        help_text="For each figure the workflows with the best one, all of them where several share it. Of durations "
        "less is better, of all else more; null never wins, nor does a count of zero.",
    )
