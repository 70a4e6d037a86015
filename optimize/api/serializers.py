"""Shapes of the optimiser's bodies and answers. Statistics are numbers; what cannot be told is null, never infinite."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from market.choices import Adjustment, Timeframe
from market.sources import generated
from optimize.api.fields import NumberField, PeriodField, SourceField, WholeField
from optimize.choices import JobKind, JobStatus, Verdict
from optimize.walkforward.asking import OBJECTIVES, SEARCHES, SYMBOLS_MAX
from tradingsite.common.api.serializers import StrictSerializer, SymbolField, UtcDateTimeField


class CostsSerializer(StrictSerializer):
    """What trading costs, as fractions."""

    fee = NumberField(min_value=0, max_value=0.2, default=0.0, help_text="Of the notional of every fill.")
    slippage = NumberField(min_value=0, max_value=0.2, default=0.0, help_text="Of the price, against you.")


class CpcvSerializer(StrictSerializer):
    """Combinatorial purged cross-validation, on request."""

    groups = WholeField(min_value=4, max_value=12, default=6)
    test_groups = WholeField(min_value=1, max_value=6, default=2)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["test_groups"] >= attrs["groups"]:
            raise serializers.ValidationError({"test_groups": "Must be less than groups."}, code="invalid")
        return attrs


class AnyJsonField(serializers.JSONField):
    """What its kind checks itself, against what there is."""


class OptimizeStrategySerializer(StrictSerializer):
    """A search for a strategy's parameters."""

    strategy_type = serializers.CharField(max_length=40, help_text="A slug of /api/strategy-types.")
    symbols = serializers.ListField(child=SymbolField(), min_length=1, max_length=SYMBOLS_MAX)
    start = PeriodField(help_text="A date, or an RFC 3339 time. Bars before it warm the indicators.")
    end = PeriodField(ends=True, help_text="A date, itself included, or an RFC 3339 time.")
    timeframe = serializers.ChoiceField(choices=Timeframe.choices, default="1d")
    source = SourceField()  # type: ignore[assignment]  # a DRF field has an attribute of this name
    adjustment = serializers.ChoiceField(choices=Adjustment.choices, required=False, allow_null=True, default=None)
    param_grid = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='Parameter to list of values, such as {"fast": [10, 20], "slow": [50, 100]}; what is not named has '
        "its default. The type's own grid when left out.",
    )
    n_splits = WholeField(min_value=1, max_value=50, default=5, help_text="Folds of the walk-forward.")
    train_ratio = NumberField(min_value=0.1, max_value=0.95, default=0.7, help_text="In-sample part of each fold.")
    anchored = serializers.BooleanField(default=False, help_text="Every training begins where the period does.")
    embargo = WholeField(min_value=0, max_value=1000, default=0, help_text="Bars between training and test.")
    objective = serializers.ChoiceField(
        choices=OBJECTIVES, default="sharpe", help_text="What the parameters of a fold are chosen by, in sample."
    )
    search = serializers.ChoiceField(choices=SEARCHES, default="grid")
    max_trials = WholeField(
        min_value=1, max_value=100_000, required=False, allow_null=True, default=None, help_text="Of random and tpe."
    )
    seed = WholeField(min_value=0, max_value=2**32 - 1, default=0)
    costs = CostsSerializer(default=lambda: {"fee": 0.0, "slippage": 0.0})
    initial_cash = NumberField(min_value=1, max_value=1e12, default=10_000.0)
    direction = serializers.ChoiceField(choices=["long_only", "long_short"], default="long_only")
    stop_loss = NumberField(
        min_value=0.0001, max_value=0.9999, required=False, allow_null=True, default=None, help_text="A fraction."
    )
    take_profit = NumberField(
        min_value=0.0001, max_value=1000, required=False, allow_null=True, default=None, help_text="A fraction."
    )
    cpcv = CpcvSerializer(required=False, allow_null=True, default=None)
    gate = AnyJsonField(required=False, allow_null=True, default=None, help_text="Thresholds of the promotion gate.")


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.JSONField):
    """An object whose members depend on the kind of job."""


class OptimizationStarted(StrictSerializer):
    """A job that was just asked for."""

    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    total_combinations = serializers.IntegerField()


class ApplySerializer(StrictSerializer):
    """Which parameters a strategy takes."""

    strategy_id = serializers.UUIDField()
    rank = WholeField(
        min_value=1,
        max_value=200,
        required=False,
        allow_null=True,
        default=None,
        help_text="The best ones if left out.",
    )
    reason = serializers.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        default="",
        help_text="Needed where the gate does not promote.",
    )


class OptimizationApplied(StrictSerializer):
    job_id = serializers.UUIDField()
    strategy_id = serializers.UUIDField()
    params = ObjectField()
    promoted = serializers.BooleanField(help_text="Whether the gate let them through.")


class OptimizationCancelled(StrictSerializer):
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=JobStatus.choices)


class OptimizationRow(StrictSerializer):
    """One job of the list."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=JobKind.choices)
    strategy_type = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices, source="shown_status")
    created_at = UtcDateTimeField()
    completed_at = UtcDateTimeField(allow_null=True)
    best_sharpe = serializers.FloatField(allow_null=True)
    verdict = serializers.ChoiceField(choices=["", *Verdict.values])


class ProgressSerializer(StrictSerializer):
    combo = serializers.IntegerField(help_text="Combinations done.")
    total = serializers.IntegerField()
    fold = serializers.IntegerField()
    n_folds = serializers.IntegerField()


class ErrorSerializer(StrictSerializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class OptimizationDetail(StrictSerializer):
    """A job. Beside these stand the members of its result, once there is one, such as `results` and `best_params`."""

    id = serializers.UUIDField()
    job_id = serializers.UUIDField(source="pk")
    kind = serializers.ChoiceField(choices=JobKind.choices)
    strategy_type = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices, source="shown_status")
    progress = ProgressSerializer()
    total_combinations = serializers.IntegerField()
    best_sharpe = serializers.FloatField(allow_null=True)
    request = ObjectField()
    series = serializers.ListField(child=ObjectField(), source="data", help_text="What it reads, pinned.")
    fingerprint = serializers.CharField(help_text="SHA-256 over `series`.")
    generated = serializers.SerializerMethodField(help_text="Whether prices of any series are invented.")
    seed = serializers.IntegerField()
    error = serializers.SerializerMethodField(help_text="Why it failed; null where it has not.")
    created_at = UtcDateTimeField()
    started_at = UtcDateTimeField(allow_null=True)
    completed_at = UtcDateTimeField(allow_null=True)
    applied_at = UtcDateTimeField(allow_null=True, help_text="When a strategy last took parameters of it.")

    def get_generated(self, job: Any) -> bool:
        return generated(str(pinned["source"]) for pinned in job.data)

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, job: Any) -> dict[str, str] | None:
        return {"code": job.error_code, "detail": job.error_detail} if job.error_code else None
