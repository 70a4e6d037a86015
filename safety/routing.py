"""Socket routes of safety."""

from django.urls import re_path

from safety.consumers import AlertsConsumer

websocket_urlpatterns = [re_path(r"^ws/alerts/?$", AlertsConsumer.as_asgi())]
