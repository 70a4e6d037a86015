"""By what the lists of the portfolio can be narrowed."""

from typing import ClassVar

import django_filters

from portfolio.choices import OrderSide, OrderStatus
from portfolio.models import Fill, Order
from tradingsite.common.api.filters import CreatedFilterSet, MomentFilter, PairFilter, StrictFilterSet


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
