"""The query parameters of the lists."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from agents.choices import AgentKind, HealthStatus
from agents.models import Agent
from workflows.api.filters import DeletedFilterSet

_FLAGS = (("true", "true"), ("false", "false"))


class AgentFilterSet(DeletedFilterSet):
    kind = django_filters.ChoiceFilter(choices=AgentKind.choices)
    health = django_filters.ChoiceFilter(choices=HealthStatus.choices, field_name="health_status")
    enabled = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_enabled")

    class Meta:
        model = Agent
        fields: tuple[str, ...] = ()

    def filter_enabled(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(enabled=value == "true")
