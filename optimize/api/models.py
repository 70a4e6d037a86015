"""Models over HTTP: ask for a tuning, list what was tuned, look at one."""

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from market.choices import Adjustment, Timeframe
from market.sources import generated
from optimize import selectors, services
from optimize.api.fields import NumberField, PeriodField, SourceField, WholeField
from optimize.api.serializers import AnyJsonField, CostsSerializer, ObjectField, OptimizationStarted
from optimize.api.views import started
from optimize.choices import JobKind
from optimize.learning.families import FAMILIES
from optimize.learning.tuning import OBJECTIVES
from optimize.models import TunedModel
from tradingsite.common.api.filters import CreatedFilterSet, filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import StrictSerializer, SymbolField, UtcDateTimeField, validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

SYMBOLS_MAX = 50


class SignalSerializer(StrictSerializer):
    """From a probability to a position, in the figures of a tuning."""

    enter = NumberField(min_value=0, max_value=1, default=0.5, help_text="Long above this probability.")
    leave = NumberField(min_value=0, max_value=1, default=0.5, help_text="Flat below this one.")


class OptimizeModelSerializer(StrictSerializer):
    """A tuning of a model."""

    model_type = serializers.ChoiceField(choices=list(FAMILIES))
    symbols = serializers.ListField(child=SymbolField(), min_length=1, max_length=SYMBOLS_MAX)
    start = PeriodField(help_text="A date, or an RFC 3339 time. Bars before it warm the features.")
    end = PeriodField(
        ends=True, help_text="A date, itself included, or an RFC 3339 time. The model knows all until then."
    )
    timeframe = serializers.ChoiceField(choices=Timeframe.choices, default="1d")
    source = SourceField()  # type: ignore[assignment]  # a DRF field has an attribute of this name
    adjustment = serializers.ChoiceField(choices=Adjustment.choices, required=False, allow_null=True, default=None)
    feature_config = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='Such as {"returns": [1, 5], "volatility": [10], "volume": [], "indicators": [{"indicator": "rsi", '
        '"params": {"period": 14}, "output": "value", "lag": 0}]}; what is left out has its default.',
    )
    label_config = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='{"kind": "horizon", "horizon": 5, "threshold": 0.0} or {"kind": "triple_barrier", "horizon": 10, '
        '"upper": 2, "lower": 2, "scale": "atr", "period": 20}.',
    )
    param_grid = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='Parameter to list of values, such as {"n_estimators": [100, 200], "max_depth": [3]}; the own grid of '
        "this kind of model when left out.",
    )
    folds = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='{"n_splits": 5, "train_ratio": 0.5, "anchored": true, "embargo": 5}; the embargo is in bars, 1 % of '
        "the period when left out.",
    )
    signal = SignalSerializer(default=lambda: {"enter": 0.5, "leave": 0.5})
    costs = CostsSerializer(default=lambda: {"fee": 0.0, "slippage": 0.0})
    objective = serializers.ChoiceField(
        choices=list(OBJECTIVES), default="t_stat", help_text="Out of sample, what combinations are ranked by."
    )
    patience = WholeField(
        min_value=0,
        max_value=1000,
        required=False,
        allow_null=True,
        default=None,
        help_text="Rounds of boosting without a better inner validation after which it stops; 0: never. When left out "
        "50, if the grid names one number of rounds, else 0.",
    )
    uniqueness = serializers.BooleanField(default=True, help_text="Weigh rows by how little their labels overlap.")
    seed = WholeField(min_value=0, max_value=2**31 - 1, default=0)
    gate = AnyJsonField(required=False, allow_null=True, default=None, help_text="Thresholds of the promotion gate.")
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class TunedModelRow(StrictSerializer):
    """A model of the list."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    job_id = serializers.UUIDField(allow_null=True, help_text="The optimisation that trained it.")
    model_type = serializers.CharField()
    verdict = serializers.CharField()
    trained_from = UtcDateTimeField()
    trained_until = UtcDateTimeField(help_text="It says nothing on bars up to this one: it knows them.")
    created_at = UtcDateTimeField()


class TunedModelDetail(TunedModelRow):
    """A model."""

    digest = serializers.CharField(help_text="SHA-256 of its file.")
    size = serializers.IntegerField(help_text="Bytes of its file.")
    fingerprint = serializers.CharField(help_text="SHA-256 over the data that it learnt from.")
    warm_up = serializers.IntegerField(help_text="Bars before its first forecast.")
    description = ObjectField(help_text="Features, parameters, data and versions.")
    figures = ObjectField(help_text="Out of sample, of the combination that was chosen.")
    generated = serializers.SerializerMethodField(help_text="Whether it learnt from invented prices.")

    def get_generated(self, model: TunedModel) -> bool:
        return generated(str(pinned["source"]) for pinned in model.description.get("data", []))


class TunedModelFilterSet(CreatedFilterSet):
    model_type = django_filters.ChoiceFilter(choices=[(slug, slug) for slug in FAMILIES])

    class Meta:
        model = TunedModel
        fields: ClassVar[list[str]] = []


class OptimizeModelView(ApiView):
    """Tune a model."""

    roles: ClassVar = {"post": Role.TRADER}

    @extend_schema(
        summary="Tune a model on purged folds and keep the best",
        request=OptimizeModelSerializer,
        responses=OptimizationStarted,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = validated(OptimizeModelSerializer, request.data)
        return started(services.job_create(actor=self.actor, kind=JobKind.MODEL, body=body))


class TunedModelViewSet(ResourceViewSet):
    """Models that were tuned, for `model` strategies and `model_forecast` steps."""

    roles: ClassVar = {"list": Role.VIEWER, "retrieve": Role.VIEWER}
    serializer_class = TunedModelDetail
    filterset_class = TunedModelFilterSet
    pagination_class = PagePagination
    queryset = TunedModel.objects.none()
    lookup_value_regex = "[^/]+"

    @extend_schema(summary="The tuned models, the newest first", responses=TunedModelRow(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        rows = filtered(TunedModelFilterSet, request, selectors.tuned_models())
        page = self.paginate_queryset(rows.defer("description", "figures"))
        return self.get_paginated_response(TunedModelRow(page, many=True).data)

    @extend_schema(summary="One tuned model")
    def retrieve(self, request: Request, **_: Any) -> Response:
        model = selectors.model_get(parse_uuid(self.kwargs["pk"], "id"))
        return Response(TunedModelDetail(model).data)
