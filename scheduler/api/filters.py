"""The query parameters of the lists."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from scheduler.choices import FireStatus
from scheduler.models import Schedule, ScheduleFire
from tradingsite.common.api.filters import CreatedFilterSet, StrictFilterSet

_FLAGS = (("true", "true"), ("false", "false"))


class ScheduleFilterSet(CreatedFilterSet):
    job_type = django_filters.CharFilter(field_name="job_type")
    enabled = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_enabled")
    deleted = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_deleted")

    class Meta:
        model = Schedule
        fields: tuple[str, ...] = ()

    def filter_enabled(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(enabled=value == "true")

    def filter_deleted(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # The view has chosen the rows already: the default must hold when the parameter is not given, too.
        return queryset


class FireFilterSet(StrictFilterSet):
    status = django_filters.ChoiceFilter(choices=FireStatus.choices)

    class Meta:
        model = ScheduleFire
        fields: tuple[str, ...] = ()
