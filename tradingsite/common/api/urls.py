"""The foundations' routes under /api."""

from tradingsite.common.access.api.views import ApiKeyViewSet, MeView, TicketView, TokenRefreshView, TokenView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("auth/keys", ApiKeyViewSet, "api-key")

urlpatterns = [
    route("auth/token", TokenView, "token"),
    route("auth/token/refresh", TokenRefreshView, "token-refresh"),
    route("auth/me", MeView, "me"),
    route("auth/ws-ticket", TicketView, "ws-ticket"),
    *router.urls,
]
