"""The market over HTTP: one line of work for each action, the rest is shape."""

from typing import Any, ClassVar, cast
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from market import selectors, services
from market.api.filters import BarImportFilterSet, InstrumentFilterSet
from market.api.serializers import (
    BarImportDetailSerializer,
    BarImportSerializer,
    BarsQuerySerializer,
    BarsSerializer,
    FileImportSerializer,
    IndicatorSerializer,
    InstrumentCreateSerializer,
    InstrumentPatchSerializer,
    InstrumentSerializer,
    SourceImportSerializer,
    SourceListSerializer,
    bars_json,
)
from market.indicators import INDICATORS
from market.models import BarImport, Instrument
from market.sources import sources
from tradingsite.common.api.etag import etag_for, require_match
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.pagination import KeysetPagination, PagePagination
from tradingsite.common.api.parsers import StrictJSONParser
from tradingsite.common.api.serializers import field_errors, validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.roles import Role


def _with_etag(response: Response, instrument: Instrument) -> Response:
    response["ETag"] = etag_for(instrument)
    return response


READ = Role.VIEWER
WRITE = Role.TRADER


class InstrumentViewSet(ResourceViewSet):
    """Instruments, found by symbol."""

    # Switching an instrument on or off decides what the gate lets through, so it is the operator's.
    roles: ClassVar = {
        "list": READ,
        "retrieve": READ,
        "create": Role.OPERATOR,
        "update": Role.OPERATOR,
        "partial_update": Role.OPERATOR,
    }
    queryset = Instrument.objects.none()
    serializer_class = InstrumentSerializer
    pagination_class = PagePagination
    filterset_class = InstrumentFilterSet
    ordering_fields: ClassVar = ("symbol", "name", "created_at")
    search_fields: ClassVar = ("symbol", "name")
    lookup_field = "symbol"
    lookup_value_regex = r"[A-Z0-9][A-Z0-9.\-]{0,19}"

    @extend_schema(
        responses=InstrumentSerializer(many=True),
        parameters=[
            OpenApiParameter("ordering", str, description="symbol, name or created_at; a dash before it descends."),
            OpenApiParameter("search", str, description="Text within symbol or name."),
        ],
    )
    def list(self, request: Request, **_: Any) -> Response:
        rows = filtered(InstrumentFilterSet, request, selectors.instruments())
        rows = searched(self.search_fields, request, rows)
        rows = ordered(self.ordering_fields, request, rows, "symbol")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(InstrumentSerializer(page, many=True).data)

    @extend_schema(responses=InstrumentSerializer)
    def retrieve(self, request: Request, symbol: str, **_: Any) -> Response:
        instrument = selectors.instrument_get(symbol)
        return _with_etag(Response(InstrumentSerializer(instrument).data), instrument)

    @extend_schema(request=InstrumentCreateSerializer, responses={201: InstrumentSerializer})
    def create(self, request: Request, **_: Any) -> Response:
        fields = validated(InstrumentCreateSerializer, request.data)
        instrument = services.instrument_create(actor=self.actor, symbol=fields.pop("symbol"), fields=fields)
        response = Response(InstrumentSerializer(instrument).data, status=201)
        response["Location"] = f"{request.path.rstrip('/')}/{instrument.symbol}"
        return _with_etag(response, instrument)

    @extend_schema(request=InstrumentPatchSerializer, responses=InstrumentSerializer)
    def update(self, request: Request, symbol: str, **_: Any) -> Response:
        return self._change(request, symbol)

    @extend_schema(request=InstrumentPatchSerializer, responses=InstrumentSerializer)
    def partial_update(self, request: Request, symbol: str, **_: Any) -> Response:
        return self._change(request, symbol)

    def _change(self, request: Request, symbol: str) -> Response:
        instrument = selectors.instrument_get(symbol)
        changes = validated(InstrumentPatchSerializer, request.data)
        instrument = services.instrument_update(
            actor=self.actor,
            instrument=instrument,
            changes=changes,
            precondition=lambda locked: require_match(request, locked),
        )
        return _with_etag(Response(InstrumentSerializer(instrument).data), instrument)


class BarsView(ApiView):
    """Bars of one series, oldest first."""

    roles: ClassVar = {"get": READ}
    query_params: ClassVar = frozenset(BarsQuerySerializer().fields)
    problem_statuses: ClassVar = ("404",)

    @extend_schema(
        parameters=[
            OpenApiParameter("symbol", str, required=True),
            OpenApiParameter("timeframe", str, description="1m, 5m, 15m, 1h or 1d (default)."),
            OpenApiParameter("source", str, description="The instrument's default when left out."),
            OpenApiParameter(
                "adjustment", str, description="none, split or split_dividend; the most adjusted there is."
            ),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="Bars that opened at or after it."),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="Bars that opened at or before it."),
            OpenApiParameter("limit", int, description="The newest so many; 1000 unless told, 10000 at most."),
            OpenApiParameter("version", int, description="An earlier version of the series."),
        ],
        responses=BarsSerializer,
    )
    def get(self, request: Request, **_: Any) -> Response:
        asked = validated(BarsQuerySerializer, request.query_params.dict())
        which: dict[str, Any] = {name: asked.get(name) for name in ("symbol", "source", "timeframe", "adjustment")}
        part: dict[str, Any] = {name: asked.get(name) for name in ("start", "end", "limit", "version")}
        bars = selectors.bars_load(**which, **part)
        series = selectors.series_get(**which)
        return Response(
            {
                "symbol": bars.symbol,
                "series_id": bars.series_id,
                "source": bars.source,
                "timeframe": bars.timeframe,
                "adjustment": bars.adjustment,
                "version": bars.version,
                "generated": series.source.generated,
                "market_now": rfc3339(selectors.market_now(series=series, wall=utcnow())),
                "count": len(bars),
                "bars": bars_json(bars),
            }
        )


class BarImportViewSet(ResourceViewSet):
    """Imports: send a file or name a source; the history of both, with reports."""

    roles: ClassVar = {"list": READ, "retrieve": READ, "create": WRITE}
    queryset = BarImport.objects.none()
    serializer_class = BarImportSerializer
    pagination_class = KeysetPagination
    filterset_class = BarImportFilterSet
    parser_classes = (MultiPartParser, StrictJSONParser)
    lookup_value_regex = r"[0-9a-fA-F-]{32,36}"

    @extend_schema(responses=BarImportSerializer(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        rows = filtered(BarImportFilterSet, request, selectors.imports()).defer("report").order_by("-pk")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(BarImportSerializer(page, many=True).data)

    @extend_schema(
        responses=BarImportDetailSerializer,
        parameters=[OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
    )
    def retrieve(self, request: Request, pk: str, **_: Any) -> Response:
        try:
            key = UUID(pk)
        except ValueError:
            raise Http404 from None
        found = selectors.imports().filter(pk=key).first()
        if found is None:
            raise Http404
        return Response(BarImportDetailSerializer(found).data)

    @extend_schema(
        request={"multipart/form-data": FileImportSerializer, "application/json": SourceImportSerializer},
        responses={201: BarImportDetailSerializer},
    )
    def create(self, request: Request, **_: Any) -> Response:
        done = self._from_file(request) if request.content_type.startswith("multipart/") else self._from_source(request)
        response = Response(BarImportDetailSerializer(done).data, status=201)
        response["Location"] = f"{request.path.rstrip('/')}/{done.pk}"
        return response

    def _from_file(self, request: Request) -> BarImport:
        serializer = FileImportSerializer(data=request.data)
        if not serializer.is_valid():
            raise ValidationFailed(errors=field_errors(serializer.errors))
        upload = cast("UploadedFile[bytes]", serializer.validated_data["file"])
        return services.bars_import_file(
            actor=self.actor,
            file=upload.file,  # type: ignore[arg-type]  # the stubs leave it open; it is a binary file
            filename=upload.name or "",
            options=serializer.options(),
        )

    def _from_source(self, request: Request) -> BarImport:
        asked = validated(SourceImportSerializer, request.data)
        return services.bars_import_source(actor=self.actor, **asked)


class SourcesView(ApiView):
    """Where bars come from, and what can be asked for by name."""

    roles: ClassVar = {"get": READ}

    @extend_schema(responses=SourceListSerializer(many=True))
    def get(self, request: Request, **_: Any) -> Response:
        found = {
            source.slug: {
                "slug": source.slug,
                "title": source.title,
                "kind": source.kind,
                "clock": source.clock,
                "generated": source.generated,
                "symbols": list(source.symbols()),
                "timeframes": list(source.timeframes),
                "importable": True,
            }
            for source in sources.all()
        }
        for slug, symbols, timeframes, row in selectors.source_contents():
            if slug in found:
                found[slug]["symbols"] = sorted({*found[slug]["symbols"], *symbols})  # type: ignore[misc]
            else:
                found[slug] = {
                    "slug": slug,
                    "title": row.title,
                    "kind": row.kind,
                    "clock": row.clock,
                    "generated": row.generated,
                    "symbols": symbols,
                    "timeframes": timeframes,
                    "importable": False,
                }
        return Response([found[slug] for slug in sorted(found)])


class IndicatorsView(ApiView):
    """The indicators, with the JSON Schema of their parameters."""

    roles: ClassVar = {"get": READ}

    @extend_schema(responses=IndicatorSerializer(many=True))
    def get(self, request: Request, **_: Any) -> Response:
        return Response(
            [
                {
                    "name": indicator.slug,
                    "title": indicator.title,
                    "outputs": list(indicator.outputs),
                    "params": indicator.schema(),
                    "warmup": indicator.warmup(indicator.validate({})),
                }
                for indicator in INDICATORS.values()
            ]
        )
