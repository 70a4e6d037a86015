"""Query parameters of the list of runs."""

from typing import ClassVar

import django_filters

from executions.choices import ExecutionStatus
from executions.models import WorkflowExecution
from tradingsite.common.api.filters import CreatedFilterSet, MomentFilter


class ExecutionFilterSet(CreatedFilterSet):
    workflow_id = django_filters.UUIDFilter()
    strategy_id = django_filters.UUIDFilter()
    status = django_filters.ChoiceFilter(choices=ExecutionStatus.choices)
    started_after = MomentFilter(field_name="started_at", lookup_expr="gte")
    started_before = MomentFilter(field_name="started_at", lookup_expr="lt")

    class Meta:
        model = WorkflowExecution
        fields: ClassVar[list[str]] = []
