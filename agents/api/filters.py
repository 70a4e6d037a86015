"""The query parameters of the lists."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from agents.autonomous.choices import ProposalStatus, RunStatus, RunTrigger
from agents.choices import AgentKind, HealthStatus, MessageType
from agents.models import Agent, AgentConversation, AgentRun, Proposal
from tradingsite.common.api.filters import PairFilter, StrictFilterSet
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


class MessageFilterSet(StrictFilterSet):
    symbol = django_filters.CharFilter()
    agent_name = django_filters.CharFilter()
    message_type = django_filters.ChoiceFilter(choices=MessageType.choices)

    class Meta:
        model = AgentConversation
        fields: tuple[str, ...] = ()


class PerformanceFilterSet(StrictFilterSet):
    """Says which period is meant; what it is applied to are two tables."""

    date_range = PairFilter()


class AgentRunFilterSet(StrictFilterSet):
    status = django_filters.ChoiceFilter(choices=RunStatus.choices)
    trigger = django_filters.ChoiceFilter(choices=RunTrigger.choices)

    class Meta:
        model = AgentRun
        fields: tuple[str, ...] = ()


class ProposalFilterSet(StrictFilterSet):
    status = django_filters.ChoiceFilter(choices=ProposalStatus.choices)
    symbol = django_filters.CharFilter()

    class Meta:
        model = Proposal
        fields: tuple[str, ...] = ()
