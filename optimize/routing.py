from django.urls import re_path

from optimize.consumers import OptimizeConsumer

websocket_urlpatterns = [re_path(r"^ws/optimize/?$", OptimizeConsumer.as_asgi())]
