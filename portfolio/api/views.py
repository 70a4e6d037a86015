"""The portfolio's routes: what the account is worth, its orders and its fills."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portfolio import selectors, services
from portfolio.api.filters import FillFilter, OrderFilter
from portfolio.api.serializers import (
    EquityPointSerializer,
    FillSerializer,
    OrderCancelSerializer,
    OrderDetailSerializer,
    OrderPlaceSerializer,
    OrderSerializer,
    PortfolioSerializer,
    PositionSerializer,
)
from portfolio.models import Fill, Order
from tradingsite.common.api.csv_export import CsvExport, csv_response
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.clock import parse_rfc3339, utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid, uuid7
from tradingsite.common.owners import require_owner
from tradingsite.common.roles import Role

_CURVE_IN_SUMMARY = 500
_CSV = {(200, "text/csv"): OpenApiTypes.STR}


class PortfolioView(ApiView):
    """What the desk's account is worth."""

    roles: ClassVar[Mapping[str, Role]] = {"get": Role.VIEWER}

    query_params: ClassVar[frozenset[str]] = frozenset({"points"})

    @extend_schema(
        summary="Equity, cash, exposure, profit, drawdown, positions and the whole equity curve",
        parameters=[
            OpenApiParameter(
                "points",
                int,
                description=f"How many points of the curve at most, 2 to {selectors.CURVE_LIMIT}; {_CURVE_IN_SUMMARY} "
                "unless told. A longer curve is thinned evenly.",
            )
        ],
        responses=PortfolioSerializer,
    )
    def get(self, request: Request) -> Response:
        points = _whole(request, "points", least=2, default=_CURVE_IN_SUMMARY)
        account = selectors.account_default()
        summary = selectors.account_summary(account, utcnow())
        summary["equity_curve"] = selectors.equity_history(account, points=points)
        return Response(PortfolioSerializer(summary).data)


class PositionsView(ApiView):
    """The open positions."""

    roles: ClassVar[Mapping[str, Role]] = {"get": Role.VIEWER}

    @extend_schema(summary="Open positions at their marks", responses=PositionSerializer(many=True))
    def get(self, request: Request) -> Response:
        positions = selectors.positions(selectors.account_default(), utcnow())
        return Response(PositionSerializer(positions, many=True).data)


class EquityView(ApiView):
    """The equity curve."""

    roles: ClassVar[Mapping[str, Role]] = {"get": Role.VIEWER}
    query_params: ClassVar[frozenset[str]] = frozenset({"start", "limit"})

    @extend_schema(
        summary="The newest points of the equity curve, oldest first",
        parameters=[
            OpenApiParameter("start", str, description="RFC 3339; points from then on."),
            OpenApiParameter(
                "limit", int, description=f"1 to {selectors.CURVE_LIMIT}, {selectors.CURVE_LIMIT} unless told."
            ),
        ],
        responses=EquityPointSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        start = _start(request)
        limit = _whole(request, "limit", least=1, default=selectors.CURVE_LIMIT)
        points = selectors.equity_curve(selectors.account_default(), start=start, limit=limit)
        return Response(EquityPointSerializer(points, many=True).data)


class OrderViewSet(ResourceViewSet):
    """Orders: those of runs and those placed by hand, all through the same gate."""

    problem_statuses: ClassVar = ("404",)  # an instrument that the body names
    roles: ClassVar[Mapping[str, Role]] = {
        "list": Role.VIEWER,
        "export": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "create": Role.TRADER,
        "cancel": Role.TRADER,
    }
    serializer_class = OrderSerializer
    pagination_class = KeysetPagination
    filterset_class = OrderFilter

    list_actions: ClassVar[frozenset[str]] = frozenset({"list", "export"})

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.orders_visible()

    @extend_schema(summary="Orders, newest first", responses=OrderSerializer(many=True))
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(filtered(self.filterset_class, request, self.get_queryset()))
        return self.get_paginated_response(OrderSerializer(page, many=True).data)

    @extend_schema(summary="The same orders as a CSV file, however many", filters=True, responses=_CSV)
    @action(detail=False, methods=["get"], **CsvExport.settings)
    def export(self, request: Request) -> StreamingHttpResponse:
        rows = filtered(self.filterset_class, request, self.get_queryset())
        return csv_response(request, rows, OrderSerializer, filename="orders.csv")

    @extend_schema(summary="One order with its fills", responses=OrderDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(OrderDetailSerializer(selectors.order_get(parse_uuid(pk, "id"))).data)

    @extend_schema(
        summary="Place an order by hand",
        description="The order goes through the gate like any other. What the gate denies is answered as well, with "
        "`status: denied` and the gate's `code`. The same `Idempotency-Key` never makes a second order.",
        request=OrderPlaceSerializer,
        responses={201: OrderDetailSerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        body = validated(OrderPlaceSerializer, request.data)
        order = services.order_place(
            actor=self.actor,
            account=selectors.account_default(),
            order_type=body.pop("type"),
            client_order_id=self._client_order_id(request),
            **body,
        )
        data = OrderDetailSerializer(selectors.order_get(order.pk)).data
        return Response(data, status=201, headers={"Location": f"{request.path.rstrip('/')}/{order.pk}"})

    @extend_schema(
        summary="Cancel an open order",
        description="A fill that came first stands. While the broker has not confirmed, `cancel_requested_at` is set "
        "and the cancel is tried again.",
        request=OrderCancelSerializer,
        responses=OrderDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, pk: str) -> Response:
        body = validated(OrderCancelSerializer, request.data)
        order = selectors.order_get(parse_uuid(pk, "id"))
        require_owner(actor=self.actor, created_by_id=order.created_by_id)
        services.order_cancel(actor=self.actor, order=order, reason=body["reason"])
        return Response(OrderDetailSerializer(selectors.order_get(order.pk)).data)

    def _client_order_id(self, request: Request) -> str:
        """From the Idempotency-Key where there is one, so that a request repeated after a crash meets its own order."""
        key = request.headers.get("Idempotency-Key")
        if not key:
            return f"api-{uuid7()}"
        whose = f"{self.actor.kind}:{self.actor.user_id}:{self.actor.name}:{key}"
        return f"api-{hashlib.sha256(whose.encode()).hexdigest()[:40]}"


class FillViewSet(ResourceViewSet):
    """Fills: written once, never changed."""

    roles: ClassVar[Mapping[str, Role]] = {"list": Role.VIEWER, "export": Role.VIEWER}
    serializer_class = FillSerializer
    pagination_class = KeysetPagination
    filterset_class = FillFilter
    list_actions: ClassVar[frozenset[str]] = frozenset({"list", "export"})

    def get_queryset(self) -> QuerySet[Fill]:
        return selectors.fills_visible()

    @extend_schema(summary="Fills, newest first", responses=FillSerializer(many=True))
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(filtered(self.filterset_class, request, self.get_queryset()))
        return self.get_paginated_response(FillSerializer(page, many=True).data)

    @extend_schema(summary="The same fills as a CSV file, however many", filters=True, responses=_CSV)
    @action(detail=False, methods=["get"], **CsvExport.settings)
    def export(self, request: Request) -> StreamingHttpResponse:
        rows = filtered(self.filterset_class, request, self.get_queryset())
        return csv_response(request, rows, FillSerializer, filename="fills.csv")


def _start(request: Request) -> datetime | None:
    text = request.query_params.get("start")
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        detail = "Must be an RFC 3339 time with a UTC offset."
        raise ValidationFailed(errors=[FieldError("start", "invalid", detail)]) from None


def _whole(request: Request, name: str, *, least: int, default: int) -> int:
    """Return the parameter `name` as a number of points from `least` to `CURVE_LIMIT`."""
    text: str = request.query_params.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    if not least <= number <= selectors.CURVE_LIMIT:
        detail = f"Must be a whole number from {least} to {selectors.CURVE_LIMIT}."
        raise ValidationFailed(errors=[FieldError(name, "invalid", detail)])
    return number
