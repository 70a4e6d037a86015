"""Query parameters of the list of alert rules."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from safety.choices import CONDITION_KINDS, RULE_KINDS, AlertStatus, Severity
from safety.models.alert_rules import AlertRule
from tradingsite.common.api.filters import CreatedFilterSet

_FLAGS = (("true", "true"), ("false", "false"))


class AlertRuleFilter(CreatedFilterSet):
    kind = django_filters.ChoiceFilter(choices=RULE_KINDS)
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    symbol = django_filters.CharFilter(max_length=32)
    owner = django_filters.CharFilter(field_name="created_by__username", max_length=150)
    enabled = django_filters.TypedChoiceFilter(choices=_FLAGS, coerce=lambda text: text == "true")
    status = django_filters.ChoiceFilter(choices=AlertStatus.choices, method="filter_status")
    deleted = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_deleted")

    class Meta:
        model = AlertRule
        fields: tuple[str, ...] = ()

    def filter_status(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        if value == AlertStatus.UNKNOWN:
            return queryset.filter(state__problem__gt="")
        known = queryset.exclude(state__problem__gt="")
        if value == AlertStatus.LISTENING:
            return known.exclude(kind__in=CONDITION_KINDS)
        met = {AlertStatus.MET: True, AlertStatus.CLEAR: False}.get(AlertStatus(value))
        known = known.filter(kind__in=CONDITION_KINDS)
        return known.filter(state__met__isnull=True) if met is None else known.filter(state__met=met)

    def filter_deleted(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # The view has chosen the rows already: the default must hold when the parameter is not given, too.
        return queryset
