from django.urls import re_path

from executions.consumers import ExecutionConsumer

websocket_urlpatterns = [re_path(r"^ws/executions/?$", ExecutionConsumer.as_asgi())]
