"""Query parameters of the list of jobs."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet

from optimize.choices import JobKind, JobStatus
from optimize.models import OptimizationJob
from optimize.selectors import with_status
from tradingsite.common.api.filters import CreatedFilterSet


class StatusFilter(django_filters.ChoiceFilter):
    """By the status that is answered."""

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        return qs.filter(with_status(value)) if value else qs


class OptimizationFilterSet(CreatedFilterSet):
    status = StatusFilter(choices=JobStatus.choices)
    kind = django_filters.ChoiceFilter(choices=JobKind.choices)
    strategy_type = django_filters.CharFilter(max_length=40)

    class Meta:
        model = OptimizationJob
        fields: ClassVar[list[str]] = []
