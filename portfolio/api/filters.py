"""By what the lists of the portfolio can be narrowed."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet

from portfolio.choices import OrderSide, OrderStatus
from portfolio.models import Fill, Goal, Order
from tradingsite.common.api.filters import CreatedFilterSet, MomentFilter, PairFilter, StrictFilterSet

_FLAGS = (("true", "true"), ("false", "false"))


class OrderFilter(CreatedFilterSet):
    """Orders by symbol, status, side, strategy, run and time."""

    symbol = django_filters.CharFilter(field_name="instrument__symbol")
    status = django_filters.ChoiceFilter(choices=OrderStatus.choices)
    side = django_filters.ChoiceFilter(choices=OrderSide.choices)
    strategy_id = django_filters.UUIDFilter()
    execution_id = django_filters.UUIDFilter()
    client_order_id = django_filters.CharFilter()

    class Meta:
        model = Order
        fields: ClassVar[list[str]] = []


class FillFilter(StrictFilterSet):
    """Fills by symbol, side, order, run and time of recording."""

    symbol = django_filters.CharFilter(field_name="instrument__symbol")
    side = django_filters.ChoiceFilter(choices=OrderSide.choices)
    order_id = django_filters.UUIDFilter()
    execution_id = django_filters.UUIDFilter(field_name="order__execution_id")
    created_after = MomentFilter(field_name="recorded_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="recorded_at", lookup_expr="lt")
    date_range = PairFilter(field_name="recorded_at")

    class Meta:
        model = Fill
        fields: ClassVar[list[str]] = []


class GoalFilter(CreatedFilterSet):
    """Goals by strategy, symbol, being enabled, being over the threshold; `deleted=true` lists what can be restored."""

    strategy_id = django_filters.UUIDFilter()
    enabled = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_enabled")
    breached = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_breached")
    symbol = django_filters.CharFilter(method="filter_symbol")
    deleted = django_filters.ChoiceFilter(choices=_FLAGS, method="filter_deleted")

    class Meta:
        model = Goal
        fields: ClassVar[list[str]] = []

    def filter_enabled(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(enabled=value == "true")

    def filter_breached(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(watch__over_since__isnull=value == "false")

    def filter_symbol(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(target_weights__has_key=value)

    def filter_deleted(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # The view has chosen the rows already: the default must hold when the parameter is not given, too.
        return queryset
