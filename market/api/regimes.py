"""The regimes of a series over HTTP."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from market import selectors
from market.api.serializers import BarsQuerySerializer
from market.bars import from_ns
from market.regimes import DETECTORS, Detector, Volatility, detect, detector_clean
from tradingsite.common.api.serializers import StrictSerializer, UtcDateTimeField, validated
from tradingsite.common.api.views import ApiView
from tradingsite.common.clock import rfc3339
from tradingsite.common.roles import Role

# What regimes are told from, however many are shown: a learnt one costs about a second of work for so many.
READ_AT_MOST = 5_000


def _settings() -> dict[str, Any]:
    """Return the settings of all detectors with their usual values."""
    return {name: value for each in DETECTORS.values() for name, value in each().as_dict().items() if name != "kind"}


def _field(usual: Any) -> serializers.Field[Any, Any, Any, Any]:
    kinds: Mapping[type, type[serializers.Field[Any, Any, Any, Any]]] = {
        int: serializers.IntegerField,
        float: serializers.FloatField,
        str: serializers.CharField,
    }
    return kinds[type(usual)](required=False)


class RegimesQuerySerializer(BarsQuerySerializer):
    """Which series, and how its regimes are told apart."""

    limit = serializers.IntegerField(min_value=1, max_value=READ_AT_MOST, default=1_000)
    kind = serializers.CharField(max_length=20, default=Volatility.kind)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), **{name: _field(usual) for name, usual in _settings().items()}}


class RegimeSerializer(StrictSerializer):
    time = UtcDateTimeField(help_text="When the bar opened; its regime is known at its end.")
    value = serializers.FloatField(allow_null=True, help_text="What the regime was read from.")
    regime = serializers.CharField(allow_null=True, help_text="Null while there are too few bars to tell.")


class RegimeChangeSerializer(StrictSerializer):
    time = UtcDateTimeField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField()
    value = serializers.FloatField(allow_null=True)


class RegimesSerializer(StrictSerializer):
    symbol = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    timeframe = serializers.CharField()
    adjustment = serializers.CharField()
    version = serializers.IntegerField()
    generated = serializers.BooleanField(help_text="The prices are invented.")
    detector = serializers.DictField(help_text="Every setting, those left out with their usual values.")
    labels = serializers.ListField(child=serializers.CharField())
    warm_up = serializers.IntegerField(help_text="Bars before the first regime can be told.")
    count = serializers.IntegerField()
    regimes = RegimeSerializer(many=True)
    changes = RegimeChangeSerializer(many=True)


def _parameters() -> list[OpenApiParameter]:
    owners = {name: [k for k, each in DETECTORS.items() if name in each().as_dict()] for name in _settings()}
    return [
        OpenApiParameter(
            name, type(usual), description=f"Of {', '.join(owners[name])}; {usual} unless told.", required=False
        )
        for name, usual in _settings().items()
    ]


class RegimesView(ApiView):
    """In which state a market was at each bar, told from the bars up to it and none behind it."""

    roles: ClassVar = {"get": Role.VIEWER}
    query_params: ClassVar = frozenset(RegimesQuerySerializer().fields)
    problem_statuses: ClassVar = ("404",)

    @extend_schema(
        parameters=[
            OpenApiParameter("symbol", str, required=True),
            OpenApiParameter("timeframe", str, description="1m, 5m, 15m, 1h or 1d (default)."),
            OpenApiParameter("source", str, description="The instrument's default when left out."),
            OpenApiParameter(
                "adjustment", str, description="none, split or split_dividend; the most adjusted there is."
            ),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="Shows bars that opened at or after it."),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="Reads bars that opened at or before it."),
            OpenApiParameter(
                "limit", int, description=f"The newest so many; 1000 unless told, {READ_AT_MOST} at most."
            ),
            OpenApiParameter("version", int, description="An earlier version of the series."),
            OpenApiParameter(
                "kind", str, enum=sorted(DETECTORS), description="Which detector; volatility unless told."
            ),
            *_parameters(),
        ],
        responses=RegimesSerializer,
    )
    def get(self, request: Request, **_: Any) -> Response:
        asked = validated(RegimesQuerySerializer, request.query_params.dict())
        detector = detector_clean({name: asked[name] for name in ("kind", *_settings()) if name in asked}, pointer="")
        which: dict[str, Any] = {name: asked.get(name) for name in ("symbol", "source", "timeframe", "adjustment")}
        bars = selectors.bars_load(**which, end=asked.get("end"), version=asked.get("version"), limit=READ_AT_MOST)
        series = selectors.series_get(**which)
        return Response(
            {
                "symbol": bars.symbol,
                "source": bars.source,
                "timeframe": bars.timeframe,
                "adjustment": bars.adjustment,
                "version": bars.version,
                "generated": series.source.generated,
                **_shown(detector, bars, asked),
            }
        )


def _shown(detector: Detector, bars: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = detect(bars, detector)
    first = len(bars) - len(bars.since(asked["start"])) if asked.get("start") is not None else 0
    first = max(first, len(bars) - asked["limit"])
    rows = [
        {"time": rfc3339(from_ns(time)), "value": _number(value), "regime": found.label(first + place)}
        for place, (time, value) in enumerate(zip(found.time[first:], found.value[first:].tolist(), strict=True))
    ]
    changes = [
        {
            "time": rfc3339(from_ns(change.time)),
            "before": change.before,
            "after": change.after,
            "value": _number(change.value),
        }
        for change in found.changes()
        if change.index >= first
    ]
    return {
        "detector": detector.as_dict(),
        "labels": list(found.labels),
        "warm_up": detector.warm_up,
        "count": len(rows),
        "regimes": rows,
        "changes": changes,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
