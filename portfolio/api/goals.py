"""Goals: what an account should hold, and how far it is from there."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portfolio import goal_selectors, rebalance_selectors, services
from portfolio.api.filters import GoalFilter
from portfolio.api.goal_serializers import (
    DriftSerializer,
    GoalBodySerializer,
    GoalChangeSerializer,
    GoalSerializer,
    RebalanceBodySerializer,
    RebalanceSerializer,
)
from portfolio.choices import RebalanceStatus
from portfolio.models import Goal
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.idempotency import idempotent
from tradingsite.common.api.pagination import KeysetPagination, PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; 412 when it has changed since."
)


class GoalViewSet(ResourceViewSet):
    """Target weights of the desk's account, watched from the moment they are written."""

    roles: ClassVar[Mapping[str, Role]] = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "drift": Role.VIEWER,
        "create": Role.TRADER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
        "restore": Role.TRADER,
        "rebalance": Role.TRADER,
        "rebalances": Role.VIEWER,
        "one_rebalance": Role.VIEWER,
    }
    serializer_class = GoalSerializer
    pagination_class = PagePagination
    filterset_class = GoalFilter
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "created_at", "updated_at")
    search_fields: ClassVar[tuple[str, ...]] = ("name",)

    def get_queryset(self) -> QuerySet[Goal]:
        return goal_selectors.goals_visible(deleted=self.request.query_params.get("deleted") == "true")

    @extend_schema(summary="Goals, newest first", responses=GoalSerializer(many=True))
    def list(self, request: Request) -> Response:
        goals = filtered(self.filterset_class, request, self.get_queryset())
        goals = ordered(self.ordering_fields, request, searched(self.search_fields, request, goals), "-created_at")
        page = self.paginate_queryset(goals)
        return self.get_paginated_response(GoalSerializer(page, many=True).data)

    @extend_schema(
        summary="Create a goal",
        description="Its drift is watched from then on; an alert is raised when the total drift goes above the threshold, "
        "once until it has recovered.",
        request=GoalBodySerializer,
        responses={201: GoalSerializer},
    )
    def create(self, request: Request) -> Response:
        goal = services.goal_create(actor=self.actor, **validated(GoalBodySerializer, request.data))
        response = self._detail(goal.pk, status.HTTP_201_CREATED)
        response["Location"] = f"{request.path.rstrip('/')}/{goal.pk}"
        return response

    @extend_schema(summary="One goal", responses=GoalSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return self._detail(parse_uuid(pk, "id"))

    @extend_schema(
        summary="Replace a goal", request=GoalBodySerializer, responses=GoalSerializer, parameters=[IF_MATCH]
    )
    def update(self, request: Request, pk: str) -> Response:
        return self._change(request, pk, validated(GoalBodySerializer, request.data))

    @extend_schema(
        summary="Change some fields of a goal",
        request=GoalChangeSerializer,
        responses=GoalSerializer,
        parameters=[IF_MATCH],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        return self._change(request, pk, validated(GoalChangeSerializer, request.data))

    @extend_schema(summary="Hide a goal and end its watch", responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: str) -> Response:
        services.goal_delete(
            actor=self.actor, goal_id=parse_uuid(pk, "id"), precondition=lambda goal: require_match(request, goal)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Bring a deleted goal back", request=None, responses=GoalSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        goal = services.goal_restore(actor=self.actor, goal_id=parse_uuid(pk, "id"))
        return self._detail(goal.pk)

    @extend_schema(
        summary="Where the account stands beside the goal, now",
        description="409 `EQUITY_NOT_POSITIVE` when the account has no equity that weights could be a part of.",
        responses=DriftSerializer,
    )
    @action(detail=True, methods=["get"])
    def drift(self, request: Request, pk: str) -> Response:
        goal = goal_selectors.goal_get(parse_uuid(pk, "id"))
        return Response(DriftSerializer(goal_selectors.goal_drift(goal, wall=utcnow())).data)

    @extend_schema(
        summary="Bring the account to the goal",
        description="A dry run unless `dry_run` is false: the orders that it would place, each with the gate's verdict. "
        "For real, sells are sent before buys, through the gate like every order; a buy that the cash does not cover "
        "waits for open sells, and the answer is a 202 until everything was sent. What the gate refuses is answered as "
        "well. The same `Idempotency-Key` never makes a second order; a process that dies is taken over.",
        request=RebalanceBodySerializer,
        responses={200: RebalanceSerializer, 201: RebalanceSerializer, 202: RebalanceSerializer},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def rebalance(self, request: Request, pk: str) -> Response:
        goal = goal_selectors.goal_get(parse_uuid(pk, "id"))
        body = validated(RebalanceBodySerializer, request.data)
        if body.pop("dry_run"):
            previewed = services.rebalance_preview(actor=self.actor, goal=goal, **body)
            report = rebalance_selectors.preview_report(goal, previewed, sell_outside=body["sell_outside"])
            return Response(RebalanceSerializer(report).data)
        key = request.headers.get("Idempotency-Key")
        rebalance = services.rebalance_start(actor=self.actor, goal_id=goal.pk, key=key, **body)
        report = rebalance_selectors.rebalance_report(rebalance_selectors.rebalance_get(goal, rebalance.pk))
        running = rebalance.status == RebalanceStatus.RUNNING
        return Response(
            RebalanceSerializer(report).data,
            status=status.HTTP_202_ACCEPTED if running else status.HTTP_201_CREATED,
            headers={"Location": f"{request.path.rstrip('/')}s/{rebalance.pk}"},
        )

    @extend_schema(summary="The goal's rebalances, newest first", responses=RebalanceSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=KeysetPagination)
    def rebalances(self, request: Request, pk: str) -> Response:
        goal = goal_selectors.goal_get(parse_uuid(pk, "id"))
        page = self.paginate_queryset(rebalance_selectors.rebalances_visible(goal)) or []
        reports = [rebalance_selectors.rebalance_report(rebalance) for rebalance in page]
        return self.get_paginated_response(RebalanceSerializer(reports, many=True).data)

    @extend_schema(summary="One rebalance with what became of its orders", responses=RebalanceSerializer)
    @action(detail=True, methods=["get"], url_path="rebalances/(?P<rebalance_id>[^/.]+)", url_name="one-rebalance")
    def one_rebalance(self, request: Request, pk: str, rebalance_id: str) -> Response:
        goal = goal_selectors.goal_get(parse_uuid(pk, "id"))
        rebalance = rebalance_selectors.rebalance_get(goal, parse_uuid(rebalance_id, "rebalance_id"))
        return Response(RebalanceSerializer(rebalance_selectors.rebalance_report(rebalance)).data)

    def known_query_params(self) -> frozenset[str]:
        # The rebalances are paged by key, and take nothing else of the list.
        return frozenset(KeysetPagination.query_params) if self.action == "rebalances" else super().known_query_params()

    def _change(self, request: Request, pk: str, changes: dict[str, Any]) -> Response:
        goal = services.goal_update(
            actor=self.actor,
            goal_id=parse_uuid(pk, "id"),
            changes=changes,
            precondition=lambda row: require_match(request, row),
        )
        return self._detail(goal.pk)

    def _detail(self, goal_id: UUID, code: int = status.HTTP_200_OK) -> Response:
        goal = goal_selectors.goal_get(goal_id)
        return with_etag(Response(GoalSerializer(goal).data, status=code), goal)
