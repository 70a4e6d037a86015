"""Workflows and their versions."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
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
from workflows.api.filters import WorkflowFilterSet
from workflows.api.serializers import (
    StepSerializer,
    WorkflowBodySerializer,
    WorkflowDiffSerializer,
    WorkflowListItemSerializer,
    WorkflowSerializer,
    WorkflowVersionSerializer,
)
from workflows.models import Workflow

UUID_PATTERN = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; 412 when it has changed since."
)


def number_in_path(name: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.INT, OpenApiParameter.PATH, description="A version number.")


@extend_schema_view(list=extend_schema(responses=WorkflowListItemSerializer(many=True)))
class WorkflowViewSet(ResourceViewSet):
    """Reusable definitions: what to do, in which order."""

    queryset = Workflow.objects.all()
    serializer_class = WorkflowSerializer
    filterset_class = WorkflowFilterSet
    pagination_class = PagePagination
    ordering_fields: ClassVar[tuple[str, ...]] = ("name", "type", "created_at", "updated_at", "executions_count")
    search_fields: ClassVar[tuple[str, ...]] = ("name", "description")
    lookup_url_kwarg = "id"
    lookup_value_regex = UUID_PATTERN
    roles: ClassVar = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "steps": Role.VIEWER,
        "versions": Role.VIEWER,
        "version": Role.VIEWER,
        "diff": Role.VIEWER,
        "create": Role.TRADER,
        "update": Role.TRADER,
        "destroy": Role.TRADER,
        "restore": Role.TRADER,
        "clone": Role.TRADER,
        "version_restore": Role.TRADER,
    }

    def known_query_params(self) -> frozenset[str]:
        # The versions are paged as the list is, and take nothing else of it.
        return frozenset(PagePagination.query_params) if self.action == "versions" else super().known_query_params()

    def _detail(self, workflow_id: UUID, code: int = status.HTTP_200_OK) -> Response:
        workflow = selectors.workflow_get(workflow_id)
        response = with_etag(Response(WorkflowSerializer(workflow).data, status=code), workflow)
        if code == status.HTTP_201_CREATED:
            base = self.request.path.split("/workflows")[0]
            response["Location"] = f"{base}/workflows/{workflow.pk}"
        return response

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List workflows, the newest first."""
        rows = selectors.workflow_list(deleted=request.query_params.get("deleted") == "true")
        rows = filtered(WorkflowFilterSet, request, rows)
        rows = ordered(self.ordering_fields, request, searched(self.search_fields, request, rows), "-created_at")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(WorkflowListItemSerializer(page, many=True).data)

    @extend_schema(request=WorkflowBodySerializer, responses={201: WorkflowSerializer})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Create a workflow as its version 1."""
        body = validated(WorkflowBodySerializer, request.data)
        workflow = services.workflow_create(actor=self.actor, **body)
        return self._detail(workflow.pk, status.HTTP_201_CREATED)

    @extend_schema(responses=WorkflowSerializer)
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return a workflow with its strategies and how its runs went."""
        return self._detail(UUID(id))

    @extend_schema(request=WorkflowBodySerializer, responses=WorkflowSerializer, parameters=[IF_MATCH])
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Replace a workflow: this makes a new version; runs keep the one they were started on."""
        body = validated(WorkflowBodySerializer, request.data)
        services.workflow_update(
            actor=self.actor, workflow_id=UUID(id), precondition=lambda row: require_match(request, row), **body
        )
        return self._detail(UUID(id))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hide a workflow; 409 with the list of strategies while enabled ones use it."""
        services.workflow_delete(
            actor=self.actor, workflow_id=UUID(id), precondition=lambda row: require_match(request, row)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=WorkflowSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Bring a deleted workflow back."""
        services.workflow_restore(actor=self.actor, workflow_id=UUID(id))
        return self._detail(UUID(id))

    @extend_schema(request=None, responses={201: WorkflowSerializer})
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Copy a workflow as `<name> (Copy)`."""
        workflow = services.workflow_clone(actor=self.actor, workflow_id=UUID(id))
        return self._detail(workflow.pk, status.HTTP_201_CREATED)

    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None)
    def steps(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Return the steps of the current version."""
        return Response(selectors.workflow_get(UUID(id)).steps)

    @extend_schema(responses=WorkflowVersionSerializer(many=True))
    @action(detail=True, methods=["get"])
    def versions(self, request: Request, id: str, **kwargs: Any) -> Response:
        """List the versions, the newest first."""
        page = self.paginate_queryset(selectors.workflow_versions(UUID(id)))
        return self.get_paginated_response(WorkflowVersionSerializer(page, many=True).data)

    @extend_schema(responses=WorkflowVersionSerializer, parameters=[number_in_path("number")])
    @action(detail=True, methods=["get"], url_path="versions/(?P<number>[0-9]{1,9})")
    def version(self, request: Request, id: str, number: str, **kwargs: Any) -> Response:
        """Return one version."""
        return Response(WorkflowVersionSerializer(selectors.workflow_version_get(UUID(id), int(number))).data)

    @extend_schema(responses=WorkflowDiffSerializer, parameters=[number_in_path("a"), number_in_path("b")])
    @action(detail=True, methods=["get"], url_path="versions/(?P<a>[0-9]{1,9})/diff/(?P<b>[0-9]{1,9})")
    def diff(self, request: Request, id: str, a: str, b: str, **kwargs: Any) -> Response:
        """Say what changed from version `a` to version `b`."""
        return Response(selectors.workflow_diff(UUID(id), int(a), int(b)))

    @extend_schema(request=None, responses=WorkflowSerializer, parameters=[number_in_path("number"), IF_MATCH])
    @action(detail=True, methods=["post"], url_path="versions/(?P<number>[0-9]{1,9})/restore")
    def version_restore(self, request: Request, id: str, number: str, **kwargs: Any) -> Response:
        """Make an old version's content the newest version."""
        services.workflow_version_restore(
            actor=self.actor,
            workflow_id=UUID(id),
            version_number=int(number),
            precondition=lambda row: require_match(request, row),
        )
        return self._detail(UUID(id))
