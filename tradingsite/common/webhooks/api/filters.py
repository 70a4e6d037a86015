"""Query parameters of the lists of webhooks and deliveries."""

from typing import ClassVar

import django_filters

from tradingsite.common.api.filters import CreatedFilterSet, StrictFilterSet
from tradingsite.common.webhooks.models import DeliveryStatus, Webhook, WebhookDelivery


class WebhookFilter(StrictFilterSet):
    enabled = django_filters.BooleanFilter()

    class Meta:
        model = Webhook
        fields: ClassVar[list[str]] = []


class DeliveryFilter(CreatedFilterSet):
    status = django_filters.ChoiceFilter(choices=DeliveryStatus.choices)
    type = django_filters.CharFilter(max_length=60)

    class Meta:
        model = WebhookDelivery
        fields: ClassVar[list[str]] = []
