"""The query parameters of the lists."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from tradingsite.common.api.filters import CreatedFilterSet
from workflows.choices import WorkflowType
from workflows.models import Strategy, Workflow

_FLAGS = (("true", "true"), ("false", "false"))


class DeletedFilterSet(CreatedFilterSet):
    """Adds `deleted=true`, which lists what can be restored; without it a list holds the living."""

    deleted = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_deleted")

    def filter_deleted(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # The view has chosen the rows already: the default must hold when the parameter is not given, too.
        return queryset


class WorkflowFilterSet(DeletedFilterSet):
    type = django_filters.ChoiceFilter(choices=WorkflowType.choices)

    class Meta:
        model = Workflow
        fields: tuple[str, ...] = ()


class StrategyFilterSet(DeletedFilterSet):
    workflow_id = django_filters.UUIDFilter(field_name="workflow_id")
    strategy_type = django_filters.CharFilter(field_name="strategy_type")
    enabled = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_enabled")
    symbol = django_filters.CharFilter(method="filter_symbol")

    class Meta:
        model = Strategy
        fields: tuple[str, ...] = ()

    def filter_enabled(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(enabled=value == "true")

    def filter_symbol(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # SQLite cannot ask what a JSON list contains; a symbol holds no quotes, so its text form can be looked for.
        return queryset.filter(symbols__icontains=f'"{value}"') if '"' not in value else queryset.none()
