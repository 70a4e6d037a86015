"""The peer: a stock Channels consumer on the stock Redis layer, one group, the consumer that its tutorial shows."""

import os
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="only-for-measuring",
        INSTALLED_APPS=["channels"],
        CHANNEL_LAYERS={
            "default": {
                "BACKEND": "channels_redis.core.RedisChannelLayer",
                "CONFIG": {
                    # Without a higher limit than redis-py's 100 the layer raises once more sockets than that come or go.
                    "hosts": [{"address": os.environ["PEER_REDIS_URL"], "max_connections": 5000}],
                    "capacity": int(os.environ["PEER_CAPACITY"]),
                },
            }
        },
    )
    django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter

GROUP = "executions"


class NewsConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        await self.send_json({"type": "hello", "seq": 0})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def news(self, event: dict[str, Any]) -> None:
        await self.send_json(event["message"])


application = ProtocolTypeRouter({"websocket": NewsConsumer.as_asgi()})
