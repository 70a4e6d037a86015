"""Strategies: a workflow applied to symbols."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.roles import Role
from workflows import selectors, services
from workflows.agent_section import AgentsConfig
from workflows.api.filters import StrategyFilterSet
from workflows.api.serializers import (
    StrategyBodySerializer,
    StrategyChangeSerializer,
    StrategySerializer,
    StrategyVersionRestoreSerializer,
    StrategyVersionSerializer,
)
from workflows.api.views import IF_MATCH, UUID_PATTERN, number_in_path
from workflows.models import Strategy


@extend_schema_view(list=extend_schema(responses=StrategySerializer(many=True)))
class StrategyViewSet(ResourceViewSet):
    """Strategies hold overrides only; the definition comes from the workflow."""

    queryset = Strategy.objects.all()
    serializer_class = StrategySerializer
    filterset_class = StrategyFilterSet
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "strategy_type", "created_at", "updated_at")
    search_fields: ClassVar[tuple[str, ...]] = ("name",)
    lookup_url_kwarg = "id"
    lookup_value_regex = UUID_PATTERN
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "create": Role.TRADER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
        "restore": Role.TRADER,
        "autogen_config": Role.VIEWER,
        "autogen_config_set": Role.TRADER,
        "versions": Role.VIEWER,
        "version": Role.VIEWER,
        "version_restore": Role.TRADER,
    }

    def known_query_params(self) -> frozenset[str]:
        # The versions are paged as the list is, and take nothing else of it.
        return frozenset(PagePagination.query_params) if self.action == "versions" else super().known_query_params()

    def _detail(self, strategy_id: UUID, code: int = status.HTTP_200_OK) -> Response:
        strategy = selectors.strategy_get(strategy_id)
        response = with_etag(Response(StrategySerializer(strategy).data, status=code), strategy)
        if code == status.HTTP_201_CREATED:
            response["Location"] = f"{self.request.path.split('/strategies')[0]}/strategies/{strategy.pk}"
        return response

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List strategies, the newest first."""
        rows = selectors.strategy_list(deleted=request.query_params.get("deleted") == "true")
        rows = filtered(StrategyFilterSet, request, rows)
        rows = ordered(self.ordering_fields, request, searched(self.search_fields, request, rows), "-created_at")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(StrategySerializer(page, many=True).data)

    @extend_schema(request=StrategyBodySerializer, responses={201: StrategySerializer})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Create a strategy of a workflow, or, without `workflow_id`, one with its own steps."""
        strategy = services.strategy_create(actor=self.actor, **validated(StrategyBodySerializer, request.data))
        return self._detail(strategy.pk, status.HTTP_201_CREATED)

    @extend_schema(responses=StrategySerializer)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return a strategy."""
        return self._detail(UUID(id))

    @extend_schema(request=StrategyBodySerializer, responses=StrategySerializer, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace a strategy."""
        return self._change(request, id, validated(StrategyBodySerializer, request.data))

    @extend_schema(request=StrategyChangeSerializer, responses=StrategySerializer, parameters=[IF_MATCH])
    def partial_update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change some fields of a strategy; `param` is replaced as a whole."""
        return self._change(request, id, validated(StrategyChangeSerializer, request.data))

    def _change(self, request: Request, id: str, changes: dict[str, Any]) -> Response:
        services.strategy_update(
            actor=self.actor,
            strategy_id=UUID(id),
            changes=changes,
            precondition=lambda row: require_match(request, row),
        )
        return self._detail(UUID(id))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide a strategy; its runs and orders stay."""
        services.strategy_delete(
            actor=self.actor, strategy_id=UUID(id), precondition=lambda row: require_match(request, row)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=StrategySerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Bring a deleted strategy back."""
        services.strategy_restore(actor=self.actor, strategy_id=UUID(id))
        return self._detail(UUID(id))

    @extend_schema(responses=StrategyVersionSerializer(many=True))
    @action(detail=True, methods=["get"])
    def versions(self, request: Request, id: str, **kwargs: Any) -> Response:
        """List the versions, the newest first: each change of workflow, type, symbols or parameters made one."""
        page = self.paginate_queryset(selectors.strategy_versions(UUID(id)))
        return self.get_paginated_response(StrategyVersionSerializer(page, many=True).data)

    @extend_schema(responses=StrategyVersionSerializer, parameters=[number_in_path("number")])
    @action(detail=True, methods=["get"], url_path="versions/(?P<number>[0-9]{1,9})")
    def version(self, request: Request, id: str, number: str, **kwargs: Any) -> Response:
        """Return one version."""
        return Response(StrategyVersionSerializer(selectors.strategy_version_get(UUID(id), int(number))).data)

    @extend_schema(
        request=StrategyVersionRestoreSerializer,
        responses=StrategySerializer,
        parameters=[number_in_path("number"), IF_MATCH],
    )
    @action(detail=True, methods=["post"], url_path="versions/(?P<number>[0-9]{1,9})/restore")
    def version_restore(self, request: Request, id: str, number: str, **kwargs: Any) -> Response:
        """Make an old version's workflow, type, symbols and parameters the newest version; 409 when they no longer fit."""
        services.strategy_version_restore(
            actor=self.actor,
            strategy_id=UUID(id),
            number=int(number),
            precondition=lambda row: require_match(request, row),
            **validated(StrategyVersionRestoreSerializer, request.data),
        )
        return self._detail(UUID(id))

    @extend_schema(responses=AgentsConfig)
    @action(detail=True, methods=["get"], url_path="autogen-config")
    def autogen_config(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return what a strategy says of its team; where it says nothing, the team of its workflow."""
        return self._team(UUID(id))

    @extend_schema(request=AgentsConfig, responses=AgentsConfig, parameters=[IF_MATCH])
    @autogen_config.mapping.put
    def autogen_config_set(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace what a strategy says of its team; members that it does not name stay as the workflow has them."""
        # Judged whole by the service, whatever it is.
        config: Any = request.data
        services.strategy_team_set(
            actor=self.actor,
            strategy_id=UUID(id),
            config=config,
            precondition=lambda row: require_match(request, row),
        )
        return self._team(UUID(id))

    def _team(self, strategy_id: UUID) -> Response:
        strategy = selectors.strategy_get(strategy_id)
        return with_etag(Response(selectors.strategy_team(strategy)), strategy)
