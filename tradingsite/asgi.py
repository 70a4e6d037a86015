"""The ASGI application: HTTP by Django, sockets by Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

from tradingsite.common.access.sockets import OriginGuard
from tradingsite.common.api.body import BodyLimit
from tradingsite.urls import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(http),
        "websocket": OriginGuard(AuthMiddlewareStack(URLRouter(websocket_urlpatterns()))),
    }
)
