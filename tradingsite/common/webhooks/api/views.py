"""Webhooks over HTTP: a trader's own, an operator's all."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.common.api.etag import require_match, with_etag
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.pagination import KeysetPagination, PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role
from tradingsite.common.webhooks import selectors, services
from tradingsite.common.webhooks.api import serializers as shapes
from tradingsite.common.webhooks.api.filters import DeliveryFilter, WebhookFilter
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; 412 when it has changed since."
)
DELIVERY_ID = OpenApiParameter("delivery_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_EXAMPLE_AT = "2026-01-05T15:00:00Z"


class EventTypesView(ApiView):
    """What a webhook can be told of."""

    roles: ClassVar = {"get": Role.TRADER}

    @extend_schema(operation_id="webhook_event_types", responses=shapes.EventTypeShown(many=True))
    def get(self, request: Request) -> Response:
        """List the event types, each with an example of the body that is sent."""
        return Response(
            [
                {
                    "type": one.slug,
                    "help": one.help,
                    "example": {"type": one.slug, "timestamp": _EXAMPLE_AT, "data": one.example},
                }
                for one in event_types.all()
            ]
        )


class WebhookViewSet(ResourceViewSet):
    """Addresses that are told of events."""

    queryset = Webhook.objects.none()
    serializer_class = shapes.WebhookShown
    filterset_class = WebhookFilter
    pagination_class = PagePagination
    lookup_value_regex = "[^/]+"
    roles: ClassVar = {
        "list": Role.TRADER,
        "create": Role.TRADER,
        "retrieve": Role.TRADER,
        "update": Role.TRADER,
        "partial_update": Role.TRADER,
        "destroy": Role.TRADER,
        "rotate_secret": Role.TRADER,
        "test": Role.TRADER,
    }

    def get_queryset(self) -> QuerySet[Webhook]:
        return selectors.webhook_list(self.actor)

    @property
    def webhook_id(self) -> UUID:
        return parse_uuid(self.kwargs["pk"], "id")

    def list(self, request: Request, **_: Any) -> Response:
        """List your webhooks, the newest first; an operator sees all."""
        page = self.paginate_queryset(filtered(WebhookFilter, request, self.get_queryset()))
        return self.get_paginated_response(shapes.WebhookShown(page, many=True).data)

    @extend_schema(request=shapes.WebhookBody, responses={201: shapes.WebhookWithSecret})
    def create(self, request: Request, **_: Any) -> Response:
        """Make a webhook. The answer shows its secret, this once."""
        webhook, secret = services.webhook_create(actor=self.actor, **validated(shapes.WebhookBody, request.data))
        answer = Response(shapes.with_secret(webhook, secret), status=status.HTTP_201_CREATED)
        answer["Location"] = reverse("v1:webhook-detail", args=[webhook.pk])
        return with_etag(answer, webhook)

    @extend_schema(responses=shapes.WebhookShown)
    def retrieve(self, request: Request, pk: str, **_: Any) -> Response:
        """Return one webhook, without its secret."""
        return self._shown(selectors.webhook_get(self.actor, self.webhook_id))

    @extend_schema(request=shapes.WebhookBody, responses=shapes.WebhookShown, parameters=[IF_MATCH])
    def update(self, request: Request, pk: str, **_: Any) -> Response:
        """Replace all but the secret. Enabling it sends what has waited."""
        return self._changed(validated(shapes.WebhookBody, request.data))

    @extend_schema(request=shapes.WebhookBody(partial=True), responses=shapes.WebhookShown, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: str, **_: Any) -> Response:
        """Change what is named."""
        return self._changed(validated(shapes.WebhookBody, request.data, partial=True))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: str, **_: Any) -> Response:
        """Delete a webhook; it is told nothing more."""
        services.webhook_delete(
            actor=self.actor, webhook_id=self.webhook_id, precondition=lambda row: require_match(self.request, row)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=shapes.WebhookWithSecret)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str, **_: Any) -> Response:
        """Make a new secret and show it, this once. For a day both sign."""
        webhook, secret = services.webhook_rotate_secret(actor=self.actor, webhook_id=self.webhook_id)
        return with_etag(Response(shapes.with_secret(webhook, secret)), webhook)

    @extend_schema(request=None, responses={202: shapes.DeliveryShown})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str, **_: Any) -> Response:
        """Send a `ping`, and answer where its outcome will be seen."""
        return _on_its_way(services.webhook_test(actor=self.actor, webhook_id=self.webhook_id))

    def _changed(self, changes: dict[str, Any]) -> Response:
        webhook = services.webhook_update(
            actor=self.actor,
            webhook_id=self.webhook_id,
            changes=changes,
            precondition=lambda row: require_match(self.request, row),
        )
        return self._shown(webhook)

    def _shown(self, webhook: Webhook) -> Response:
        return with_etag(Response(shapes.WebhookShown(webhook).data), webhook)


class DeliveryViewSet(ResourceViewSet):
    """What was sent to a webhook, and what came back. Kept for 30 days."""

    queryset = WebhookDelivery.objects.none()
    serializer_class = shapes.DeliveryShown
    filterset_class = DeliveryFilter
    pagination_class = KeysetPagination
    lookup_url_kwarg = "delivery_id"
    lookup_value_regex = "[^/]+"
    roles: ClassVar = {"list": Role.TRADER, "retrieve": Role.TRADER, "redeliver": Role.TRADER}

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return selectors.delivery_list(self._webhook())

    def _webhook(self) -> Webhook:
        return selectors.webhook_get(self.actor, parse_uuid(self.kwargs["webhook_id"], "webhook_id"))

    def list(self, request: Request, **_: Any) -> Response:
        """List the deliveries of a webhook, the newest first."""
        page = self.paginate_queryset(filtered(DeliveryFilter, request, self.get_queryset()))
        return self.get_paginated_response(shapes.DeliveryShown(page, many=True).data)

    @extend_schema(responses=shapes.DeliveryDetail, parameters=[DELIVERY_ID])
    def retrieve(self, request: Request, delivery_id: str, **_: Any) -> Response:
        """Return one delivery with its body and each attempt."""
        delivery = selectors.delivery_get(self._webhook(), parse_uuid(delivery_id, "delivery_id"))
        return Response(shapes.DeliveryDetail(delivery).data)

    @extend_schema(request=None, responses={202: shapes.DeliveryShown}, parameters=[DELIVERY_ID])
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, delivery_id: str, **_: Any) -> Response:
        """Send a delivery again under its old message id."""
        webhook_id = parse_uuid(self.kwargs["webhook_id"], "webhook_id")
        delivery = services.delivery_redeliver(
            actor=self.actor, webhook_id=webhook_id, delivery_id=parse_uuid(delivery_id, "delivery_id")
        )
        return _on_its_way(delivery)


def _on_its_way(delivery: WebhookDelivery) -> Response:
    answer = Response(shapes.DeliveryShown(delivery).data, status=status.HTTP_202_ACCEPTED)
    answer["Location"] = reverse("v1:webhook-delivery-detail", args=[delivery.webhook_id, delivery.pk])
    return answer
