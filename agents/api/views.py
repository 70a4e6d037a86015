"""The registry of agents over HTTP."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import selectors, services
from agents.api.filters import AgentFilterSet, MessageFilterSet, PerformanceFilterSet
from agents.api.serializers import (
    AgentBodySerializer,
    AgentChangeSerializer,
    AgentSerializer,
    AgentTemplateSerializer,
    HealthSerializer,
    MessageSerializer,
    PerformanceSerializer,
    VersionSerializer,
)
from agents.models import Agent, AgentConversation
from agents.performance import Period
from agents.templates import templates_as_json
from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import checked, filtered, ordered, searched
from tradingsite.common.api.pagination import KeysetPagination, PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from workflows.api.views import IF_MATCH, UUID_PATTERN

DATE_RANGE = OpenApiParameter(
    "date_range",
    {"type": "string", "pattern": "^[^,]*,[^,]*$"},
    description="Two times with a comma between: from the first up to and without the second. Either may be empty. "
    "The last 90 days when left out.",
)


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
        "health": Role.VIEWER,
        "versions": Role.VIEWER,
        "overall": Role.VIEWER,
        "performance": Role.VIEWER,
    }

    def known_query_params(self) -> frozenset[str]:
        if self.action == "versions":
            # The versions are paged as the list is, and take nothing else of it.
            return frozenset(PagePagination.query_params)
        extra = {"date_range"} if self.action in ("overall", "performance") else set()
        return super().known_query_params() | extra

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

    @extend_schema(responses=HealthSerializer)
    @action(detail=True)
    def health(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Ask the agent whether it would answer; what was found less than five seconds ago is given again."""
        agent = services.agent_probe(agent_id=UUID(id))
        return Response(HealthSerializer(agent.health).data)

    @extend_schema(responses=VersionSerializer(many=True), filters=False)
    @action(detail=True)
    def versions(self, request: Request, id: str, **kwargs: Any) -> Response:
        """List what the agent was, the newest change first; also of a deleted one."""
        page = self.paginate_queryset(selectors.agent_versions(UUID(id)))
        return self.get_paginated_response(VersionSerializer(page, many=True).data)

    @extend_schema(responses=PerformanceSerializer(many=True), parameters=[DATE_RANGE], filters=False)
    @action(detail=False, url_path="performance", url_name="performance", pagination_class=None)
    def overall(self, request: Request, **kwargs: Any) -> Response:
        """Add up what each agent contributed to the runs, by the name it spoke under."""
        found = selectors.agents_performance(_period(request))
        return Response(PerformanceSerializer(found, many=True).data)

    @extend_schema(responses=PerformanceSerializer, parameters=[DATE_RANGE])
    @action(detail=True, url_name="own-performance")
    def performance(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Add up what this agent contributed to the runs, under whatever names it had."""
        return Response(PerformanceSerializer(selectors.agent_performance(UUID(id), _period(request))).data)


def _period(request: Request) -> Period:
    asked = checked(PerformanceFilterSet, request, AgentConversation.objects.none())
    return selectors.period_asked(asked.form.cleaned_data["date_range"])


class ConversationViewSet(ResourceViewSet):
    """What a run and its agents said, the oldest first."""

    queryset = AgentConversation.objects.all()
    serializer_class = MessageSerializer
    filterset_class = MessageFilterSet
    pagination_class = KeysetPagination
    roles: ClassVar = {"list": Role.VIEWER}

    def get_queryset(self) -> QuerySet[AgentConversation]:
        return selectors.conversation(parse_uuid(self.kwargs["execution_id"], "execution_id"))

    @extend_schema(responses=MessageSerializer(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List what a run and its agents said, the oldest first."""
        rows = filtered(MessageFilterSet, request, self.get_queryset())
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(MessageSerializer(page, many=True).data)


class AgentTemplatesView(ApiView):
    """The members that a team can be put together of."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(responses=AgentTemplateSerializer(many=True))
    def get(self, request: Request, **_: Any) -> Response:
        """List the templates of agents, each with its prompt and the tools that it needs."""
        return Response(AgentTemplateSerializer(templates_as_json(), many=True).data)
