"""The peer: a list of runs as Django REST Framework makes it when nobody tunes it.

A ModelViewSet with a ModelSerializer of the same fields, `select_related` and the framework's CursorPagination, behind
the same middleware, authentication and role check. It has no filters, which makes it faster than it would be in use.
"""

from typing import ClassVar

from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.viewsets import ModelViewSet

from executions.api.serializers import ExecutionRow
from executions.models import WorkflowExecution
from tradingsite.common.roles import Role


class StockRunSerializer(serializers.ModelSerializer[WorkflowExecution]):
    workflow_id = serializers.UUIDField(read_only=True)
    strategy_id = serializers.UUIDField(read_only=True)
    workflow_name = serializers.CharField(source="workflow.name", default=None, read_only=True)
    strategy_name = serializers.CharField(source="strategy.name", read_only=True)
    duration = serializers.FloatField(read_only=True)

    class Meta:
        model = WorkflowExecution
        fields = ExecutionRow.Meta.fields


class StockPagination(CursorPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-created_at"


class StockRunViewSet(ModelViewSet[WorkflowExecution]):
    """The list as it is first written."""

    roles: ClassVar = {"list": Role.VIEWER}
    queryset = WorkflowExecution.objects.select_related("workflow", "strategy")
    serializer_class = StockRunSerializer
    pagination_class = StockPagination
    metadata_class = None


class TunedStockRunViewSet(StockRunViewSet):
    """The same after somebody saw that it reads whole results and definitions."""

    queryset = WorkflowExecution.objects.select_related("workflow", "strategy").defer(
        "results", "params", "input_data", "symbols", "error_message", "workflow__steps", "workflow__default_params",
        "strategy__param", "strategy__symbols",
    )  # fmt: skip
