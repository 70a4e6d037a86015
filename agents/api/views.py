"""The registry of agents over HTTP."""

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import selectors, services
from agents.api.filters import AgentFilterSet
from agents.api.serializers import AgentBodySerializer, AgentChangeSerializer, AgentSerializer
from agents.models import Agent
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered, ordered, searched
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.roles import Role
from workflows.api.views import IF_MATCH, UUID_PATTERN


@extend_schema_view(list=extend_schema(responses=AgentSerializer(many=True)))
class AgentViewSet(ResourceViewSet):
    """Agents that workflows may call by name."""

    queryset = Agent.objects.all()
    serializer_class = AgentSerializer
    filterset_class = AgentFilterSet
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "kind", "created_at", "updated_at")
    search_fields: ClassVar[tuple[str, ...]] = ("name", "description")
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
    }

    def _detail(self, agent_id: UUID, code: int = status.HTTP_200_OK) -> Response:
        agent = selectors.agent_get(agent_id)
        response = with_etag(Response(AgentSerializer(agent).data, status=code), agent)
        if code == status.HTTP_201_CREATED:
            response["Location"] = reverse("v1:agent-detail", args=[agent.pk])
        return response

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List agents, the newest first."""
        rows = selectors.agent_list(deleted=request.query_params.get("deleted") == "true")
        rows = filtered(AgentFilterSet, request, rows)
        rows = ordered(self.ordering_fields, request, searched(self.search_fields, request, rows), "-created_at")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(AgentSerializer(page, many=True).data)

    @extend_schema(request=AgentBodySerializer, responses={201: AgentSerializer})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Register an agent."""
        agent = services.agent_create(actor=self.actor, **validated(AgentBodySerializer, request.data))
        return self._detail(agent.pk, status.HTTP_201_CREATED)

    @extend_schema(responses=AgentSerializer)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return an agent."""
        return self._detail(UUID(id))

    @extend_schema(request=AgentBodySerializer, responses=AgentSerializer, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace an agent."""
        return self._change(request, id, validated(AgentBodySerializer, request.data))

    @extend_schema(request=AgentChangeSerializer, responses=AgentSerializer, parameters=[IF_MATCH])
    def partial_update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Change some fields of an agent; `llm_config` and `tools` are replaced as a whole."""
        return self._change(request, id, validated(AgentChangeSerializer, request.data))

    def _change(self, request: Request, id: str, changes: dict[str, Any]) -> Response:
        services.agent_update(
            actor=self.actor,
            agent_id=UUID(id),
            changes=changes,
            precondition=lambda row: require_match(request, row),
        )
        return self._detail(UUID(id))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide an agent; what was said with it stays, and steps that name it fail."""
        services.agent_delete(actor=self.actor, agent_id=UUID(id), precondition=lambda row: require_match(request, row))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=AgentSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Bring a deleted agent back."""
        services.agent_restore(actor=self.actor, agent_id=UUID(id))
        return self._detail(UUID(id))
