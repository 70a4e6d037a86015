"""The foundations' routes under /api."""

from tradingsite.common.access.api.views import ApiKeyViewSet, MeView, TicketView, TokenRefreshView, TokenView
from tradingsite.common.api.routing import Router, route
from tradingsite.common.webhooks.api.views import DeliveryViewSet, EventTypesView, WebhookViewSet

router = Router()
router.register("auth/keys", ApiKeyViewSet, "api-key")
router.register("webhooks/(?P<webhook_id>[^/]+)/deliveries", DeliveryViewSet, "webhook-delivery")
router.register("webhooks", WebhookViewSet, "webhook")

urlpatterns = [
    route("auth/token", TokenView, "token"),
    route("auth/token/refresh", TokenRefreshView, "token-refresh"),
    route("auth/me", MeView, "me"),
    route("auth/ws-ticket", TicketView, "ws-ticket"),
    route("webhooks/event-types", EventTypesView, "webhook-event-types"),
    *router.urls,
]
