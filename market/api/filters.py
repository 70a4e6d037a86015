"""Query parameters of the market's lists."""

import django_filters

from market.choices import AssetClass, ImportStatus
from market.models import BarImport, Fundamental, Instrument, NewsItem
from tradingsite.common.api.filters import CreatedFilterSet, MomentFilter, StrictFilterSet


class InstrumentFilterSet(StrictFilterSet):
    symbol = django_filters.CharFilter(field_name="symbol")
    asset_class = django_filters.ChoiceFilter(choices=AssetClass.choices)
    exchange = django_filters.CharFilter(field_name="exchange")
    enabled = django_filters.BooleanFilter()

    class Meta:
        model = Instrument
        fields = ("symbol", "asset_class", "exchange", "enabled")


class BarImportFilterSet(CreatedFilterSet):
    status = django_filters.ChoiceFilter(choices=ImportStatus.choices)
    source = django_filters.CharFilter(field_name="source_slug")

    class Meta:
        model = BarImport
        fields = ("status", "source")


class _PublishedFilterSet(StrictFilterSet):
    symbol = django_filters.CharFilter()
    published_after = MomentFilter(field_name="published_at", lookup_expr="gte")
    published_before = MomentFilter(field_name="published_at", lookup_expr="lt")


class NewsFilterSet(_PublishedFilterSet):
    class Meta:
        model = NewsItem
        fields: tuple[str, ...] = ()


class FundamentalFilterSet(_PublishedFilterSet):
    metric = django_filters.CharFilter()

    class Meta:
        model = Fundamental
        fields: tuple[str, ...] = ()
