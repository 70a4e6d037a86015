"""Back-tests and analyses over HTTP."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from optimize import services
from optimize.api import inspection_shapes as shapes
from optimize.api.serializers import OptimizationStarted
from optimize.api.views import started
from optimize.choices import JobKind
from optimize.inspection.backtest import backtest
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.serializers import StrictSerializer, validated
from tradingsite.common.api.views import ApiView
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from workflows.selectors import strategy_get


class StrategyBacktestView(ApiView):
    """A back-test of a saved strategy; it changes nothing."""

    roles: ClassVar = {"post": Role.TRADER}

    @extend_schema(
        summary="Back-test a strategy", request=shapes.BacktestSerializer, responses={200: shapes.BacktestResult}
    )
    def post(self, request: Request, strategy_id: str) -> Response:
        body = validated(shapes.BacktestSerializer, request.data)
        return Response(backtest(strategy=strategy_get(parse_uuid(strategy_id, "strategy_id")), body=body))


class _AnalysisView(ApiView):
    """One kind of analysis, done by workers."""

    roles: ClassVar = {"post": Role.TRADER}
    kind: ClassVar[JobKind]
    shape: ClassVar[type[StrictSerializer]]

    def start(self, request: Request) -> Response:
        body = validated(self.shape, request.data)
        return started(services.job_create(actor=self.actor, kind=self.kind, body=body))


class LookaheadView(_AnalysisView):
    kind, shape = JobKind.LOOKAHEAD, shapes.LookaheadSerializer

    @extend_schema(
        summary="Look for signals that see the future",
        request=shapes.LookaheadSerializer,
        responses=OptimizationStarted,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return self.start(request)


class RecursiveView(_AnalysisView):
    kind, shape = JobKind.RECURSIVE, shapes.RecursiveSerializer

    @extend_schema(
        summary="Look how much history a strategy needs",
        request=shapes.RecursiveSerializer,
        responses=OptimizationStarted,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return self.start(request)


class ParityView(_AnalysisView):
    kind, shape = JobKind.PARITY, shapes.ParitySerializer

    @extend_schema(
        summary="Compare a strategy's runs with a back-test",
        request=shapes.ParitySerializer,
        responses=OptimizationStarted,
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return self.start(request)
