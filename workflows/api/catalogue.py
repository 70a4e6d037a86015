"""What a definition may be made of: step types, strategy types, templates. All are JSON arrays."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.api.views import ApiView
from tradingsite.common.contracts.steps import step_types
from tradingsite.common.roles import Role
from workflows.api.serializers import CatalogueSerializer, StrategyTypeSerializer, WorkflowTemplateSerializer
from workflows.schemas import step_type_entry, strategy_type_entry
from workflows.strategies import strategy_types
from workflows.templates import templates


class StepTypesView(ApiView):
    """The step types of this desk."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(operation_id="step_types_list", responses=CatalogueSerializer(many=True))
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Return every step type that a definition may hold with the JSON Schema of its config."""
        return Response([step_type_entry(item) for item in step_types.all() if item.offered])


class StrategyTypesView(ApiView):
    """The strategy types of this desk."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(operation_id="strategy_types_list", responses=StrategyTypeSerializer(many=True))
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Return every strategy type with its parameters, constraints and default grid."""
        return Response([strategy_type_entry(item) for item in strategy_types.all()])


class WorkflowTemplatesView(ApiView):
    """Bodies to start from."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(operation_id="workflow_templates_list", responses=WorkflowTemplateSerializer(many=True))
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Return a valid body for each template type, as `POST /api/workflows` takes it."""
        return Response(templates())
